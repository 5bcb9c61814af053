"""A checkpoint to a framework's own file, read back before it is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from acz.backend.info import BackendInfo, NativeFormat
from acz.backend.registry import is_installed, native_formats
from acz.backend.worker import Worker
from acz.exchange.weights.jobs import ReadArguments, SaveArguments, read_native, save_native
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, MissingError, SpecError, nearest
from acz.foundation.files.atomic import write_atomically
from acz.model.checkpoint import Checkpoint


def find_native(to: str, out: Path) -> tuple[BackendInfo, NativeFormat]:
    """The kind of file that is called `to`, ready to be written to `out`, and the backend that writes it.

    Raises:
        SpecError: the kind is unknown, or its readers ask for another suffix.
        MissingError: its framework is not installed.
    """
    known = native_formats()
    if to not in known:
        raise SpecError(f"there is no kind of file '{to}'; {nearest(to, known)}")
    info, native = known[to]
    if native.suffix and out.suffix != native.suffix:
        raise SpecError(f"{to} reads files named *{native.suffix} only; take --out {out.with_suffix(native.suffix)}")
    if not is_installed(info):
        raise MissingError(f"{info.framework}, which writes these files, is not installed; {info.advice}")
    return info, native


def to_native(
    checkpoint: Checkpoint,
    source: Path,
    info: BackendInfo,
    out: Path,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> int:
    """Write a checkpoint, read from `source`, as the file `out`; gives the number of arrays.

    The framework writes it and reads it back in a process of its own; every array must come back with the same bits, or
    nothing is left. `progress` is told what is being done, and which step of how many it is.

    Raises:
        SpecError: `out` is the checkpoint.
        CheckFailed: an array does not come back as it was.
    """
    if out.resolve() == source.resolve():
        raise SpecError(f"--out {out} is the checkpoint that is read; take another")
    wide = all(value.dtype == np.float64 for value in checkpoint.parameters.values())
    dtype = "float64" if wide else "float32"
    with Worker(info.name) as worker:
        made = Path(worker.folder.name) / f"made{out.suffix}"
        progress(f"writing it in {info.name}", 0, 3)
        worker.run(save_native, SaveArguments(source.resolve(), made, dtype))
        progress("reading it back", 1, 3)
        names, arrays = worker.run(read_native, ReadArguments(made))
        want = {name: value.astype(dtype) for name, value in checkpoint.parameters.items()}
        _require_same_bits({name: arrays[str(number)] for number, name in enumerate(names)}, want, info.name)
        progress(f"keeping {out.name}", 2, 3)
        write_atomically(out, lambda temporary: shutil.copyfile(made, temporary))
    return len(want)


def _require_same_bits(found: Mapping[str, Array], want: Mapping[str, Array], to: str) -> None:
    for name in {**want, **found}:
        one, other = found.get(name), want.get(name)
        if one is None or other is None or (one.dtype, one.shape) != (other.dtype, other.shape):
            raise CheckFailed(f"'{name}' does not come back from {to}'s file as it was; nothing was written")
        if one.tobytes() != other.tobytes():
            raise CheckFailed(f"'{name}' does not come back from {to}'s file with the same bits; nothing was written")
