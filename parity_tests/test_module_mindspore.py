"""MindSpore's modules in a user's own code: calls, masks, mode, logits, mixed precision, savers, fine-tuning, trainers."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.worker import Worker
from acz.foundation.arrays import Array, Arrays
from acz.parity.cases import cases
from acz.reference.samples import Case
from parity_tests.mindspore_cases import case_of, case_without_dropout, error_of, inputs_of, inside, mode, module_of

pytestmark = pytest.mark.slow

CLUSTER = "flash_mnist/attention_cluster"
EXPERTS = "youtube8m/attention_cluster_experts"
CIRCULANT = "youtube8m/compact/dbof:circulant_hidden"
HALF = 2.0**-10
"""The distance of two neighbours in float16 above 1."""
FEW = ("bool", "uint8", "float16")
MASKS = (*FEW, "int8", "int32", "uint32", "int64", "float32", "float64")
"""Types of masks; a graph is compiled for each of a few."""


@pytest.fixture
def run(worker: Callable[[str], Worker]) -> Callable[..., tuple[Any, Arrays]]:
    return lambda job, arguments=None: worker("mindspore").run(job, arguments)


def call_it(backend: Any, graph: bool, arrays: Arrays) -> tuple[list[str], Arrays]:
    """A job: outputs by every way to call, and the errors of wrong ways."""
    case = case_of(CLUSTER)
    module, inputs = module_of(case), inputs_of(case)
    x, mask = inputs["features"], inputs["features.mask"]
    with mode(graph):
        outputs = {
            "mask dict": module(inputs),
            "mask names": module(features=x, features_mask=mask),
            "mask outer dict": inside(module, "dict")(x, mask),
            "mask outer names": inside(module, "names")(x, mask),
            "bare": module(x),
            "bare none": module({"features": x, "features_mask": None}),
            "bare outer": inside(module, "bare")(x, mask),
        } | {
            f"mask {dtype}": module(features=x, features_mask=cast(mask, dtype)) for dtype in (FEW if graph else MASKS)
        }
        wrong = [
            lambda: module(),
            lambda: module(x, mask),
            lambda: module(featuers=x),
            lambda: module(x.asnumpy()),
            lambda: module(features=x, features_mask=mask[:1, :1]),
            lambda: inside(module, "names")(x, mask[:1, :1]),
            lambda: module(x[:, :, :3]),
        ]
        return [error_of(call) for call in wrong], {name: value.asnumpy() for name, value in outputs.items()}


def cast(mask: Any, dtype: str) -> Any:
    """A mask whose valid frames are not 1."""
    import mindspore as ms

    return mask if dtype == "bool" else ms.Tensor((mask.asnumpy() * (0.5 if "float" in dtype else 3)).astype(dtype))


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_every_way_to_call_and_every_type_of_mask_gives_the_same(run: Any, graph: bool) -> None:
    errors, outputs = run(call_it, graph)
    for name, output in outputs.items():
        np.testing.assert_array_equal(output, outputs["mask dict" if name.startswith("mask") else "bare"], name)
    assert np.abs(outputs["bare"] - outputs["mask dict"]).max() > 1e-3, "the mask counts"
    assert all(error.startswith("InputError: ") for error in errors), errors


def take_logits(backend: Any, graph: bool, arrays: Arrays) -> tuple[None, Arrays]:
    """A job: logits by a call, of the module and of what savers bring back; and the output after the switch."""
    import mindspore as ms

    case = case_of(CLUSTER)
    module, inputs = module_of(case, logits=True), inputs_of(case)
    fresh = acz.build(case.spec, "mindspore", logits=True)
    with tempfile.TemporaryDirectory() as folder:
        ms.save_checkpoint(module, f"{folder}/module.ckpt")
        left, _ = ms.load_param_into_net(fresh, ms.load_checkpoint(f"{folder}/module.ckpt"))
    assert left == []
    twins = {
        "called": module,
        "copied": copy.deepcopy(module),
        "pickled": pickle.loads(pickle.dumps(module)),
        "loaded": fresh,
    }
    with mode(graph):
        values = {name: twin(inputs) for name, twin in twins.items()} | {"method": module.logits(inputs)}
        values["finished"] = module.finish(values["called"])
        module.returns_logits = False
        values["output"] = module(inputs)
        first = module.trainable_params()[0]
        first.set_data(first * 2)
        values["copy after a change"] = twins["copied"](inputs)
    return None, {name: value.asnumpy() for name, value in values.items()}


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_a_call_gives_logits_where_it_is_asked_to(run: Any, graph: bool) -> None:
    _, values = run(take_logits, graph)
    for name in ("copied", "pickled", "loaded", "copy after a change"):
        np.testing.assert_array_equal(values[name], values["called"], name)
    np.testing.assert_allclose(values["method"], values["called"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values["finished"], values["output"], rtol=1e-5, atol=1e-6)
    assert np.abs(values["output"] - values["called"]).max() > 1e-3


def change_mode(backend: Any, arguments: None, arrays: Arrays) -> tuple[list[bool], Arrays]:
    """A job: the mode of a new module and of a new cell; outputs and statistics in both modes."""
    from mindspore import nn

    case = case_of(EXPERTS)
    module, inputs = module_of(case), inputs_of(case)
    values = {"as built": module(inputs), "again": module(inputs)}
    modes = [module.training, nn.Dropout(p=0.5).training]
    before = statistics(module)
    module.set_train()
    values |= {"trained": module(inputs), "trained again": module(inputs)}
    moved = [not np.array_equal(value, before[name]) for name, value in statistics(module).items()]
    return [*modes, *moved], {name: value.asnumpy() for name, value in values.items()}


def statistics(module: Any) -> dict[str, Array]:
    return {p.name: p.asnumpy().copy() for p in module.get_parameters() if ".running_" in f".{p.name}"}


def test_a_module_starts_in_the_mode_of_a_cell(run: Any) -> None:
    (own, of_a_cell, *moved), values = run(change_mode)
    assert own is of_a_cell
    assert moved
    assert all(moved)
    np.testing.assert_array_equal(values["as built"], values["again"])
    assert np.abs(values["trained"] - values["trained again"]).max() > 1e-4, "dropout draws"


def lower(backend: Any, arguments: tuple[str, bool], arrays: Arrays) -> tuple[list[str], Arrays]:
    """A job: logits in float32 and in mixed precision; and the types of what is not trained after a step in training mode."""
    import mindspore as ms
    from mindspore import amp

    model, graph = arguments
    case = case_of(model)
    inputs = inputs_of(case)
    with mode(graph):
        values = {"float32": module_of(case, logits=True)(inputs)}
        for level in ("O2", "O3") if model == CLUSTER else ("O2",):
            values[level] = amp.auto_mixed_precision(module_of(case, logits=True), level)(inputs)
        halved = module_of(case, logits=True).to(ms.float16)
        values["half"] = halved(inputs)
        halved.set_train()(inputs)
    kept = {str(p.dtype) for p in halved.get_parameters() if not p.requires_grad}
    return sorted(kept), {name: value.asnumpy() for name, value in values.items()}


TINY = sorted(
    {
        case.model
        for case in cases()
        if not case.model.startswith(("layers/", "youtube8m/gated/")) and ":" not in case.model
    }
    | {CIRCULANT}
)
"""The gated models have the compact models' layers."""


