"""Promises about the best classes, losses, steps and the optimiser's state.

Each is a function of a backend and its description that yields what is wrong. They run in the backend's process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from acz.backend.info import BackendInfo
from acz.backend.protocol import Backend
from acz.foundation.arrays import Arrays
from acz.model.losses import LOSSES, UNRATED
from acz.model.optimizer import AveragedAdam
from acz.model.spec import Spec
from acz.parity.contract.samples import (
    ADAM,
    CASE,
    SCORES,
    SPEC,
    floats,
    hostile_scores,
    ready,
    same,
    scores_spec,
    started,
)
from acz.reference import derivatives
from acz.reference.bounds import FLOAT64, difference, float32_bound, worst
from acz.reference.execution import run
from acz.reference.ranking import best_first, top_classes
from acz.reference.samples import Case

WEIGHED = "probability_cross_entropy(alpha=0.8)"
"""A loss with a setting, which each table of losses makes from the loss without it."""
BOUNDS = {"float64": FLOAT64, "float32": float32_bound(0.0)}


def best_classes(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """forward_best gives the classes that rank first, to the last bit, and of equal scores those of the smaller classes."""
    for what, scores, count in hostile_scores():
        spec = Spec.from_dict(
            {
                "inputs": {"scores": {"shape": [scores.shape[1]]}, "one": {"shape": [1]}},
                "streams": {
                    "scores": {"input": "scores"},
                    "lowest": {"input": "one", "layers": {"last": {"type": "dense", "units": 1, "bias": False}}},
                },
            }
        )
        lowest = np.finfo(np.float32).min
        model = backend.build(spec, "CPU", "float32")
        backend.load_parameters(model, {"lowest.last.weight": np.full((1, 1), lowest, np.float32)})
        inputs = {"scores": scores, "one": np.ones((len(scores), 1), np.float32)}
        answer = backend.forward_best(model, inputs, {"output": count, "logits": 1})
        names = {"finite", "output", "output.classes", "logits", "logits.classes"}
        if set(answer) != names:
            yield f"forward_best gives {', '.join(sorted(answer))}; it must give {', '.join(sorted(names))}"
            return
        own, own_classes = best_first(answer["output"], answer["output.classes"].astype(np.int64))
        classes, best = top_classes(np.concatenate([scores, np.full((len(scores), 1), lowest)], axis=1), count)
        if not np.array_equal(own_classes, classes) or own.tobytes() != best.astype(np.float32).tobytes():
            yield f"{what}: other classes or scores than the {count} best"


def finite(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """forward_best tells which videos have an output and logits that are finite."""
    x = np.ones((4, 4, 3), np.float32)
    x[1, 0, 0], x[3, 3, 2] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        answer = np.asarray(backend.forward_best(ready(backend), {"x": x}, {"output": 2})["finite"]).tolist()
    if answer != [True, False, True, False]:
        yield f"of four videos, the second with infinity and the fourth with NaN, finite says {answer}"


def losses(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Every loss is the reference's, for labels of several types, and an unknown loss is an error.

    A loss that takes unrated labels leaves them out, and they give no gradient.
    """
    for loss in (*LOSSES.values(), LOSSES[WEIGHED]):
        case = Case("contract", SPEC, loss.name)
        batch = case.batch("plain")
        result = run(SPEC, case.parameters, batch.inputs)
        kinds = {"class": ("int64",), "classes": ("float32", "uint8"), "scores": ("float32",)}[loss.labels]
        for kind in kinds:
            labels, model = batch.labels.astype(kind), ready(backend, "float64", case)
            if loss.takes_unrated and kind == "float32":
                labels[:, ::2] = UNRATED
            exact = float(loss.reference(result.logits, result.output, labels))
            value, slopes = backend.loss_and_gradients(model, batch.inputs, labels, loss.name, training=False)
            if not math.isclose(value, exact, rel_tol=1e-9, abs_tol=1e-12):
                yield f"{loss.name} of {kind} labels: loss_and_gradients gives {value!r}, the reference {exact!r}"
            asked = SPEC, case.parameters, batch.inputs, labels, loss.name
            exact_slopes = derivatives.gradient(*asked, ["x"], training=False)["x"]
            if not np.allclose(slopes["x"], exact_slopes, rtol=1e-9, atol=1e-12):
                yield f"{loss.name} of {kind} labels: another gradient of x than the reference's"
            first = backend.forward_best(model, batch.inputs, {"output": 1}, labels[:2], loss.name)["loss"]
            own = float(loss.reference(result.logits[:2], result.output[:2], labels[:2]))
            if not math.isclose(float(first), own, rel_tol=1e-9, abs_tol=1e-12):
                yield f"{loss.name} of {kind} labels: forward_best gives {float(first)!r} for two videos, not {own!r}"
    try:
        backend.loss_and_gradients(
            ready(backend), floats(CASE.batch("plain").inputs, "float32"), batch.labels, "no_such_loss"
        )
        yield "a loss of an unknown name is computed; it must be an error"
    except Exception:  # any error will do: the core asks for no unknown loss
        return


