"""Features that are given as an array (videos, ...), as an array for each video, or as files of these."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.shards import as_array
from acz.foundation.arrays import Array, Shape
from acz.foundation.errors import DataError
from acz.foundation.files.npy import map_npy

IN_MEMORY = "the array '{}'"
"""The words for values that no file holds, in messages."""


@dataclass(frozen=True)
class Features:
    """The values of one input for all videos of a split. They are read part by part."""

    origin: str
    """The file or folder that holds them, for messages."""
    videos: int
    shape: Shape
    """The shape of a video's array; its frames are those of the longest video."""
    dtype: np.dtype[Any]
    """The dtype in which they are stored: uint8 or float32."""
    rows: Callable[[Array], Array]
    """`rows(numbers)`: the values of these videos, in the dtype that they have."""
    lengths: Array | None = None
    """The number of valid frames of each video, (videos); None where all frames are."""
    mask: Array | None = None
    """True where a frame is valid, (videos, frames), where the valid ones need not be the first."""
    names: list[str] = field(default_factory=list)
    """The names of the videos, where each has a file of its own."""

    def read(self, numbers: Array) -> Array:
        """The values of these videos as they are stored: valid frames first, and zeros after them.

        Raises:
            DataError: A value is not finite; the message has its file, row and place.
        """
        with np.errstate(over="ignore"):
            values = np.asarray(self.rows(numbers), self.dtype)
        if self.mask is not None:
            order = np.argsort(~self.mask[numbers], axis=1, kind="stable")
            values = np.take_along_axis(values, _beside(order, values), axis=1)
        if self.lengths is not None:
            padding = np.arange(values.shape[1]) >= self.lengths[numbers, None]
            if padding.any():
                values = np.where(_beside(padding, values), values.dtype.type(0), values)
        if self.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                row, *place = (int(index) for index in np.argwhere(~finite)[0])
                frame = f", frame {place[0]}" if len(place) > 1 else ""
                raise DataError(
                    f"{self.origin}: row {numbers[row]}{frame}: {values[row][tuple(place)]} is not a finite float32 number"
                )
        return values


def take_rows(array: Array, numbers: Array) -> Array:
    """Rows of an array; a view where they follow one another, which reads no more than it must."""
    first, last = int(numbers[0]), int(numbers[-1])
    rows: Array = array[first : last + 1] if last - first + 1 == len(numbers) else array[numbers]
    return rows


def _beside(frames: Array, values: Array) -> Array:
    """An array (videos, frames) with the axes that `values` has behind them."""
    return frames.reshape(frames.shape + (1,) * (values.ndim - 2))


def open_features(name: str, value: Any) -> Features:
    """Open the values of an input.

    Args:
        name: The name of the input.
        value: An array (videos, ...); a sequence of arrays (frames, features), one a video; a file .npy of an array; or
            a folder or a glob of files .npy, one a video, in the order of their names.

    Raises:
        DataError: There is no such file, or it holds something else.
    """
    if isinstance(value, str | Path):
        path = Path(value)
        if path.is_dir() or (glob.has_magic(str(value)) and not path.exists()):
            return _open_files(str(value), path)
        return _dense(str(value), _map(path))
    origin = IN_MEMORY.format(name)
    if hasattr(value, "__array__") and (array := as_array(value, origin)).dtype != np.object_:
        return _dense(origin, array)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, bytes):
        raise DataError(f"{origin}: must be an array, a sequence of arrays or a file, got {type(value).__name__}")
    places = [f"{origin}: row {row}" for row in range(len(value))]
    arrays = [as_array(video, place) for video, place in zip(value, places, strict=True)]
    return list_features(origin, places, arrays.__getitem__, [])


def _map(path: Path) -> Array:
    if path.is_file() and path.suffix != ".npy":
        raise DataError(f"{path}: features are read from .npy files; np.save writes one")
    return map_npy(path)


def _open_files(origin: str, path: Path) -> Features:
    files = sorted(path.glob("*.npy") if path.is_dir() else map(Path, glob.glob(origin)))
    if not files:
        raise DataError(f"{origin}: holds no .npy files, one a video")
    return list_features(origin, list(map(str, files)), lambda row: _map(files[row]), _video_names(path, files))


def _video_names(pattern: Path, files: Sequence[Path]) -> list[str]:
    """The names of the videos that files belong to: without the end that the glob gives, as in `*_rgb.npy`."""
    end = pattern.name.removesuffix(".npy").rpartition("*")[2] if "*" in pattern.name else ""
    return [file.stem.removesuffix(end) if not glob.has_magic(end) else file.stem for file in files]


def _dense(origin: str, array: Array) -> Features:
    if array.ndim < 2 or array.size == 0:
        raise DataError(f"{origin}: features are (videos, frames, features) or (videos, features), got {array.shape}")
    dtype = _stored(origin, array.dtype)
    return Features(origin, len(array), array.shape[1:], dtype, lambda numbers: take_rows(array, numbers))


def list_features(origin: str, places: list[str], get: Callable[[int], Array], names: list[str]) -> Features:
    """Features of which each video has an array of its own.

    Args:
        origin: The words for all of them, for messages.
        places: The words for each array.
        get: Gives an array by its number. It is read when it is needed.
        names: The names of the videos; empty where they have none.

    Raises:
        DataError: There is no video, or two arrays are not alike.
    """
    if not places:
        raise DataError(f"{origin}: holds no videos")
    first = get(0)
    dtype = _stored(places[0], first.dtype)
    lengths = np.zeros(len(places), np.int64)
    for row, place in enumerate(places):
        video = get(row)
        if video.ndim == 0 or video.ndim != first.ndim or video.shape[1:] != first.shape[1:]:
            raise DataError(f"{place}: holds {video.shape}, the first video {first.shape}")
        if _stored(place, video.dtype) != dtype:
            raise DataError(f"{place}: holds {video.dtype}, the first video {first.dtype}")
        lengths[row] = len(video)
    if first.ndim == 1 and len(set(lengths.tolist())) > 1:
        row = int(np.argmax(lengths != lengths[0]))
        raise DataError(f"{places[row]}: holds {lengths[row]} features, the first video {lengths[0]}")
    shape = (int(lengths.max()), *first.shape[1:])

    def rows(numbers: Array) -> Array:
        values = np.zeros((len(numbers), *shape), dtype)
        for row, number in enumerate(numbers.tolist()):
            values[row, : lengths[number]] = get(number)
        return values

    padded = len(set(lengths.tolist())) > 1
    return Features(origin, len(places), shape, dtype, rows, lengths if padded else None, None, names)


def _stored(place: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which values are stored."""
    if dtype == np.uint8:
        return np.dtype(np.uint8)
    if dtype.kind != "f":
        raise DataError(
            f"{place}: features are floats, or bytes (uint8), got {dtype}; .astype(np.float32) makes floats"
        )
    return np.dtype(np.float32)
