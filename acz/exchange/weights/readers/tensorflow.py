"""TensorFlow's checkpoints of the second format (tf.train.Saver since 1.0, and a SavedModel's variables), without TensorFlow.

PREFIX.index is a sorted table. It has a BundleHeaderProto under the empty key, and a BundleEntryProto under each
variable's name (tensorflow/core/protobuf/tensor_bundle.proto). An entry says where the variable's bytes are in the files
PREFIX.data-00000-of-00001, and has their masked CRC32C.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.exchange.weights.readers import messages
from acz.exchange.weights.readers.contents import Contents, array_over, size_of
from acz.exchange.weights.readers.sorted_table import read_table
from acz.foundation.arrays import Array, Shape
from acz.foundation.errors import DataError
from acz.foundation.files.protobuf import NotAMessage
from acz.foundation.files.tfrecord import masked

TYPES = {
    1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "b1", 17: "u2", 19: "f2", 22: "u4", 23: "u8",
}  # fmt: skip
"""By the number in DataType (tensorflow/core/framework/types.proto)."""
FORMAT = 1
"""The version that a reader of the files must have."""
MOST_SHARDS = 2**10
PART = b"\0"
"""The beginning of the keys of parts of partitioned variables."""
SUFFIX = re.compile(r"\.(index|data-\d{5,}-of-\d{5,})")
LATEST = re.compile(rb'^\s*model_checkpoint_path:\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
"""In the text file `checkpoint` of a folder."""


@dataclass(frozen=True)
class _Variable:
    """The place of the bytes of one variable."""

    name: str
    dtype: str
    shape: Shape
    shard: int
    offset: int
    size: int
    checksum: int


def find_prefix(path: Path) -> Path | None:
    """Find the prefix of a checkpoint: the beginning of the names of its files.

    Args:
        path: the prefix, one of the files, or their folder. In a folder it is the checkpoint that the file `checkpoint`
            names, or else the only one in it, or in the folder `variables` of a SavedModel.

    Returns:
        The prefix, or None where the path is something else.

    Raises:
        DataError: the folder has several checkpoints, or not the one that `checkpoint` names.
    """
    if path.is_dir():
        return _prefix_in(path)
    if SUFFIX.fullmatch(path.suffix):
        return path.with_suffix("")
    return path if not path.exists() and _index(path).is_file() else None


def _index(prefix: Path) -> Path:
    """The index of a checkpoint."""
    return prefix.with_name(f"{prefix.name}.index")


def _prefix_in(folder: Path) -> Path | None:
    """The prefix of the checkpoint in a folder, as `find_prefix` finds it."""
    latest = folder / "checkpoint"
    if latest.is_file():
        with latest.open("rb") as file:
            named = LATEST.search(file.read(2**16))
        # the folder may have been moved since: files lie beside this one, whatever path is written in it
        name = Path(named[1].decode("utf-8", "replace")).name if named else ""
        if not name:
            raise DataError(f"{latest}: names no checkpoint; give the checkpoint itself, as {folder}/model.ckpt-N")
        if f"{name}.index" not in [file.name for file in folder.iterdir()]:
            raise DataError(f"{latest} names '{name}', of which there is no file {name}.index beside it")
        return folder / name
    for place in (folder, folder / "variables"):
        indices = sorted(place.glob("*.index"))
        if len(indices) > 1:
            names = ", ".join(file.stem for file in indices[:8])
            raise DataError(f"{place}: holds several checkpoints and no file 'checkpoint'; give one of them: {names}")
        if indices:
            return indices[0].with_suffix("")
    return None


def read_tensorflow(path: Path) -> Contents:
    """Read the variables of a checkpoint.

    Args:
        path: what `find_prefix` takes.

    Raises:
        DataError: the checkpoint is damaged, or holds a variable that is not an array of numbers.
    """
    prefix = find_prefix(path)
    if prefix is None:
        raise DataError(f"{path}: no checkpoint of TensorFlow")
    index = _index(prefix)
    table = read_table(index)
    try:
        shards = _shards(table.pop(b"", None))
        variables = [_variable(key, value, shards) for key, value in table.items() if not key.startswith(PART)]
        if any(key.startswith(PART) for key in table):
            raise DataError("has parts of partitioned variables, and not the variables")
    except DataError as error:
        raise DataError(f"{index}: {error}") from None
    files = [prefix.with_name(f"{prefix.name}.data-{n:05}-of-{shards:05}") for n in range(shards)]
    arrays: dict[str, Array] = {}
    for number, file in enumerate(files):
        arrays |= _read_shard(file, [variable for variable in variables if variable.shard == number])
    named = {variable.name: arrays[variable.name] for variable in variables}
    return Contents(named, name=prefix.name, files=[index, *files])


def _shards(content: bytes | None) -> int:
    """The number of data files. Raises DataError where the header is damaged, or of a format that is not read."""
    header = None if content is None else _parse(messages.bundle_header, content, "its header")
    if header is None:
        raise DataError("a sorted table, but it has no header of a checkpoint")
    if header.endianness != 0:
        raise DataError("written on a big-endian machine, which is not read")
    if header.version.min_consumer > FORMAT:
        raise DataError(f"of the later format {header.version.min_consumer}; format {FORMAT} is read")
    if not 0 < header.num_shards <= MOST_SHARDS:
        raise DataError(f"says that it has {header.num_shards:,} data files; 1 to {MOST_SHARDS:,} are read")
    return int(header.num_shards)


def _variable(key: bytes, content: bytes, shards: int) -> _Variable:
    """The place of a variable, from its entry in the index. Raises DataError where it is not an array of numbers."""
    name = key.decode("utf-8", "backslashreplace")
    entry = _parse(messages.bundle_entry, content, f"'{name}'")
    if entry.slices:
        raise DataError(f"'{name}' is partitioned, which is not read; save it whole")
    dtype = TYPES.get(entry.dtype)
    if dtype is None or entry.shape.unknown_rank:
        raise DataError(f"'{name}' is of the type {entry.dtype} of TensorFlow, which is no array of numbers")
    shape = tuple(int(side.size) for side in entry.shape.dim)
    size = size_of(shape, dtype, f"'{name}'")
    if size != entry.size:
        raise DataError(f"'{name}': {dtype} {shape} needs {size:,} bytes, and it announces {entry.size:,}")
    if not 0 <= entry.shard_id < shards or entry.offset < 0:
        raise DataError(f"'{name}' lies at byte {entry.offset:,} of data file {entry.shard_id} of {shards}")
    return _Variable(name, dtype, shape, entry.shard_id, entry.offset, size, entry.crc32c)


def _parse(read: Any, content: bytes, what: str) -> Any:
    """Read a message. Raises DataError that names `what`."""
    try:
        return read(content)
    except NotAMessage:
        raise DataError(f"{what} is damaged: no message") from None


def _read_shard(path: Path, variables: list[_Variable]) -> dict[str, Array]:
    """Read the arrays in a data file.

    Raises:
        DataError: an array overlaps another, is not within the file, or has another checksum.
    """
    arrays = {}
    end, before = 0, ""
    try:
        whole = path.stat().st_size
        with path.open("rb") as file:
            for variable in sorted(variables, key=lambda variable: (variable.offset, variable.size)):
                what = f"{path}: '{variable.name}'"
                if variable.offset < end:  # so that all of them together are no larger than the file
                    raise DataError(f"{what} begins before '{before}' ends")
                if variable.offset + variable.size > whole:
                    place = variable.offset + variable.size
                    raise DataError(f"{what} ends at byte {place:,}, and the file at {whole:,}")
                end, before = variable.offset + variable.size, variable.name
                file.seek(variable.offset)
                data = file.read(variable.size)
                if masked(data) != variable.checksum:
                    raise DataError(f"{what} is not what was written: the checksum is wrong")
                arrays[variable.name] = array_over(data, variable.shape, variable.dtype, what)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None
    return arrays
