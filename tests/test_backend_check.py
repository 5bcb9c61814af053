"""The check of a backend: what keeps every promise passes, and each promise can be broken."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.info import BackendInfo, NativeFormat
from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError, SpecError
from acz.foundation.progress import Progress
from acz.parity.contract.check import check_promises
from acz.parity.contract.promises import PROMISES
from acz.parity.mutants.base import replace_functions
from acz.parity.mutants.promises import (
    epsilon_of_float32,
    native_in_float32,
    precision_of_the_last,
    reassociated_epsilon,
)
from acz.parity.mutants.training import swapped_average
from acz.reference import INFO, numpy_backend
from acz.reference.numpy_backend import Model, Trainer
from tests.conftest import Answer

Change = Callable[[Backend], Backend]


def replacing(**replaced: Callable[..., Any]) -> Change:
    return lambda backend: replace_functions(backend, **replaced)


def in_order(function: Callable[..., Any], *given: Any, **named: Any) -> tuple[Any, ...]:
    """Every argument of a call, the defaults too, in the order of the function's parameters."""
    call = inspect.signature(function).bind(*given, **named)
    call.apply_defaults()
    return call.args


def after(name: str, change: Callable[..., Any]) -> Change:
    """The function of this name gives what `change` makes of its answer; `change` is also given its arguments."""

    def wrap(backend: Backend) -> Backend:
        function = getattr(backend, name)

        def changed(*given: Any, **named: Any) -> Any:
            every = in_order(function, *given, **named)
            return change(function(*every), *every)

        return replace_functions(backend, **{name: changed})

    return wrap


def before(name: str, change: Callable[..., tuple[Any, ...]]) -> Change:
    """The function of this name is given the arguments that `change` makes of its own."""

    def wrap(backend: Backend) -> Backend:
        function = getattr(backend, name)
        return replace_functions(
            backend, **{name: lambda *given, **named: function(*change(*in_order(function, *given, **named)))}
        )

    return wrap


def refuse_threads(count: int) -> None:
    raise RuntimeError("too late")


def write_into_inputs(answer: dict[str, Array], model: Model, inputs: Mapping[str, Array], *rest: Any) -> Any:
    inputs["x"][...] = 0
    return answer


def keep_arrays(answer: None, model: Model, parameters: Mapping[str, Array]) -> None:
    model.parameters = dict(parameters)


def move_a_bias(answer: dict[str, Array], model: Model, inputs: Any, training: bool = False, *rest: Any) -> Any:
    if training:
        model.parameters["trunk.last.bias"] = np.full(5, 3, model.dtype)
    return answer


def draw_masks(
    model: Model, inputs: Any, training: bool = False, dropout: Any = None, record: Any = ()
) -> tuple[Any, ...]:
    if training and not dropout:
        dropout = {"trunk.drop": 2.0 * np.random.default_rng(0).integers(0, 2, (len(inputs["x"]), 6))}
    return model, inputs, training, dropout, record


def drop_alike(model: Model, inputs: Mapping[str, Array]) -> Array:
    [(shape, rate)] = model.spec.dropout_masks({}).values()
    mask = np.random.default_rng(0).random((256, *shape)) >= rate
    return numpy_backend.forward(model, inputs, True, {"x.drop": mask})["output"]


def drop_apart(answer: Array, *given: Any) -> Array:
    """Values are exchanged with those of other channels."""
    return np.roll(answer, 1, axis=1)


def larger_classes_first(answer: dict[str, Array], *given: Any) -> dict[str, Array]:
    return answer | {"output.classes": answer["output.classes"] + 1}


def any_loss(model: Any, inputs: Any, labels: Any, loss: str, *rest: Any) -> tuple[Any, ...]:
    return model, inputs, labels, loss if loss in acz.LOSSES else "sigmoid_cross_entropy", *rest


def read_late(backend: Backend) -> Backend:
    """A step computes when the next one is asked for, from arrays that are no longer its own."""
    waiting: list[tuple[Any, ...]] = []

    def training_step(*given: Any) -> tuple[float, float]:
        waiting.append(given)
        return 0.0, 0.0

    def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
        while waiting:
            backend.training_step(*waiting.pop(0))
        return backend.dump_optimizer(trainer)

    return replace_functions(backend, training_step=training_step, dump_optimizer=dump_optimizer)


def load_without_copy(trainer: Trainer, state: dict[str, Array]) -> None:
    trainer.step, trainer.state = int(state["step"]), {key: value for key, value in state.items() if key != "step"}


def without_average(model: Model, optimizer: acz.Adam, *rest: Any) -> tuple[Any, ...]:
    return model, acz.Adam(**optimizer.model_dump(exclude={"average"})), *rest


def shift_averages(trainer: Trainer, state: dict[str, Array]) -> tuple[Any, ...]:
    return trainer, {name: value + 1 if name.startswith("a.") else value for name, value in state.items()}


