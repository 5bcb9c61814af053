"""A record: a model's weights and inputs, the reference's answers and their bounds, in one safetensors file.

The metadata are `acz_record` (the format), `manifest` (JSON, see `Manifest`), and `sha256` of the manifest and all arrays.
The arrays are `parameters/<path>`, `<batch>/inputs/<name>`, `<batch>/dropout/<path>`, `<batch>/labels`, and
`answers/<run>/<value>`, float64 (numbers). A record may come from anywhere, so everything in it is checked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.atomic import write_atomically
from acz.foundation.files.local import require_local
from acz.model.losses import LOSSES, find_loss
from acz.model.parameters import check_parameters
from acz.model.proof import weights_hash
from acz.model.spec import Spec
from acz.parity.proof.directions import directions
from acz.parity.proof.reference import stride
from acz.reference.execution import check_inputs
from acz.reference.samples import Batch

FORMAT = "1"
MODES = {"evaluation": False, "training": True}
BATCHES = ("data", "part", "hostile")
STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ValueAnswer(BaseModel):
    """The size of a value, and the bound of its float32. The numbers are an array of the record."""

    model_config = STRICT
    shape: tuple[int, ...] = Field(min_length=1, max_length=8)
    scale: float = Field(gt=0)
    """The largest of all its numbers; differences are relative to it."""
    bound: float = Field(gt=0)


class NumberAnswer(BaseModel):
    """A number, the scale of its difference in float64 and in float32, and the bound of its float32."""

    model_config = STRICT
    value: float
    scales: tuple[float, float]
    bound: float = Field(gt=0)


class RunAnswers(BaseModel):
    """The answers of one batch in one mode."""

    model_config = STRICT
    batch: str
    mode: str
    values: dict[str, ValueAnswer]
    loss: NumberAnswer
    directions: dict[str, NumberAnswer]
    """Derivatives of the loss along every direction, or none."""

    @property
    def name(self) -> str:
        """The name of the run in arrays and rows."""
        return f"{self.batch}, {self.mode}"


class Manifest(BaseModel):
    """The contents of a record beside its arrays."""

    model_config = STRICT
    acz: str = Field(max_length=100)
    model: str = Field(max_length=1000)
    spec: dict[str, Any]
    weights: str
    """The hash of the weights."""
    data: str = Field(max_length=1000)
    loss: str
    runs: tuple[RunAnswers, ...] = Field(min_length=1, max_length=8)


@dataclass(frozen=True)
class Record:
    """A record that was read and checked, or that was made here."""

    manifest: Manifest
    spec: Spec
    parameters: Mapping[str, Array]
    batches: Mapping[str, Batch]
    answers: Mapping[str, Array]
    """The numbers that are compared, float64, by `<run>/<value>`."""

    @property
    def videos(self) -> dict[str, int]:
        """The number of videos of each batch."""
        return {name: len(batch.labels) for name, batch in self.batches.items()}


def write_record(path: Path, record: Record) -> None:
    """Write a record. Raises OSError."""
    from safetensors.numpy import save_file

    arrays = {f"parameters/{name}": value for name, value in record.parameters.items()}
    for name, batch in record.batches.items():
        arrays |= {f"{name}/inputs/{key}": value for key, value in batch.inputs.items()}
        arrays |= {f"{name}/dropout/{key}": value for key, value in batch.dropout.items()}
        arrays[f"{name}/labels"] = batch.labels
    arrays |= {f"answers/{name}": value for name, value in record.answers.items()}
    ready = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    manifest = record.manifest.model_dump_json()
    metadata = {"acz_record": FORMAT, "manifest": manifest, "sha256": digest(manifest, ready)}
    write_atomically(path, lambda temporary: save_file(ready, temporary, metadata))


def digest(manifest: str, arrays: Mapping[str, Array]) -> str:
    """SHA-256 of everything that a record holds."""
    total = hashlib.sha256(manifest.encode())
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {value.dtype} {np.shape(arrays[name])}\n".encode())
        total.update(value.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def read_record(path: Path) -> Record:
    """Read a record, and check its hash, names, shapes, types and sizes.

    Raises:
        DataError: the file is missing, damaged, changed, or not a record.
    """
    from safetensors import SafetensorError, safe_open

    require_local(path)
    if not path.is_file():
        raise DataError(f"there is no record {path}; 'acz parity-check MODEL --record {path}' writes one")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("acz_record") != FORMAT:
                raise DataError(f"{path}: not a record of format {FORMAT} of 'acz parity-check --record'")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if metadata.get("sha256") != digest(metadata["manifest"], arrays):
            raise DataError(f"{path}: its content is not what was written: it was damaged or changed")
        return _checked(Manifest.model_validate_json(metadata["manifest"]), arrays)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: manifest: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except SpecError as error:
        raise DataError(f"{path}: {error}") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: damaged, or not a record: {error}") from None


def _checked(manifest: Manifest, arrays: Arrays) -> Record:
    """The record of a manifest and arrays. Raises SpecError, ValueError."""
    spec = Spec.from_dict(manifest.spec)
    parameters = _group(arrays, "parameters")
    check_parameters(spec, parameters)
    if manifest.weights != weights_hash(parameters):
        raise ValueError("the weights are not those of its manifest")
    find_loss(manifest.loss)
    batches, answers = {}, _group(arrays, "answers")
    for name in dict.fromkeys(run.batch for run in manifest.runs):
        if name not in BATCHES:
            raise ValueError(f"there is no batch '{name}'")
        batches[name] = _batch(spec, manifest.loss, name, arrays)
    expected = {f"parameters/{path}" for path in parameters} | {f"answers/{name}" for name in answers}
    expected |= {name for name in arrays if name.partition("/")[0] in batches}
    if unknown := sorted(set(arrays) - expected):
        raise ValueError(f"'{unknown[0]}' is not an array of a record")
    for name, value in arrays.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"'{name}' is not finite")
    _check_answers(spec, manifest, batches, answers)
    return Record(manifest, spec, parameters, batches, answers)


def _batch(spec: Spec, loss: str, name: str, arrays: Arrays) -> Batch:
    """A batch with the inputs, masks and labels that the model and its loss take."""
    inputs, dropout = _group(arrays, f"{name}/inputs"), _group(arrays, f"{name}/dropout")
    videos = check_inputs(spec, inputs)
    for key, value in inputs.items():
        kinds = "b" if key not in spec.inputs else "u" if spec.inputs[key].dtype == "uint8" else "f"
        if value.dtype.kind not in kinds:
            raise ValueError(f"'{name}/inputs/{key}' has the type {value.dtype}")
    frames = {key: inputs[key].shape[1] for key, entry in spec.inputs.items() if entry.has_frames}
    if videos < 1 or not all(frames.values()):
        raise ValueError(f"'{name}' has no videos, or no frames")
    masks = {path: (videos, *shape) for path, (shape, _) in spec.dropout_masks(frames).items()}
    if {path: (value.shape, value.dtype.kind) for path, value in dropout.items()} != {
        path: (shape, "u") for path, shape in masks.items()
    }:
        raise ValueError(f"'{name}/dropout' has not the masks of the model")
    labels = arrays[f"{name}/labels"]
    by_class = LOSSES[loss].labels == "class"
    shape = (videos,) if by_class else (videos, spec.width)
    if labels.shape != shape or labels.dtype.kind not in ("iu" if by_class else "uf"):
        raise ValueError(f"'{name}/labels' {labels.dtype} {labels.shape} are not labels of the loss '{loss}'")
    if by_class and not ((labels >= 0) & (labels < spec.width)).all():
        raise ValueError(f"'{name}/labels' has classes that the model does not have")
    return Batch(name, inputs, labels, dropout)


def _check_answers(spec: Spec, manifest: Manifest, batches: Mapping[str, Batch], answers: Arrays) -> None:
    names, seen = [], set()
    for run in manifest.runs:
        if run.mode not in MODES or run.name in seen:
            raise ValueError(f"'{run.name}' is not a run, or is there twice")
        seen.add(run.name)
        needed = [*spec.recordable, "logits", "output", *(statistics(spec) if MODES[run.mode] else [])]
        if set(run.values) != set(needed):
            raise ValueError(f"'{run.name}' has not the values of the model")
        if run.directions and set(run.directions) != set(directions(spec)):
            raise ValueError(f"'{run.name}' has not the directions of the model")
        for name, answer in run.values.items():
            key, size = f"{run.name}/{name}", math.prod(answer.shape)
            numbers = answers.get(key)
            if size < 1 or numbers is None or numbers.shape != (-(-size // stride(answer.shape)),):
                raise ValueError(f"'answers/{key}' has not the numbers of its value")
            if numbers.dtype != np.float64:
                raise ValueError(f"'answers/{key}' must be float64")
            names.append(key)
    if set(answers) != set(names):
        raise ValueError("it has answers that its manifest does not name")


def statistics(spec: Spec) -> list[str]:
    """The names of the running statistics after a run in training."""
    return [f"updated.{path}" for path in spec.statistics]


def _group(arrays: Mapping[str, Array], prefix: str) -> Arrays:
    return {name[len(prefix) + 1 :]: value for name, value in arrays.items() if name.startswith(prefix + "/")}
