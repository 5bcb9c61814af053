"""The shards of a folder of examples: their records in the manifest, and their arrays, opened and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.npy import map_npy
from acz.foundation.files.texts import decode_text, texts_of

LABELS, ID, LENGTHS = "labels", "id", ".lengths"
"""The names of arrays that are not inputs, and the end of such a name."""

Count = Annotated[int, Field(ge=0, lt=2**63)]


class FileRecord(BaseModel):
    """One array on disk."""

    file: str
    sha256: str
    shape: list[Count]
    dtype: str


class ShardRecord(BaseModel):
    """One shard: its arrays by name."""

    number: Count
    count: Count
    files: dict[str, FileRecord]


class Manifest(BaseModel):
    """The content of manifest.json; `made` are facts about its making."""

    format: Literal["acz-features-1"]
    made: dict[str, Any]
    splits: dict[str, list[ShardRecord]]


def input_names(shard: Mapping[str, Any]) -> list[str]:
    """The names of the arrays that models read."""
    return [name for name in shard if name not in (LABELS, ID) and not name.endswith(LENGTHS)]


def videos_of(arrays: Mapping[str, Array]) -> int:
    """The number of videos of a shard's arrays. Raises DataError where the numbers differ, or there is no array."""
    counts = {name: len(value) for name, value in arrays.items()}
    if len(set(counts.values())) != 1:
        words = ", ".join(f"'{name}' {count:,}" for name, count in counts.items()) or "no arrays"
        raise DataError(f"the arrays of a shard must have the same videos, got {words}")
    return next(iter(counts.values()))


def as_array(value: Any, place: str) -> Array:
    """An array of numbers, a tensor or nested lists as NumPy's array.

    Args:
        value: the values.
        place: the words for them in messages.

    Raises:
        DataError: NumPy can't convert them, as a tensor of another device, or some of them are masked.
    """
    if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):
        raise DataError(f"{place}: some values of the array are masked; .filled(0) gives an array without a mask")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of unequal lengths; a tensor of a device
        raise DataError(f"{place}: can't be read as an array: {error!s:.200}; pass a NumPy array") from None


def as_names(value: Any) -> Array:
    """The names of videos as an array of texts (videos), from texts, bytes or integers.

    Raises:
        DataError: The value is something else; the message has the row.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.ndim == 1:
        _texts(value)
        return value
    if isinstance(value, np.ndarray) and (value.ndim != 1 or value.dtype.kind not in "SOiu"):
        raise DataError(f"must be names (videos), got {value.dtype} {value.shape}")
    names = []
    for row, name in enumerate(value):
        if isinstance(name, bytes):
            name = decode_text(name)
        elif isinstance(name, (int, np.integer)) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str):
            raise DataError(f"row {row}: the name of a video must be a text, got {name!r:.80}")
        names.append(name)
    return np.array(names, np.str_)


def names_in(value: Array) -> list[str]:
    """The names of videos in rows of a stored `id`: texts (videos), or bytes of UTF-8 (videos, bytes)."""
    if value.ndim == 2:
        return [decode_text(bytes(row).rstrip(b"\0")) for row in value]
    return _texts(value)


def _texts(value: Array) -> list[str]:
    try:
        return texts_of(value)
    except ValueError as error:
        raise DataError(f"the names of videos are damaged: {error}") from None


def open_shards(folder: Path, split: str, records: Sequence[ShardRecord]) -> list[dict[str, Array]]:
    """Map the arrays of a split's shards, by name.

    Raises:
        DataError: A file is missing or damaged, or the shards are unlike each other; the message names it.
    """
    place = f"{folder}/{split}"
    shards = [{name: _open(folder, name, file) for name, file in record.files.items()} for record in records]
    if not shards or not input_names(shards[0]):
        raise DataError(f"{place}: no shards with inputs")
    for number, (record, shard) in enumerate(zip(records, shards, strict=True)):
        if set(shard) != set(shards[0]):
            raise DataError(f"{place}: shard {number} holds {sorted(shard)}, the first {sorted(shards[0])}")
        for name, value in shard.items():
            if len(value) != record.count:
                raise DataError(
                    f"{place}: shard {number} holds {len(value)} {_in_words(name)}, the manifest says {record.count}"
                )
            first = shards[0][name]
            same_kind = value.dtype.kind == first.dtype.kind == "U" or value.dtype == first.dtype
            if value.shape[1:] != first.shape[1:] or not same_kind:
                raise DataError(f"{place}: shard {number} has '{name}' {value.shape}, unlike the others")
    for name, value in shards[0].items():
        of = shards[0].get(name.removesuffix(LENGTHS))
        if name.endswith(LENGTHS) and (value.dtype.kind not in "iu" or value.ndim != 1 or of is None or of.ndim < 2):
            raise DataError(f"{place}: '{name}' must be integers (videos), beside an input with frames")
        if name == ID and (value.dtype.kind, value.ndim) not in (("U", 1), ("u", 2)):
            raise DataError(f"{place}: '{ID}' must be names (videos), got {value.dtype} {value.shape}")
    return shards


def _in_words(name: str) -> str:
    return name if name == LABELS else f"videos in '{name}'"


def _open(folder: Path, name: str, file: FileRecord) -> Array:
    path = PurePosixPath(file.file)
    if path.is_absolute() or ".." in path.parts or "\0" in file.file:
        raise DataError(f"{folder}/manifest.json: damaged: it names a file outside of its folder, {file.file}")
    whole = folder / path
    if not whole.is_file():
        raise DataError(f"there is no file {whole}, which the manifest lists")
    value = map_npy(whole, texts=name == ID)
    if list(value.shape) != file.shape or str(value.dtype) != file.dtype:
        raise DataError(f"{whole}: holds {value.dtype} {value.shape}, the manifest says {file.dtype} {file.shape}")
    return value