def save_native(model: Model, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **model.parameters)


def read_native(path: Path) -> dict[str, Array]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


class Named(Model):
    """A model whose streams are attributes, beside one that is not reserved."""

    x, gain = None, 1.0


def build_named(spec: acz.Spec, device: str, dtype: str) -> Model:
    return Named(spec, dtype)


OWN_FILES = replace(
    INFO, native=NativeFormat("npz", ".npz", lambda path: path.read_bytes()[:2] == b"PK", "numpy.load(FILE)")
)
NATIVE = replacing(save_native=save_native, read_native=read_native)


def native_but(**replaced: Callable[..., Any]) -> Change:
    return lambda backend: replace_functions(NATIVE(backend), **replaced)


BROKEN: list[tuple[str, Change, str]] = [
    ("description", replacing(capabilities=lambda: {"training": "none"}), "under 'devices'"),
    ("description", replacing(versions=lambda: {"numpy": 2}), r"versions\(\) must map words to words"),
    ("threads", replacing(set_threads=refuse_threads), r"set_threads\(1\) raises RuntimeError: too late"),
    ("devices", replacing(devices=lambda: ["GPU:0"]), "must list CPU"),
    ("devices", replacing(devices=lambda: ["CPU", "Nowhere:7"]), "lists Nowhere:7"),
    ("devices", after("forward", lambda answer, *given: answer | {"output": answer["output"] + 1e-4}), "on CPU"),
    ("names", replacing(build=build_named), "must have .*gain"),
    ("parameters", after("load_parameters", keep_arrays), "must be copied"),
    ("parameters", after("dump_parameters", lambda answer, *given: {k: v + 1 for k, v in answer.items()}), "not give"),
    ("parameters", replacing(dump_parameters=lambda model: model.parameters), "must be copied"),
    ("outputs", after("forward", lambda answer, *given: {"output": answer["output"]}), "forward gives output;"),
    (
        "outputs",
        after("forward", lambda answer, *given: {k: v.astype("f4") for k, v in answer.items()}),
        "array of float64",
    ),
    ("outputs", after("forward", write_into_inputs), "writes into its inputs"),
    ("sizes", after("forward", lambda answer, *given: {k: v * (len(v) > 1) for k, v in answer.items()}), "1 videos"),
    ("statistics", after("forward", move_a_bias), "moves trained parameters"),
    ("statistics", before("forward", lambda model, inputs, *rest: (model, inputs, True)), "an evaluation moves"),
    (
        "statistics",
        before("forward", lambda model, inputs, *rest: (model, inputs)),
        "leaves x.norm.running_mean as it is",
    ),
    ("dropout", before("forward", draw_masks), "without masks: .*"),
    ("dropout", before("forward", lambda model, inputs, *rest: (model, inputs, True, {})), "with a mask"),
    ("own_dropout", after("call_in_training", lambda answer, *given: np.minimum(answer, 1)), "what stays is scaled"),
    ("own_dropout", replacing(call_in_training=drop_alike), "two calls drop the same"),
    (
        "own_dropout",
        after("call_in_training", lambda answer, *given: answer * (np.arange(65) % 2)),
        "values are dropped",
    ),
    ("own_dropout", after("call_in_training", drop_apart), "of one channel are dropped apart"),
    ("precisions", precision_of_the_last, "one in float64 gives float64, or other numbers"),
    (
        "precisions",
        after(
            "loss_and_gradients", lambda answer, *given: (answer[0], {k: v.astype("f4") for k, v in answer[1].items()})
        ),
        "gradients in float64 are float32",
    ),
    ("certain_losses", epsilon_of_float32, "probability_cross_entropy of sigmoid in float64, score -90 and label 1"),
    ("certain_losses", reassociated_epsilon, "probability_cross_entropy of sigmoid in float32, score 90"),
    ("best_classes", after("forward_best", larger_classes_first), "random: other classes"),
    ("best_classes", after("forward_best", lambda answer, *given: {"output": answer["output"]}), "it must give"),
    ("finite", after("forward_best", lambda answer, *given: answer | {"finite": np.ones(4, bool)}), "finite says"),
    ("losses", before("loss_and_gradients", any_loss), "unknown name"),
    ("losses", after("loss_and_gradients", lambda answer, *given: (answer[0] * 2, answer[1])), "the reference"),
    ("losses", after("forward_best", lambda answer, *given: answer | {"loss": np.array(9.0)}), "for two videos"),
    ("steps", after("training_step", lambda answer, *given: (answer[0] + 1, answer[1])), "first value"),
    ("steps", after("training_step", lambda answer, *given: (answer[0], answer[1] / 4)), "second value"),
    ("arrays", read_late, "still reads"),
    ("optimizer", after("dump_optimizer", lambda answer, *given: {"step": answer["step"]}), "dump_optimizer gives"),
    ("optimizer", replacing(load_optimizer=load_without_copy), "must be copied"),
    ("optimizer", after("dump_optimizer", lambda answer, *given: answer | {"step": np.array(0)}), "`step` is 0"),
    ("averages", before("start_training", without_average), "must give a.<path>"),
    ("averages", swapped_average, r"after 1 steps the averages are not"),
    ("averages", before("load_optimizer", shift_averages), "must be copied in and out"),
    ("frozen", before("start_training", lambda *given: (*given[:3], ())), "a step changes trunk.last.weight"),
    (
        "frozen",
        before("start_training", lambda *given: (*given[:3], given[0].parameters)),
        "a step leaves x.norm.weight",
    ),
    ("native_files", replacing(), "must have save_native and read_native"),
    ("native_files", native_but(read_native=lambda path: {}), "read_native does not give"),
    ("native_files", lambda backend: native_in_float32(NATIVE(backend)), "float64: read_native does not give"),
    ("native_files", native_but(save_native=lambda model, path: path.write_bytes(b"")), r"recognises\(\) is not true"),
]
"""A promise, a change of the reference's backend that breaks it, and the words that the check has for it."""


