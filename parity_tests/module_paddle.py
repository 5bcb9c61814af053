"""Jobs of the tests of PaddlePaddle's modules: each uses a module as its users do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.build import build_model
from acz.backend.protocol import Backend
from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import InputError
from acz.model.precision import Precision
from acz.parity.cases import cases
from acz.reference.samples import Case
from tests.conftest import TINY

CASES = {case.model: case for case in cases()}
FFT = "circulant by Fourier transforms"
CASES[FFT] = Case(
    FFT,
    acz.Spec.from_dict(
        {
            "inputs": {"features": {"frames": 3, "features": 8}},
            "streams": {
                "features": {
                    "input": "features",
                    "layers": {
                        "wide": {"type": "circulant_dense", "units": 12, "product": "fft", "diagonal": "learned"},
                        "norm": {"type": "batch_norm"},
                        "pool": {"type": "frame_pool", "pooling": ["mean", "max"]},
                    },
                }
            },
            "trunk": {"logits": {"type": "circulant_dense", "units": 5, "product": "fft", "factors": 2}},
            "output": "softmax",
        }
    ),
    "softmax_cross_entropy",
)
OF_LAYERS = [name for name in CASES if name.startswith("layers/")]
WHOLE = [TINY.partition(":")[0], "youtube8m/attention_cluster_experts", "youtube8m/compact/dbof:compact", FFT]
"""Models with dropout, batch norms, bags and circulant products."""


def module_of(backend: Backend, case: Case, precision: str = "float32") -> Any:
    """A module in training mode that draws no dropout, so that two of them can be compared."""
    import paddle

    module = build_model(backend, case.spec, case.parameters, precision=Precision(precision))
    for layer in module.sublayers():
        if type(layer).__name__ in ("Dropout", "AttentionCluster", "DeepContextGating"):
            layer.settings = layer.settings.model_copy(
                update=dict.fromkeys(RATES & set(type(layer.settings).model_fields), 0.0)
            )
    assert isinstance(module, paddle.nn.Layer)
    return module


RATES = {"rate", "dropout", "score_dropout"}
"""Settings that are rates of dropout."""


def tensors(case: Case, kind: str = "padded") -> dict[str, Any]:
    import paddle

    batch = case.batch(kind if kind in case.names else "plain")
    return {name: paddle.to_tensor(value) for name, value in batch.inputs.items()}


def step(module: Any, network: Any, inputs: Any) -> dict[str, Array]:
    """The output of a call in training, every gradient, and every statistic after it."""
    module.clear_gradients()
    output = network(inputs)
    (output * output).sum().backward()
    gradients = {f"gradient of {name}": p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
    return {"output": output.numpy(), **gradients, **{name: value.numpy() for name, value in module.named_buffers()}}


def run_in_training(backend: Backend, arguments: tuple[str, str], arrays: Any) -> tuple[None, Arrays]:
    """A job: a step as a module, and as a program, a copy or a pickle of it."""
    import paddle

    name, form = arguments
    case = CASES[name]
    inputs, module = tensors(case), module_of(backend, case)
    if form == "eager":
        return None, step(module, module, inputs)
    if form in ("program", "traced bytecode"):
        return None, step(module, paddle.jit.to_static(module, full_graph=form == "program"), inputs)
    twin = copy.deepcopy(module) if form == "copy" else pickle.loads(pickle.dumps(module))
    assert [p.trainable for p in twin.parameters()] == [p.trainable for p in module.parameters()]
    before = {path: value.numpy() for path, value in module.state_dict().items()}
    made = step(twin, paddle.jit.to_static(twin, full_graph=True), inputs)
    paddle.optimizer.SGD(0.1, parameters=twin.parameters()).step()
    assert all((value.numpy() == before[path]).all() for path, value in module.state_dict().items()), "not independent"
    return None, made


def call_in_every_way(backend: Backend, arguments: None, arrays: Any) -> tuple[list[str], Arrays]:
    """A job: masks of every type by dictionary, by name and in a program, and the errors of wrong calls."""
    import paddle

    module = module_of(backend, CASES[TINY.partition(":")[0]])
    module.eval()
    program = paddle.jit.to_static(module_of(backend, CASES[TINY.partition(":")[0]]), full_graph=True)
    program.eval()
    x, mask = paddle.to_tensor(arrays["features"]), arrays["mask"]
    made = {"alone": module(x).numpy(), "no mask": module(features=x, features_mask=None).numpy()}
    for dtype in ("bool", "uint8", "int32", "int64", "float16", "float32", "float64"):
        valid = paddle.to_tensor((mask * (0.5 if dtype.startswith("float") else 2)).astype(dtype))
        made[f"{dtype} by dictionary"] = module({"features": x, "features.mask": valid}).numpy()
        made[f"{dtype} by name"] = module(features=x, features_mask=valid).numpy()
        made[f"{dtype} in a program"] = program({"features": x, "features.mask": valid}).numpy()
        made[f"{dtype} for the logits"] = module.finish(module.logits({"features": x, "features.mask": valid})).numpy()
    wrong: list[Callable[[], Any]] = [
        lambda: module(x, valid),
        lambda: module({"rgb": x}),
        lambda: module(),
        lambda: module(arrays["features"]),
        lambda: module(features=x, features_mask=valid[:, :1]),
        lambda: module(x[:, :, :2]),
        lambda: program(features=x),
    ]
    messages = []
    for call in wrong:
        with pytest.raises(InputError) as error:
            call()
        messages.append(str(error.value))
    return messages, made


CASTS: dict[str, Callable[[Any], Any]] = {
    "half": lambda module: module.half(),
    "bfloat16": lambda module: module.bfloat16(),
    "to": lambda module: module.to(dtype="bfloat16"),
    "astype": lambda module: module.astype("float16"),
    "decorate": lambda module: decorate(module),
    "back": lambda module: module.half().float(),
}


def decorate(module: Any) -> None:
    """Cast as amp.decorate(level="O2") does, which leaves a model unchanged on a CPU."""
    from paddle.amp.auto_cast import amp_initialize

    amp_initialize([module], "bfloat16", None)


def cast(backend: Backend, arguments: tuple[str, str], arrays: Any) -> tuple[str, Arrays]:
    """A job: logits of a cast module and of the float32 one; the cast one also has finite gradients in training."""
    import paddle

    case = CASES[arguments[0]]
    inputs, plain, module = tensors(case), module_of(backend, case), module_of(backend, case)
    CASTS[arguments[1]](module)
    plain.eval()
    module.eval()
    logits = {"plain": plain.logits(inputs).numpy(), "cast": module.logits(inputs).numpy()}
    module.train()
    output = module(inputs)
    output.square().sum().backward()
    gradients = [p.grad.astype("float32") for p in module.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(paddle.isfinite(value).all()) for value in [output, *gradients])
    assert all(value.dtype == paddle.float32 for value in module.buffers()), "statistics are in half precision"
    (dtype,) = {str(p.dtype) for p in module.trunk.parameters()}
    return dtype, logits


def compute_narrowly(backend: Backend, arguments: str, arrays: Any) -> tuple[None, Arrays]:
    """A job: the flow of a device that has half precision, on a CPU: float32 is narrow, and float64 is wide."""
    import paddle
    from acz_paddle import base

    case, made = CASES[arguments], {}
    inputs, exact, module = tensors(case), module_of(backend, case, "float64"), module_of(backend, case)
    half = dict(base.WIDE)
    try:
        for mode in (True, False):
            (exact.train if mode else exact.eval)()
            made[f"exact, {mode}"] = exact(inputs).numpy()
        for layer in module.sublayers():
            if layer._buffers:
                layer.to(dtype="float64")
        base.WIDE.clear()
        base.WIDE[paddle.float32] = paddle.float64
        for mode in (True, False):
            (module.train if mode else module.eval)()
            output = module(inputs)
            assert output.dtype == paddle.float64, "outputs are wide"
            made[f"narrow, {mode}"] = output.numpy()
            module.clear_gradients()
            output.square().sum().backward()
            assert all(p.grad.dtype == p.dtype for p in module.parameters() if p.grad is not None)
        assert all(value.dtype == paddle.float64 for value in module.buffers())
    finally:
        base.WIDE.clear()
        base.WIDE.update(half)
    return None, made


def train_two(backend: Backend, arguments: str, arrays: Any) -> tuple[list[str], Arrays]:
    """A job: five steps of two models, each under an optimiser of its own, or both under one."""
    import paddle

    case = CASES[TINY.partition(":")[0]]
    first = module_of(backend, case)
    second = copy.deepcopy(first) if arguments.endswith("a copy") else build_model(backend, case.spec, case.parameters)
    second.set_state_dict(build_model(backend, case.spec, seed=5).state_dict())
    models, inputs = [first, second], tensors(case)
    second.eval()  # draws no dropout
    lists = (
        [[*first.parameters(), *second.parameters()]]
        if arguments.startswith("one")
        else [m.parameters() for m in models]
    )
    optimizers = [paddle.optimizer.Adam(0.05, parameters=parameters) for parameters in lists]
    for number in range(5):
        sum((module(inputs) ** (2 + number % 2)).sum() for module in models).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.clear_grad()
    names = [p.name for module in models for p in module.state_dict().values()]
    return names, {f"{n} {path}": v.numpy() for n, m in enumerate(models) for path, v in m.state_dict().items()}


def use_in_code(backend: Backend, arguments: None, arrays: Any) -> tuple[None, Arrays]:
    """A job: modes, logits, a layer of PaddlePaddle's own, its savers, and an export of a module that gives logits."""
    import paddle
    from acz_paddle.export import export

    folder = Path(str(arrays["folder"]))
    case = CASES[TINY.partition(":")[0]]
    inputs = tensors(case)
    module = build_model(backend, case.spec, case.parameters)
    assert module.training
    assert not np.array_equal(module(inputs).numpy(), module(inputs).numpy()), "nothing is dropped"
    module.eval()
    output = module(inputs).numpy()
    module.returns_logits = True
    twin = pickle.loads(pickle.dumps(copy.deepcopy(module)))
    assert np.array_equal(twin.finish(twin(inputs)).numpy(), output)
    export(module, folder, {"acz.spec": "1"})
    made = paddle.jit.load(str(folder / "model"))
    names = {name for name in (folder / "model.json").read_text().split('"') if name in case.spec.parameters}
    assert names == set(case.spec.parameters), "an artefact has the spec's names"
    exported = made(inputs["features"].astype("float32"), inputs["features.mask"]).numpy()
    module.train()
    before = module.trunk.logits.weight.numpy()
    optimizer = paddle.optimizer.Adam(0.1, parameters=module.parameters())
    module(inputs).square().sum().backward()
    optimizer.step()
    assert not np.array_equal(module.trunk.logits.weight.numpy(), before), "a saved module still trains"
    module.trunk["logits"] = paddle.nn.Linear(before.shape[0], 2)
    assert module(inputs).shape == [len(output), 2]
    assert paddle.jit.to_static(module, full_graph=True)(inputs).shape == [len(output), 2]
    return None, {"output": output, "exported": exported}
