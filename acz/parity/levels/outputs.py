"""Level 1: outputs of every layer, and independence of batch mates and padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from acz.foundation.arrays import Array
from acz.parity import jobs
from acz.parity.answers import Reference
from acz.parity.levels.base import Ask, runs_of, with_perturbed
from acz.parity.row import Row
from acz.reference.bounds import FLOAT64, difference, float32_bound, worst
from acz.reference.samples import Batch, Case


def _alone(case: Case, batch: Batch) -> dict[str, Array]:
    """A batch's videos one by one, and the whole with frames of padding added: nothing of it may change an output."""
    arrays: dict[str, Array] = {}
    for index in range(len(batch.labels)):
        for key, value in batch.inputs.items():
            arrays[f"alone{index}/inputs/{key}"] = value[index : index + 1]
    for key, value in batch.inputs.items():
        if key in case.spec.inputs and case.spec.inputs[key].has_frames:
            junk = np.full((len(value), 2, value.shape[2]), 1e6)
            arrays[f"longer/inputs/{key}"] = np.concatenate([value, junk], axis=1)
            mask = batch.inputs.get(f"{key}.mask", np.ones(value.shape[:2], dtype=bool))
            arrays[f"longer/inputs/{key}.mask"] = np.concatenate([mask, np.zeros((len(value), 2), bool)], axis=1)
        elif not key.endswith(".mask"):
            arrays[f"longer/inputs/{key}"] = value
    return arrays


def outputs(case: Case, backend: str, ask: Ask, reference: Reference) -> Iterator[Row]:
    """Level 1: every layer's output on every kind of batch, in both modes and precisions; and independence."""
    runs, arrays = runs_of(case)
    wide = jobs.OutputArguments(case.spec, "float64", runs)
    exact = reference(f"{case.model} outputs", jobs.outputs, wide, arrays)
    for dtype in ("float64", "float32"):
        arguments = replace(wide, dtype=dtype)
        bounds: Mapping[str, float] | float = FLOAT64
        if dtype == "float32":
            own = [
                reference(f"{case.model} outputs float32", jobs.outputs, arguments, arrays),
                reference(f"{case.model} outputs moved", jobs.outputs, wide, with_perturbed(arrays)),
            ]
            bounds = {name: float32_bound(max(difference(one[name], v) for one in own)) for name, v in exact.items()}
        found = ask(jobs.outputs, arguments, arrays)
        for mode in ("evaluation", "training"):
            chosen = {name: value for name, value in exact.items() if name.split("/")[0].endswith(mode)}
            measured, bound, where = worst(found, chosen, bounds)
            yield Row(case.model, backend, 1, f"outputs, {mode}", dtype, measured, bound, where)
    kind = "padded" if "padded" in case.names else "plain"
    together = case.batch(kind)
    extra = _alone(case, together)
    names = [f"alone{index}" for index in range(len(together.labels))] + ["longer"]
    arguments = replace(wide, runs=tuple(jobs.Run(name, name, False) for name in [kind, *names]))
    found = ask(jobs.outputs, arguments, arrays | jobs.pack(kind, together) | extra)
    whole = found[f"{kind}/output"]
    apart = np.concatenate([found[f"alone{index}/output"] for index in range(len(whole))])
    padding = [("padded frames", found["longer/output"])] if "padded" in case.names else []
    for check, value in [("batch mates", apart), *padding]:
        yield Row(case.model, backend, 1, f"independence of {check}", "float64", difference(value, whole), FLOAT64)