def certain_losses(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Every loss and its gradient are the reference's near probabilities of 0 and 1 too, also where float32 rounds to them."""
    for loss in (*LOSSES.values(), LOSSES[WEIGHED]):
        # a loss of logits is the same for each output
        for output in loss.outputs if "probabilities" in loss.outputs else loss.outputs[:1]:
            case, worst = Case("certain", scores_spec(output), loss.name), ""
            for precision, scores in (("float64", SCORES), ("float32", SCORES[[0, -1]])):
                model, bound = ready(backend, precision, case), float(BOUNDS[precision])
                for score, label in ((score, label) for score in scores for label in (0, 1)):
                    inputs = {"x": np.array([[score, 0.5]]), "one": np.ones((1, 1))}
                    labels = np.array([1 - label]) if loss.labels == "class" else np.array([[label, 1.0 - label, 0.0]])
                    given = floats({**inputs, "labels": labels}, precision)
                    value, gradients = backend.loss_and_gradients(
                        model, {name: given[name] for name in inputs}, given["labels"], loss.name, training=False
                    )
                    asked = case.spec, case.parameters, inputs, labels, loss.name
                    exact, slopes = derivatives.loss(*asked, training=False), derivatives.gradient(*asked, ["x"])["x"]
                    apart = difference(np.asarray(value), exact, max(float(abs(exact)), 1.0))
                    steep = difference(gradients["x"], slopes, max(float(abs(slopes).max()), 1.0))
                    if not max(apart, steep) <= bound and not worst:
                        worst = (
                            f"{loss.name} of {output} in {precision}, score {score:g} and label {label}: the loss is "
                            f"{apart:.1e} and its gradient {steep:.1e} from the reference's; the bound is {bound:.1e}"
                        )
            if worst:
                yield worst


def steps(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """A step gives the loss before it and how many videos' best class is a label, both as something that float() takes."""
    for name in ("softmax_cross_entropy", "sigmoid_cross_entropy"):
        case = Case("contract", SPEC, name)
        batch, trainer = started(backend, case)
        result = run(SPEC, case.parameters, batch.inputs, True, False, batch.dropout)
        best = result.logits.argmax(axis=1)
        hits = best == batch.labels if batch.labels.ndim == 1 else batch.labels[np.arange(len(best)), best] > 0
        loss, count = backend.training_step(trainer, batch.inputs, batch.labels, batch.dropout, 0.1)
        exact = float(LOSSES[name].reference(result.logits, result.output, batch.labels))
        if not math.isclose(float(loss), exact, rel_tol=1e-9):
            yield f"{name}: the first value of a step is {float(loss)!r}, and the loss before it {exact!r}"
        if float(count) != hits.sum():
            yield f"{name}: the second value of a step is {float(count)}, and the best class is a label in {hits.sum()} videos"


def arrays(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """After float() of its loss a step reads its arrays no more, so that the caller may write into them."""
    after = []
    for again in (False, True):
        batch, trainer = started(backend, CASE)
        memory: Arrays = {}
        for step in (0, 1):
            batch = CASE.batch("plain", step)
            given = {**batch.inputs, "labels": batch.labels, **batch.dropout}
            fed = {name: value.copy() for name, value in given.items()}
            if again and memory:
                for name, value in given.items():
                    memory[name][...] = value
                fed = memory
            inputs, masks = ({name: fed[name] for name in part} for part in (batch.inputs, batch.dropout))
            pair = backend.training_step(trainer, inputs, fed["labels"], masks, 0.1)
            float(pair[0])  # waits for the device: from here the arrays may be written to
            memory = fed
        after.append(backend.dump_optimizer(trainer))
    if not same(after[0], after[1]):
        yield "a step still reads its arrays after float() of its loss"


def optimizer(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """The optimiser's state has the spec's paths, starts at zero, and comes back as copies with the same bits."""
    batch, trainer = started(backend, CASE)
    start = backend.dump_optimizer(trainer)
    wanted = {"step", *(f"{moment}.{path}" for moment in "mv" for path in SPEC.trained)}
    if set(start) != wanted:
        yield f"dump_optimizer gives {', '.join(sorted(start))}; it must give {', '.join(sorted(wanted))}"
        return
    if any(value.any() for value in start.values()) or start["step"].dtype.kind != "i" or start["step"].shape != ():
        yield "before the first step the moments must be zeros, and `step` an integer without axes, 0"
    backend.training_step(trainer, batch.inputs, batch.labels, batch.dropout, 0.1)
    state = backend.dump_optimizer(trainer)
    if int(state["step"]) != 1:
        yield f"after one step `step` is {int(state['step'])}"
    kept = {name: value.copy() for name, value in state.items()}
    _, other = started(backend, CASE)
    backend.load_optimizer(other, state)
    for value in state.values():
        value[...] = 7
    for who in (trainer, other):
        if not same(backend.dump_optimizer(who), kept):
            yield "the optimiser's state must be copied in and out, with the same bits"


def averages(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """Averages are the weights before the first step, move after each by the share, stay in no step, and come back as copies."""
    paths, batch = ("trunk.last.weight",), CASE.batch("plain")
    settings = AveragedAdam(**ADAM.model_dump(), average=0.75)
    model = backend.build(SPEC, "CPU", "float64")
    trainer = backend.start_training(model, settings, CASE.loss, paths)
    backend.load_parameters(model, CASE.parameters)  # a trainer may be there already
    names = {f"a.{path}" for path in SPEC.trained if path not in paths}
    state = backend.dump_optimizer(trainer)
    if {name for name in state if name.startswith("a.")} != names:
        yield "with AveragedAdam dump_optimizer must give a.<path> of every trained parameter that is not frozen"
        return
    expected = {name: CASE.parameters[name[2:]] for name in names}
    for step in range(3):
        if worst({name: state[name] for name in names}, expected, FLOAT64)[0] > FLOAT64:
            yield f"after {step} steps the averages are not a + (1 - average) (w - a)"
        backend.training_step(trainer, batch.inputs, batch.labels, batch.dropout, 0.1)
        weights, state = backend.dump_parameters(model), backend.dump_optimizer(trainer)
        expected = {name: value + 0.25 * (weights[name[2:]] - value) for name, value in expected.items()}
    other = backend.start_training(ready(backend, "float64"), settings, CASE.loss, paths)
    backend.load_optimizer(other, state)
    if not same(backend.dump_optimizer(other), state):
        yield "averages must be copied in and out, with the same bits"
    _, plain = started(backend, CASE)
    backend.load_optimizer(plain, {**state, **backend.dump_optimizer(plain)})
    if any(name.startswith("a.") for name in backend.dump_optimizer(plain)):
        yield "without AveragedAdam there are no averages"


def frozen(backend: Backend, info: BackendInfo) -> Iterator[str]:
    """A step changes no frozen parameter or statistic, and the optimiser keeps no moments of them."""
    model, batch = ready(backend, "float64"), CASE.batch("plain")
    paths = ("x.norm.running_mean", "trunk.last.weight")
    trainer = backend.start_training(model, ADAM, CASE.loss, paths)
    before = backend.dump_parameters(model)
    backend.training_step(trainer, batch.inputs, batch.labels, batch.dropout, 0.1)
    after = backend.dump_parameters(model)
    for path in (*SPEC.trained, *SPEC.statistics):
        if (after[path].tobytes() == before[path].tobytes()) != (path in paths):
            yield f"with {', '.join(paths)} frozen, a step {'changes' if path in paths else 'leaves'} {path}"
    state = backend.dump_optimizer(trainer)
    wanted = {"step", *(f"{moment}.{path}" for moment in "mv" for path in SPEC.trained if path not in paths)}
    if set(state) != wanted:
        yield f"with {', '.join(paths)} frozen, dump_optimizer gives {', '.join(sorted(state))}"
        return
    _, whole = started(backend, CASE)
    backend.load_optimizer(trainer, backend.dump_optimizer(whole))
    if set(backend.dump_optimizer(trainer)) != wanted:
        yield "load_optimizer takes moments of frozen parameters"
