"""Checkpoints: safetensors files that carry their spec, written so that a reader never sees half of one.

A file holds every parameter and statistic under its path; one that training can go on from also holds `optimizer.m.<path>`,
`optimizer.v.<path>` and `optimizer.step`. Metadata: `acz` (format), `spec` and `spec_hash`, and `state`, JSON of the caller's.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.errors import CheckpointError, SpecError
from acz.layers import Array
from acz.reference import check_parameters
from acz.spec import Spec

FORMAT = "1"
OPTIMIZER = "optimizer."


@dataclass
class Checkpoint:
    """Everything that a checkpoint file holds. `optimizer` is empty where training can't go on from it."""

    spec: Spec
    parameters: dict[str, Array]
    optimizer: dict[str, Array] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it: all or nothing, also on a power cut.

    Raises OSError (a full disk, a folder that is read-only); the temporary file is gone then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises OSError."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a kill in the middle of `write_whole` left. Only while the folder is locked."""
    for path in folder.rglob(".*.*"):
        if path.name != ".lock" and path.is_file():
            path.unlink()


def save_checkpoint(
    path: str | Path,
    spec: Spec,
    parameters: Mapping[str, Array],
    optimizer: Mapping[str, Array] | None = None,
    state: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint. Raises SpecError where `parameters` are not the spec's, OSError where the disk won't take it."""
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
    content = save(ready, metadata)
    write_whole(Path(path), lambda temporary: temporary.write_bytes(content))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; it needs no configuration.

    Raises CheckpointError where the file is missing, damaged, or no checkpoint of this program.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged, or not safetensors: {error}") from None
    if metadata.get("acz") != FORMAT:
        raise CheckpointError(
            f"{path}: safetensors, but not a checkpoint of acz (its metadata say acz={metadata.get('acz')!r}, not {FORMAT!r})"
        )
    try:
        spec = Spec.from_dict(json.loads(metadata["spec"]))
        state = json.loads(metadata.get("state", "{}"))
        optimizer = {k.removeprefix(OPTIMIZER): v for k, v in arrays.items() if k.startswith(OPTIMIZER)}
        parameters = {k: v for k, v in arrays.items() if not k.startswith(OPTIMIZER)}
        check_parameters(spec, parameters)
        if metadata["spec_hash"] != spec.hash:
            raise SpecError(f"its spec has the hash {spec.hash}, its metadata say {metadata['spec_hash']}")
        if not all(value.dtype.kind == "f" for value in parameters.values()):
            raise SpecError("parameters must be floating point")
        if not isinstance(state, dict):
            raise SpecError("its state must be a JSON object")
    except (KeyError, ValueError, TypeError, RecursionError, SpecError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Checkpoint(spec, parameters, optimizer, state)


def require_spec(checkpoint: Checkpoint, spec: Spec, path: str | Path) -> None:
    """Raise CheckpointError, naming the first difference, unless the checkpoint is of this model."""
    if checkpoint.spec.hash == spec.hash:
        return
    theirs, ours = checkpoint.spec.parameters, spec.parameters
    different = [
        f"{p}: {theirs[p].shape if p in theirs else 'missing'} there, {ours[p].shape if p in ours else 'missing'} here"
        for p in {**ours, **theirs}
        if p not in theirs or p not in ours or theirs[p].shape != ours[p].shape
    ]
    raise CheckpointError(
        f"{path} is a checkpoint of another model (spec {checkpoint.spec.hash}, wanted {spec.hash}); "
        + (different[0] if different else "parameters agree, settings differ")
    )