def problems(promise: str, backend: Backend, info: BackendInfo) -> list[str]:
    """The faults until an error, as the process of a backend collects it."""
    collected: list[str] = []
    try:
        collected.extend(PROMISES[promise](backend, info))
    except Exception:
        if not collected:
            raise
    return collected


def test_the_reference_keeps_every_promise() -> None:
    report = acz.check_backend("numpy", progress=Progress())
    assert report.failures == []
    assert report.passed
    assert list(report.promises) == list(PROMISES)
    assert str(report) == f"backend 'numpy': {len(PROMISES)} of {len(PROMISES)} promises kept"


def test_files_of_its_own_kind_keep_their_promise() -> None:
    assert problems("native_files", NATIVE(numpy_backend), OWN_FILES) == []


@pytest.mark.parametrize(("promise", "change", "words"), BROKEN)
def test_each_promise_can_be_broken(promise: str, change: Change, words: str) -> None:
    broken = problems(promise, change(numpy_backend), OWN_FILES)
    assert any(re.search(words, line) for line in broken), broken


def test_every_promise_has_a_backend_that_breaks_it() -> None:
    assert {promise for promise, _, _ in BROKEN} == set(PROMISES)


def test_the_page_for_authors_lists_every_promise() -> None:
    page = (Path(__file__).parent.parent / "docs/adding-a-backend.md").read_text(encoding="utf-8")
    table = page.partition("| promise |")[2]
    assert re.findall(r"(?m)^\| `(\w+)` \|", table) == list(PROMISES)


def test_a_backend_of_another_name_breaks_its_description() -> None:
    assert "NAME must be 'other'" in problems("description", numpy_backend, replace(INFO, name="other"))[0]


def test_threads_that_are_set_for_good_are_a_missing_feature() -> None:
    def set_threads(count: int) -> None:
        if count != 1:
            raise MissingError("start another process")

    assert problems("threads", replace_functions(numpy_backend, set_threads=set_threads), INFO) == []


def die_in_a_forward_pass(backend: Backend) -> Backend:
    """A backend whose process is gone when it is asked for the best classes, and which raises in a step."""

    def forward_best(*given: Any) -> dict[str, Array]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    def training_step(*given: Any) -> tuple[float, float]:
        raise ZeroDivisionError("a step")

    return replace_functions(backend, forward_best=forward_best, training_step=training_step)


def test_a_backend_that_dies_or_raises_breaks_that_promise_and_the_others_are_checked() -> None:
    broken = {
        name: lines for name, lines in check_promises("numpy", Progress(), wrap=die_in_a_forward_pass).items() if lines
    }
    assert set(broken) == {
        "statistics",
        "best_classes",
        "finite",
        "losses",
        "steps",
        "arrays",
        "optimizer",
        "averages",
        "frozen",
    }
    assert "SIGKILL" in broken["finite"][0]
    assert broken["steps"][0].startswith("ZeroDivisionError: a step (")


def test_the_command(acz: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    answer = acz("backend-check", "numpy", "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert (document["backend"], document["passed"]) == ("numpy", True)
    assert document["promises"] == {promise: [] for promise in PROMISES}
    monkeypatch.setattr(
        "acz.api.parity.check.check_promises", lambda name, shown: {"steps": ("no loss",), "arrays": ()}
    )
    answer = acz("backend-check", "numpy")
    assert answer.code == 1
    assert "1 of 2 promises kept" in answer.out
    assert "steps: no loss" in answer.err
    assert acz("backend-check", "cntk").code == 2


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(SpecError, match="there is no backend 'cntk'"):
        acz.check_backend("cntk")
