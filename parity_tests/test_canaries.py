"""Names of frameworks and libraries that are private or promised by no document: each is called here as acz calls it.

A new version may take such a name away or change what it does. Then its test here fails first, and says what to do.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from acz.backend.protocol import Backend
from acz.backend.worker import Job, Worker
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.job_process import JobFailed
from acz.model.optimizer import Adam

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ADAM = Adam(learning_rate=0.1)
START, GRADIENT = np.array([1.0, -2.0, 3.0]), np.array([0.5, 0.25, -1.0])
Answer = tuple[bool, Arrays]


def first_step() -> Array:
    """START after Adam's first step: m = (1 - beta1) g and v = (1 - beta2) g^2, both corrected."""
    return START - ADAM.learning_rate * GRADIENT / (np.abs(GRADIENT) + ADAM.epsilon)


def packs_a_weight(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: a product by a weight that oneDNN has packed, beside the plain one. Without oneDNN acz packs nothing."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return True, {}
    x, weight, bias = torch.ones(2, 3), torch.arange(12.0).reshape(3, 4), torch.ones(4)
    with torch.inference_mode():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.t(), 64)
        product = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return torch.allclose(product, x @ weight + bias), {}


def counts_changes(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: the version of a tensor before and after a change in place, also one of `no_grad`."""
    import torch

    value = torch.nn.Parameter(torch.ones(2))
    before = value._version
    with torch.no_grad():
        value.add_(1)
        between = value._version
        value.copy_(torch.zeros(2))
    return before < between < value._version, {}


def normalises(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: batch norm of rows, with their mean and one over their deviation."""
    import torch

    rows = torch.arange(12.0, dtype=torch.float64).reshape(4, 3)
    y, mean, scale = torch.native_batch_norm(rows, torch.ones_like(rows[0]), None, None, None, True, 0.0, 0.5)
    wanted = torch.rsqrt(rows.var(0, correction=0) + 0.5)
    same = [torch.allclose(scale, wanted), torch.allclose(mean, rows.mean(0))]
    return all([*same, torch.allclose(y, (rows - rows.mean(0)) * wanted)]), {}


def casts_parts(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: a cast of a module casts its parts through their own methods, by a function of tensors."""
    import torch

    class Part(torch.nn.Linear):
        def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> torch.nn.Module:
            self.kind = fn(torch.ones(1)).dtype
            return super()._apply(fn, recurse)

    whole = torch.nn.Sequential(Part(1, 1)).half()
    return whole[0].kind == whole[0].weight.dtype == torch.float16, {}


def applies_adam(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: one step by TensorFlow's kernel, with powers of beta of zero and a rate that holds the correction."""
    import tensorflow as tf

    value, m, v = (tf.Variable(start) for start in (START, np.zeros(3), np.zeros(3)))
    tf.raw_ops.ResourceApplyAdam(
        var=value.handle,
        m=m.handle,
        v=v.handle,
        beta1_power=tf.zeros((), tf.float64),
        beta2_power=tf.zeros((), tf.float64),
        lr=tf.constant(ADAM.learning_rate * np.sqrt(1 - ADAM.beta2) / (1 - ADAM.beta1), tf.float64),
        beta1=tf.constant(ADAM.beta1, tf.float64),
        beta2=tf.constant(ADAM.beta2, tf.float64),
        epsilon=tf.constant(ADAM.outside_epsilon(1), tf.float64),
        grad=tf.constant(GRADIENT),
    )
    return bool(np.allclose(value.numpy(), first_step(), rtol=1e-10, atol=0)), {}


def sums_by_number(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: a sum of one process by TensorFlow's collective, twice with one number, as two steps take it."""
    import tensorflow as tf

    sums = [
        tf.raw_ops.CollectiveReduceV2(
            input=tf.constant(start),
            group_size=1,
            group_key=1000,
            instance_key=1,
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
            communication_hint="RING",
        ).numpy()
        for start in (START, GRADIENT)
    ]
    return np.array_equal(sums, [START, GRADIENT]), {}


def takes_layers_when_unlocked(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: a layer of Keras that is built takes a new layer when it is unlocked, and none before and after."""
    import keras

    layer = keras.layers.Layer()
    layer.build((None, 2))
    before = layer._tracker.locked
    layer._tracker.unlock()
    layer.inner = keras.layers.Dense(2)
    layer.inner.build((None, 2))
    layer._tracker.lock()
    return before and layer._tracker.locked and len(layer.trainable_variables) == 2, {}


def merges_adam(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: one step of two parameters in one call of PaddlePaddle's kernel."""
    import paddle
    from paddle import _C_ops

    def tensors(number: object) -> list[object]:
        return [paddle.to_tensor(number, "float64", place=paddle.CPUPlace()) for _ in range(2)]

    values, rates, powers = tensors(START), tensors([ADAM.learning_rate]), (tensors([b]) for b in (0.9, 0.999))
    beta1_powers, beta2_powers = powers
    with paddle.no_grad():
        _C_ops.merged_adam_(
            *(values, tensors(GRADIENT), rates, tensors(np.zeros(3)), tensors(np.zeros(3)), None),
            *(beta1_powers, beta2_powers, None, ADAM.beta1, ADAM.beta2, ADAM.epsilon, False, True, False),
        )
    return all(np.allclose(value.numpy(), first_step(), rtol=1e-10, atol=0) for value in values), {}


def sets_threads(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: the number of threads of PaddlePaddle's own library, before and after it is set; then it is as before."""
    from paddle.base import core
    from threadpoolctl import threadpool_info

    def has_threads(count: int) -> bool:
        core.set_num_threads(count)
        return any("iomp" in pool["filepath"] and pool["num_threads"] == count for pool in threadpool_info())

    return has_threads(3) and has_threads(1), {}


def casts_by_apply(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: every cast of PaddlePaddle's calls a layer's `_apply` with the new dtype, mixed precision's too."""
    import paddle
    from paddle.amp.auto_cast import amp_initialize

    class Watched(paddle.nn.Layer):  # type: ignore[misc]
        def _apply(self, func: object, device: object, dtype: object, *others: object) -> None:
            calls.append(str(dtype).rpartition(".")[2])

    casts = [
        lambda layer: layer.to(dtype="bfloat16"),
        lambda layer: layer.bfloat16(),
        lambda layer: amp_initialize([layer], "bfloat16", None),
        lambda layer: layer.to("cpu"),
    ]
    seen = []
    for cast in casts:
        calls: list[str] = []
        cast(paddle.nn.LayerDict({"watched": Watched()}))
        seen.append(set(calls))
    return seen == [{"bfloat16"}] * 3 + [{"None"}], {}


def has_a_largest_file(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: the KiB of parameters from which MindSpore splits a MindIR file, which must be read at each export."""
    import inspect

    from mindspore.train import serialization

    is_read = "TOTAL_SAVE" in inspect.getsource(serialization).partition("def export(")[2]
    return is_read and serialization.TOTAL_SAVE == 2**20, {}


def reads_mindir(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: the message of a MindIR file, written and read."""
    from mindspore.train.mind_ir_pb2 import ModelProto

    file = ModelProto()
    file.user_info.update({"acz": "1"})
    file.graph.input.add().name = file.graph.output.add().name = file.graph.name = "name"
    return ModelProto.FromString(file.SerializeToString()) == file, {}


def reads_events(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> Answer:
    """A job: the messages of TensorBoard's events, written and read."""
    from tensorboardX.proto import event_pb2, summary_pb2

    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="loss", simple_value=0.5)])
    session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    events = [
        event_pb2.Event(wall_time=1.0, step=3, summary=summary),
        event_pb2.Event(wall_time=1.0, session_log=session),
    ]
    return [event_pb2.Event.FromString(event.SerializeToString()) for event in events] == events, {}


@dataclass(frozen=True)
class Canary:
    """A name, the backend whose process calls it, the file of acz that calls it, and what to do when it is gone."""

    name: str
    backend: str
    caller: str
    job: Job[None, bool]
    remedy: str


PACKED = "evaluation is only slower without it: call its successor in Packed, or remove Packed and its tests"
CANARIES = [
    Canary("torch.ops.mkldnn._reorder_linear_weight", "torch", "backends/acz_torch/base.py", packs_a_weight, PACKED),
    Canary("torch.ops.mkldnn._linear_pointwise", "torch", "backends/acz_torch/base.py", packs_a_weight, PACKED),
    Canary(
        "torch.Tensor._version",
        "torch",
        "backends/acz_torch/base.py",
        counts_changes,
        "a packed weight would be that of older numbers: find another sign of a change, or remove Packed and its tests",
    ),
    Canary(
        "torch.native_batch_norm",
        "torch",
        "backends/acz_torch/base.py",
        normalises,
        "batch_norm can take its other branch, with means and variances as sums; it is slower",
    ),
    Canary(
        "torch.nn.Module._apply",
        "torch",
        "backends/acz_torch/base.py",
        casts_parts,
        "running statistics are kept in float32 there: find what half() and to() call now",
    ),
    Canary(
        "tf.raw_ops.ResourceApplyAdam",
        "tensorflow",
        "backends/acz_tensorflow/training.py",
        applies_adam,
        "write the step in `update` as assignments, as Adam.reference_step has it; it is slower",
    ),
    Canary(
        "tf.raw_ops.CollectiveReduceV2",
        "tensorflow",
        "backends/acz_tensorflow/processes.py",
        sums_by_number,
        "call all_reduce of a replica context in strategy.run; it is slower and its memory grows with each step",
    ),
    Canary(
        "keras.layers.Layer._tracker",
        "tensorflow",
        "backends/acz_tensorflow/model.py",
        takes_layers_when_unlocked,
        "find what lets a built layer of Keras take a new one, for Model.replace",
    ),
    Canary(
        "paddle._C_ops.merged_adam_",
        "paddle",
        "backends/acz_paddle/training.py",
        merges_adam,
        "see how paddle.optimizer.Adam calls its kernel now, or write the step as Adam.reference_step has it",
    ),
    Canary(
        "paddle.base.core",
        "paddle",
        "backends/acz_paddle/devices.py",
        sets_threads,
        "find what sets the threads of a CPU now; FLAGS_paddle_num_threads does it before PaddlePaddle is imported",
    ),
    Canary(
        "paddle.nn.Layer._apply",
        "paddle",
        "backends/acz_paddle/base.py",
        casts_by_apply,
        "find what every cast calls now, or statistics are kept in half precision; Holder and Model override it",
    ),
    Canary(
        "mindspore.train.serialization.TOTAL_SAVE",
        "mindspore",
        "backends/acz_mindspore/export.py",
        has_a_largest_file,
        "find how export decides to split a file now, or set LARGEST to 1 GiB",
    ),
    Canary(
        "mindspore.train.mind_ir_pb2",
        "mindspore",
        "backends/acz_mindspore/runtime.py",
        reads_mindir,
        "take the message from where MindSpore keeps it now; acz reads user_info and the graph's ends",
    ),
    Canary(
        "tensorboardX.proto",
        "numpy",
        "acz/training/tensorboard.py",
        reads_events,
        "describe the three messages by acz.foundation.files.protobuf, and leave tensorboardX out of the dependencies",
    ),
]


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_a_private_name_does_what_it_did(canary: Canary, worker: Callable[[str], Worker]) -> None:
    try:
        works, _ = worker(canary.backend).run(canary.job, None)
    except JobFailed as error:
        pytest.fail(f"{canary.name} is gone: {error}\n{canary.caller} calls it. What to do: {canary.remedy}")
    assert works, f"{canary.name} does something else now; {canary.caller} calls it. What to do: {canary.remedy}"


PRIVATE = {"_C_ops", "raw_ops", "native_batch_norm", "base", "TOTAL_SAVE", "mind_ir_pb2", "proto"}
"""Names without an underscore that no document promises, or modules of such names."""
DOCUMENTED = {"_make", "_exit"}
"""Names with an underscore that Python's documents promise: of collections.namedtuple and os."""


def private_names(path: Path) -> Iterator[str]:
    """Private attributes and modules of others that a file names, without its type hints, which mypy checks."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    hints = [getattr(node, name, None) for node in nodes for name in ("annotation", "returns")]
    unread = {node for hint in hints if hint is not None for node in ast.walk(hint)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and node not in unread:
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls", "other"}
            private = node.attr.startswith("_") and not node.attr.startswith("__")
            if not own and (private or node.attr in PRIVATE):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith(("acz", "__")):
            words = [*str(node.module).split("."), *(alias.name for alias in node.names)]
            yield from (word for word in words if word.startswith("_") or word in PRIVATE)


def test_every_private_name_has_its_canary() -> None:
    watched = {word for canary in CANARIES for word in canary.name.split(".")}
    for path in [*(ROOT / "backends").rglob("*.py"), *(ROOT / "acz").rglob("*.py")]:
        unwatched = set(private_names(path)) - watched - DOCUMENTED
        assert not unwatched, f"{path.relative_to(ROOT)} calls {unwatched}: add a canary of each"


def test_each_canary_is_of_a_name_that_is_called() -> None:
    for canary in CANARIES:
        last = canary.name.rpartition(".")[2]
        assert last in (ROOT / canary.caller).read_text(encoding="utf-8"), f"{canary.name}: remove its canary"
