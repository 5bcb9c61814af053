"""Checkpoints: safetensors files that carry their spec. They are written atomically: a reader never sees half a file.

A file holds every parameter and statistic under its path. A file from which training can resume also holds
`optimizer.m.<path>`, `optimizer.v.<path>` and `optimizer.step`, and where weights are averaged `optimizer.a.<path>`. The
metadata are:

- `acz`: the format;
- `spec` and `spec_hash`: the model;
- `state`: JSON of the caller;
- `sha256`: a hash of the other metadata and the arrays, so that a changed bit is noticed. Older files have no hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import CheckpointError, SpecError
from acz.foundation.files.atomic import write_atomically
from acz.foundation.files.local import require_local
from acz.model.parameters import check_parameters
from acz.model.spec import Spec

FORMAT = "1"
OPTIMIZER = "optimizer."


@dataclass
class Checkpoint:
    """Everything that a checkpoint file holds. `optimizer` is empty where training cannot resume from it."""

    spec: Spec
    parameters: dict[str, Array]
    optimizer: dict[str, Array] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: str | Path,
    spec: Spec,
    parameters: Mapping[str, Array],
    optimizer: Mapping[str, Array] | None = None,
    state: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint atomically. Equal checkpoints are equal files.

    Args:
        path: the file to write.
        spec: the model.
        parameters: all parameters and statistics of the spec by path.
        optimizer: the moments `m.<path>` and `v.<path>`, the averages `a.<path>` if there are any, and `step`, for resuming.
        state: whatever the caller wants to keep beside them, as JSON.

    Raises:
        SpecError: `parameters` are not those of the spec.
        OSError: the file cannot be written.
    """
    from safetensors.numpy import save

    check_parameters(spec, parameters)
    arrays = {**parameters, **{OPTIMIZER + name: value for name, value in (optimizer or {}).items()}}
    metadata = {
        "acz": FORMAT,
        "spec": json.dumps(spec.to_dict()),
        "spec_hash": spec.hash,
        "state": json.dumps(dict(state or {})),
    }
    ready = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    content = save(ready, metadata | {"sha256": _digest(metadata, ready)})
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)

    def write(temporary: Path) -> None:
        # safetensors writes the metadata in a random order; with a sorted header equal checkpoints are equal files
        with temporary.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.write(memoryview(content)[8 + length :])

    write_atomically(Path(path), write)


def _digest(metadata: Mapping[str, str], arrays: Mapping[str, Array]) -> str:
    """SHA-256 of everything that a checkpoint holds."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {value.dtype} {np.shape(arrays[name])}\n".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_optimizer(spec: Spec, optimizer: Mapping[str, Array]) -> None:
    """Check that the arrays are moments of the spec's parameters and a number of steps. Raises SpecError."""
    for name, value in optimizer.items():
        moment, _, path = name.partition(".")
        if name == "step":
            fits = value.shape == () and value.dtype.kind in "iu" and int(value) >= 0
        elif name in ("scale", "growth"):  # of acz.model.loss_scale
            fits = value.shape == () and 0 <= float(value) < 2**63
        else:
            fits = moment in ("m", "v", "a") and path in spec.parameters and value.shape == spec.parameters[path].shape
        if not fits or value.dtype.kind not in "fiu":
            raise SpecError(f"'{OPTIMIZER}{name}' {value.dtype} {value.shape} is not a state of this model's optimiser")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, str], Any]]:
    """Open a checkpoint: give its metadata and its safetensors file.

    Raises:
        CheckpointError: the file is missing, damaged or not a checkpoint, also where the body of the `with` notices it.
    """
    from safetensors import SafetensorError, safe_open

    require_local(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("acz") != FORMAT:
                if "acz" in metadata:
                    raise CheckpointError(f"{path}: a checkpoint of format {metadata['acz']!r}; {FORMAT!r} is read")
                raise CheckpointError(
                    f"{path}: a safetensors file, but not a checkpoint of acz, whose metadata hold the model; {_advice(path)}"
                )
            yield metadata, file
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not safetensors: {error}; if another program wrote it, {_advice(path)}"
        ) from None


def _advice(path: Path) -> str:
    return f"'acz convert {path} --model CONFIG --out CKPT' makes a checkpoint of it"


def _state(metadata: Mapping[str, str]) -> dict[str, Any]:
    state = json.loads(metadata.get("state", "{}"))
    if not isinstance(state, dict):
        raise SpecError("its state must be a JSON object")
    return state


def read_state(path: str | Path) -> dict[str, Any]:
    """Read the state of a checkpoint from the head of the file. Neither the arrays nor the hash are read.

    Raises:
        CheckpointError: the file is missing, damaged or not a checkpoint.
    """
    path = Path(path)
    with _opened(path) as (metadata, _):
        try:
            return _state(metadata)
        except (ValueError, RecursionError, SpecError) as error:
            raise CheckpointError(f"{path}: {error}") from None


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint. It holds its own spec, so that no configuration is needed.

    Raises:
        CheckpointError: the file is missing, damaged or not a checkpoint.
    """
    path = Path(path)
    with _opened(path) as (metadata, file):
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    try:
        spec = Spec.from_dict(json.loads(metadata["spec"]))
        state = _state(metadata)
        optimizer = {k.removeprefix(OPTIMIZER): v for k, v in arrays.items() if k.startswith(OPTIMIZER)}
        parameters = {k: v for k, v in arrays.items() if not k.startswith(OPTIMIZER)}
        check_parameters(spec, parameters)
        _check_optimizer(spec, optimizer)
        if metadata["spec_hash"] != spec.hash:
            raise SpecError(f"its spec has the hash {spec.hash}, its metadata have {metadata['spec_hash']}")
        if not all(value.dtype.kind == "f" for value in parameters.values()):
            raise SpecError("parameters must be floating point")
        unknown = set(metadata) - {"acz", "spec", "spec_hash", "state", "sha256"}
        if unknown:
            raise SpecError(f"its metadata have the unknown key '{min(unknown)}'")
        digest = metadata.pop("sha256", None)
        if digest is not None and digest != _digest(metadata, arrays):
            raise SpecError("its content is not what was written: the file was damaged or changed after it was saved")
    except (KeyError, ValueError, TypeError, RecursionError, SpecError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Checkpoint(spec, parameters, optimizer, state)


def require_spec(checkpoint: Checkpoint, spec: Spec, path: str | Path) -> None:
    """Check that a checkpoint belongs to this model.

    Raises:
        CheckpointError: it belongs to another model. The message names the first difference.
    """
    if checkpoint.spec.hash == spec.hash:
        return
    theirs, ours = checkpoint.spec.parameters, spec.parameters
    different = [
        f"{p}: {theirs[p].shape if p in theirs else 'missing'} there, {ours[p].shape if p in ours else 'missing'} here"
        for p in {**ours, **theirs}
        if p not in theirs or p not in ours or theirs[p].shape != ours[p].shape
    ]
    raise CheckpointError(
        f"{path} is a checkpoint of another model (spec {checkpoint.spec.hash}, expected {spec.hash}); "
        + (different[0] if different else "the parameters are the same, the settings differ")
    )
