"""A checkpoint to a framework's own file, read back before it is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from acz.backend.info import BackendInfo, NativeFormat
from acz.backend.registry import is_installed, native_formats
from acz.backend.worker import Worker
from acz.exchange.weights.jobs import SaveArguments, save_native
from acz.exchange.weights.readers.jobs import ReadArguments, read_native
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, MissingError, SpecError, nearest
from acz.foundation.files.atomic import write_atomically
from acz.model.checkpoint import Checkpoint


def find_native(to: str, out: Path) -> tuple[BackendInfo, NativeFormat]:
    """Find a kind of file by its name.

    Args:
        to: the name of the kind.
        out: the file that will be written.

    Returns:
        The backend that writes the kind, and the kind.

    Raises:
        SpecError: the kind is unknown, or its readers ask for another suffix.
    """
    known = native_formats()
    if to not in known:
        raise SpecError(f"there is no kind of file '{to}'; {nearest(to, known)}")
    info, native = known[to]
    if native.suffix and out.suffix != native.suffix:
        raise SpecError(f"{to} reads files named *{native.suffix} only; take --out {out.with_suffix(native.suffix)}")
    return info, native


def to_native(
    checkpoint: Checkpoint,
    source: Path,
    info: BackendInfo,
    out: Path,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> int:
    """Write a checkpoint as a framework's own file.

    The framework writes it and reads it back in a process of its own. Every array must come back with the same bits, or
    nothing is left.

    Args:
        checkpoint: the checkpoint.
        source: its file.
        info: the backend that writes.
        out: the file to write.
        progress: told what is being done, and which step of how many it is.

    Returns:
        The number of arrays.

    Raises:
        SpecError: `out` is the checkpoint.
        MissingError: the framework is not installed.
        CheckFailed: an array does not come back as it was.
    """
    if out.resolve() == source.resolve():
        raise SpecError(f"--out {out} is the checkpoint that is read; take another")
    if not is_installed(info):
        raise MissingError(f"{info.framework}, which writes these files, is not installed; {info.advice}")
    wide = all(value.dtype == np.float64 for value in checkpoint.parameters.values())
    dtype = "float64" if wide else "float32"
    with Worker(info.name) as worker:
        made = Path(worker.folder.name) / f"made{out.suffix}"
        progress(f"writing it in {info.name}", 0, 3)
        worker.run(save_native, SaveArguments(source.resolve(), made, dtype))
        progress("reading it back", 1, 3)
        (names, _), arrays = worker.run(read_native, ReadArguments(made))
        expected = {name: value.astype(dtype) for name, value in checkpoint.parameters.items()}
        _require_same_bits({name: arrays[str(number)] for number, name in enumerate(names)}, expected, info.name)
        progress(f"keeping {out.name}", 2, 3)
        write_atomically(out, lambda temporary: shutil.copyfile(made, temporary))
    return len(expected)


def _require_same_bits(returned: Mapping[str, Array], expected: Mapping[str, Array], to: str) -> None:
    """Raise CheckFailed unless both have the same names, types, shapes and bits. `to` is the framework."""
    for name in {**expected, **returned}:
        value, wanted = returned.get(name), expected.get(name)
        if value is None or wanted is None or (value.dtype, value.shape) != (wanted.dtype, wanted.shape):
            raise CheckFailed(f"'{name}' does not come back from {to}'s file as it was; nothing was written")
        if value.tobytes() != wanted.tobytes():
            raise CheckFailed(f"'{name}' does not come back from {to}'s file with the same bits; nothing was written")
