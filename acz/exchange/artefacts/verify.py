"""An artefact against the NumPy reference: two batch sizes, other frame counts, padding, and inputs that break careless code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.signature import OUTPUT, PLAIN, Form, form_of, ports
from acz.exchange.artefacts.runtime import Runtime, carried_spec
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed
from acz.model.losses import checking_loss
from acz.model.spec import Spec
from acz.reference import execution
from acz.reference.bounds import difference, float32_bound, perturbed
from acz.reference.narrow import narrow_bound
from acz.reference.samples import Case

TIMED = (1, 256)
"""Batch sizes whose latency is measured."""


@dataclass(frozen=True)
class Check:
    """The output of one batch: max |artefact - reference| / max |reference|, the reference in float64."""

    batch: str
    videos: int
    frames: dict[str, int]
    measured: float
    bound: float

    @property
    def passed(self) -> bool:
        return bool(self.measured <= self.bound)


def batches(spec: Spec, masks: str = "bool") -> dict[str, dict[str, Array]]:
    """Inputs by the artefact's names: four videos, one and seven, padded and with other numbers of frames, zeros, huge values.

    Without masks nothing is padded. Masks of numbers have other numbers than 1, too.
    """
    case = Case("export", spec, checking_loss(spec).name)
    chosen = {name: case.batch(name) for name in case.names}
    chosen |= {f"plain {videos}": case.batch("plain", videos=videos) for videos in (1, 7)}
    by_port = {port.name: port for port in ports(spec, masks)}
    fed = {name: as_ports(spec, batch.inputs, masks) for name, batch in chosen.items()}
    for inputs in fed.values():
        for name, value in inputs.items():
            if by_port[name].is_mask and value.dtype != bool:
                value *= np.array([1, 2, 128, 255], value.dtype)[np.arange(value.shape[1]) % 4]
    return fed


def as_ports(spec: Spec, inputs: Mapping[str, Array], masks: str = "bool") -> dict[str, Array]:
    """The core's inputs under the artefact's names and in its types; every frame is valid where no mask is given."""
    arrays = {}
    for port in ports(spec, masks):
        if port.is_mask:
            frames = inputs[port.key.removesuffix(".mask")]
            value = inputs.get(port.key, np.ones(frames.shape[:2], bool))
        else:
            value = inputs[port.key]
        arrays[port.name] = np.ascontiguousarray(value, dtype=port.dtype)
    return arrays


class Expected:
    """The expected outputs of a float32 program: the reference's output in float64, and the bound of the difference from it."""

    def __init__(self, spec: Spec, parameters: Mapping[str, Array], weights: str = "float32") -> None:
        self.spec, self.weights = spec, weights
        narrow = {path: value.astype(np.float32) for path, value in parameters.items()}
        wide = {path: value.astype(np.float64) for path, value in narrow.items()}
        self.parameters = wide, narrow, perturbed(wide)

    def __call__(self, inputs: Mapping[str, Array]) -> tuple[Array, float]:
        with np.errstate(all="ignore"):
            exact, *others = (execution.forward(self.spec, values, inputs)["output"] for values in self.parameters)
            bound = float32_bound(max(difference(other, exact) for other in others))
            if self.weights != "float32":
                bound += narrow_bound(self.spec, self.parameters[0], inputs, exact, self.weights)
        return exact, bound


def verify(
    spec: Spec,
    parameters: Mapping[str, Array],
    artefact: Path,
    runtime: Runtime,
    timed: bool = True,
    form: Form = PLAIN,
    held: Mapping[str, Array] | None = None,
) -> tuple[list[Check], dict[str, Any]]:
    """Run an artefact in its runtime and compare. Gives the checks, and `seconds` by batch size and what the runtime loaded.

    `held` has the weights with which the runtime computes in float32: the reference with these must be met as float32
    meets it. Without them the bound is widened by what `form.weights` does.

    Raises CheckFailed where the artefact does not carry the spec and the form.
    """
    fed = batches(spec, form.masks)
    case = Case("export", spec, checking_loss(spec).name)
    clocked = {
        f"timed {videos}": as_ports(spec, case.batch("plain", videos=videos).inputs, form.masks)
        for videos in (TIMED if timed else ())
    }
    outputs, about = runtime.run(artefact, fed, clocked)
    if carried_spec(artefact, about["metadata"]).hash != spec.hash:
        raise CheckFailed("the artefact carries another spec than the checkpoint")
    if form_of(about["metadata"]) != form:
        raise CheckFailed(f"the artefact carries {form_of(about['metadata'])}, not {form}")
    keys = {port.name: port.key for port in ports(spec, form.masks)}
    expected = Expected(spec, parameters, form.weights) if held is None else Expected(spec, held)
    checks = []
    for name, inputs in fed.items():
        given = {keys[port]: value for port, value in inputs.items()}
        exact, bound = expected(given)
        frames = {key: given[key].shape[1] for key, entry in spec.inputs.items() if entry.has_frames}
        measured = difference(outputs[name].get(OUTPUT), exact)
        checks.append(Check(name, len(exact), frames, measured, bound))
    seconds = {videos: about["seconds"][f"timed {videos}"] for videos in (TIMED if timed else ())}
    return checks, {"seconds": seconds, "modules": about["modules"]}


def loss_of_weights(spec: Spec, parameters: Mapping[str, Array], held: Mapping[str, Array]) -> dict[str, float]:
    """The difference between a model and the same with other weights, on videos of the checks that are not hostile.

    Gives `output`, the largest difference of an output beside the largest output, and `best_class`, the share of the
    videos whose best class is another.
    """
    case, outputs = Case("export", spec, checking_loss(spec).name), []
    inputs = case.batch("plain", videos=TIMED[-1]).inputs
    for weights in (parameters, held):
        wide = {path: value.astype(np.float64) for path, value in weights.items()}
        outputs.append(execution.forward(spec, wide, inputs)["output"])
    changed = outputs[0].argmax(axis=1) != outputs[1].argmax(axis=1)
    return {"output": difference(outputs[1], outputs[0]), "best_class": float(changed.mean())}