@pytest.mark.parametrize("model", TINY)
def test_mixed_precision_gives_nearly_the_same(run: Any, model: str) -> None:
    kept, values = run(lower, (model, False))
    near(values)
    assert kept in ([], ["Float32"])


@pytest.mark.parametrize("model", [EXPERTS, CIRCULANT])
def test_mixed_precision_gives_nearly_the_same_in_a_graph(run: Any, model: str) -> None:
    near(run(lower, (model, True))[1])


def near(values: Arrays) -> None:
    """A few units of half precision, in which operands are rounded."""
    exact = values["float32"]
    for name, value in values.items():
        assert np.abs(value - exact).max() <= 8 * HALF * np.abs(exact).max(), name
        assert value.dtype == np.float32
    assert any(np.any(value != exact) for value in values.values()), "nothing was low"


def train_low(backend: Any, graph: bool, arrays: Arrays) -> tuple[list[str], Arrays]:
    """A job: ten steps of MindSpore's own training cell in mixed precision, with a mask and a video without frames.

    Nothing is dropped, so the losses depend on no random number.
    """
    import mindspore as ms
    from mindspore import Tensor, amp, nn

    case = case_without_dropout(EXPERTS)
    module, batch = module_of(case, logits=True), case.batch("padded")
    before = statistics(module)
    inputs, labels = inputs_of(case), Tensor(batch.labels.astype(np.float32))
    optimizer = nn.Adam(module.trainable_params(), learning_rate=3e-3)
    network = amp.auto_mixed_precision(module, "O2")

    class Loss(nn.Cell):
        def __init__(self) -> None:
            super().__init__(auto_prefix=False)
            self.network, self.loss = network, nn.BCELoss(reduction="mean")

        def construct(self, inputs: Any, labels: Any) -> Any:
            return self.loss(self.network(inputs), labels)

    with mode(graph):
        step = amp.build_train_network(Loss(), optimizer, level="O0")
        losses = np.array([float(step(inputs, labels)) for _ in range(10)])
    moved = {name: np.abs(value - before[name]).max() for name, value in statistics(module).items()}
    kept = [str(p.dtype) for p in module.get_parameters()]
    assert ms.get_context("mode") == ms.PYNATIVE_MODE
    return sorted(set(kept)), {"losses": losses, "moved": np.array(list(moved.values()))}


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_it_trains_in_mixed_precision(run: Any, graph: bool) -> None:
    types, values = run(train_low, graph)
    assert types == ["Float32"]
    assert np.isfinite(values["losses"]).all()
    assert (np.diff(values["losses"]) < 0).all()
    assert (values["moved"] > 0).all()
    assert np.isfinite(values["moved"]).all()


def refuse(backend: Any, arguments: None, arrays: Arrays) -> tuple[list[str], Arrays]:
    """A job: errors of mixed precisions that a module cannot follow."""
    import os

    import mindspore as ms
    from mindspore import amp

    case = case_of(CLUSTER)
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # MindSpore writes what it rewrites into the current folder
        try:
            calls = [
                lambda: amp.auto_mixed_precision(module_of(case), "O1"),
                lambda: amp.custom_mixed_precision(module_of(case), white_list=amp.get_white_list()),
                lambda: amp.auto_mixed_precision(module_of(case), "auto"),
                lambda: amp.auto_mixed_precision(module_of(case), "O2", ms.bfloat16),
                lambda: amp.auto_mixed_precision(module_of(case, precision="float64"), "O2"),
            ]
            return [error_of(call) for call in calls], {}
        finally:
            os.chdir(here)


def test_what_cannot_be_followed_is_refused(run: Any) -> None:
    errors, _ = run(refuse)
    assert all(error.startswith("MissingError: ") for error in errors), errors


def replace_a_layer(backend: Any, graph: bool, arrays: Arrays) -> tuple[list[str], Arrays]:
    """A job: a head of MindSpore's own, trained alone by MindSpore's own trainer from a data set."""
    import mindspore as ms
    from mindspore import Tensor, nn
    from mindspore.dataset import GeneratorDataset

    case = case_of(CLUSTER)
    module = module_of(case, logits=True)
    for parameter in module.get_parameters():
        parameter.requires_grad = False
    head = module.trunk["logits"]
    module.trunk["logits"] = nn.Dense(head.weight.shape[0], 3)
    source = np.random.default_rng(0)
    labels, width = np.arange(12) % 3, case.spec.inputs["features"].features
    x = source.standard_normal((12, 5, width)) + 2 * source.standard_normal((3, 1, width))[labels]
    frozen = {p.name: p.asnumpy().copy() for p in module.untrainable_params()}
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    rows = list(zip(x.astype(np.float32), labels.astype(np.int32), strict=True))
    with mode(graph):
        model = ms.train.Model(module, loss, nn.Adam(module.trainable_params(), learning_rate=0.05))
        module.set_train(False)
        before = float(loss(module(Tensor(x.astype(np.float32))), Tensor(labels, ms.int32)))
        model.train(20, GeneratorDataset(rows, ["features", "label"], shuffle=False).batch(4), dataset_sink_mode=False)
        module.set_train(False)
        after = float(loss(module(Tensor(x.astype(np.float32))), Tensor(labels, ms.int32)))
    assert all(np.array_equal(value, module.parameters_dict()[name].asnumpy()) for name, value in frozen.items())
    return [p.name for p in module.trainable_params()], {"losses": np.array([before, after])}


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_a_layer_of_mindspore_takes_the_place_of_one(run: Any, graph: bool) -> None:
    names, values = run(replace_a_layer, graph)
    assert names == ["trunk.logits.weight", "trunk.logits.bias"]
    assert values["losses"][1] < values["losses"][0]


def load_exported(backend: Any, arguments: None, arrays: Arrays) -> tuple[dict[str, list[str]], Arrays]:
    """A job: a MindIR's trained parameters, and its outputs by masks of several types."""
    import mindspore as ms
    from acz_mindspore.export import export
    from mindspore import nn

    case = case_of(EXPERTS)
    inputs = inputs_of(case)
    module = module_of(case).set_train()
    names = [p.name for p in module.get_parameters()]
    with tempfile.TemporaryDirectory() as folder:
        export(module, Path(folder) / "model.mindir", {})
        loaded = nn.GraphCell(ms.load(f"{folder}/model.mindir"))
    with mode(True):
        outputs = {
            dtype: loaded(*(cast(inputs[key], dtype) if key.endswith(".mask") else inputs[key] for key in keys(case)))
            for dtype in FEW
        }
    kept = [p.name for p in module.get_parameters()]
    answer = {"before": names, "after": kept, "trained": [p.name for p in loaded.trainable_params()]}
    return answer, {name: value.asnumpy() for name, value in outputs.items()}


def keys(case: Case) -> list[str]:
    from acz.backend.signature import ports

    return [port.key for port in ports(case.spec)]


def test_an_exported_file_trains_no_statistics_and_takes_any_mask(run: Any) -> None:
    names, outputs = run(load_exported)
    assert names["before"] == names["after"]
    assert set(names["trained"]) == set(case_of(EXPERTS).spec.trained)
    for dtype, output in outputs.items():
        np.testing.assert_array_equal(output, outputs["bool"], dtype)
