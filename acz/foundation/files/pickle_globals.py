"""Functions that the globals of a pickle stand for in `unpickle`: they build arrays, dtypes and dictionaries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.texts import decode_text


class Budget(Protocol):
    """The part of the machine that these functions use."""

    def spend(self, count: int) -> None:
        """Account for a copy of `count` items. Raises Refused where the copies are more than the file has bytes."""


class Refused(DataError):
    """A pickle asks for something that is not admitted; `loads` adds the file and the place."""


@dataclass(frozen=True)
class Global:
    """A name that a pickle gave, and the function that it stands for."""

    name: str
    make: Callable[[Budget, tuple[Any, ...]], Any] | None


@dataclass
class Unbuilt:
    """An array or dtype between REDUCE and BUILD, and its places in the memo."""

    build: Callable[[Any], Any]
    places: list[int] = field(default_factory=list)


def text(value: Any) -> str:
    """A string of Python 3, or the bytes of one of Python 2 as UTF-8. Raises DataError for anything else."""
    if isinstance(value, bytes):
        return decode_text(value)
    if not isinstance(value, str):
        raise DataError(f"a string was expected, got {type(value).__name__}")
    return value


def _word(value: Any) -> str:
    """A short text. A long one is not even copied, since a pickle can give the same text again and again."""
    if not isinstance(value, (str, bytes)) or not 0 < len(value) <= 8:
        raise Refused("that is not the name of a dtype")
    return text(value)


def _shape(value: Any) -> tuple[int, ...]:
    sides = (value,) if type(value) is int else value
    if type(sides) is not tuple or len(sides) > 8 or not all(type(side) is int and side >= 0 for side in sides):
        raise Refused("that is not the shape of an array: at most eight numbers, none negative")
    return sides


def _array(shape: tuple[int, ...], dtype: Any, data: Any, fortran: bool) -> Array:
    """The array over the bytes that the file holds for it; no other memory is reserved."""
    if not isinstance(dtype, np.dtype) or type(data) is not bytes:
        raise Refused("an array needs a dtype of numbers and its bytes")
    size = dtype.itemsize
    for side in shape:
        size *= side
    if size != len(data):
        raise Refused(f"an array is said to be {dtype} {shape}, {size:,} bytes, and has {len(data):,}")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _reconstruct(budget: Budget, arguments: tuple[Any, ...]) -> Unbuilt:
    kind, _, _ = arguments
    if kind is not GLOBALS["numpy", "ndarray"]:
        raise Refused("an array of another class than numpy.ndarray")

    def build(state: Any) -> Array:
        if len(state) != 5:
            raise Refused("an array needs five values")
        _, shape, dtype, fortran, data = state
        return _array(_shape(shape), dtype, data, bool(fortran))

    return Unbuilt(build)


def _frombuffer(budget: Budget, arguments: tuple[Any, ...]) -> Array:
    data, dtype, shape, order = arguments
    return _array(_shape(shape), dtype, data, order == "F")


def _scalar(budget: Budget, arguments: tuple[Any, ...]) -> Any:
    dtype, data = arguments
    return _array((), dtype, data, False)[()]


def _dtype(budget: Budget, arguments: tuple[Any, ...]) -> Unbuilt:
    name = _word(arguments[0])
    if not re.fullmatch(r"b1|[iu][1248]|f[248]", name):
        raise Refused(f"a dtype {name[:20]!r}")

    def build(state: Any) -> np.dtype[Any]:
        order = _word(state[1])
        if (
            len(state) != 8
            or order not in ("<", ">", "|", "=")
            or (state[0], *state[2:]) != (3, None, None, None, -1, -1, 0)
        ):
            raise Refused("a dtype with fields, an object or metadata")
        return np.dtype(name).newbyteorder(order)  # type: ignore[arg-type]  # checked in the line before

    return Unbuilt(build)


def _encode(budget: Budget, arguments: tuple[Any, ...]) -> bytes:
    """`_codecs.encode`, the detour by which Python 3 stores bytes below protocol 3."""
    value, encoding = arguments
    if type(value) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("_codecs.encode with another encoding than latin1")
    budget.spend(len(value))
    return value.encode("latin1")


def _bytes(budget: Budget, arguments: tuple[Any, ...]) -> bytes:
    if arguments:
        raise Refused("bytes with arguments")
    return b""


def _dictionary(budget: Budget, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """`collections.OrderedDict`: Python 3 fills it afterwards, Python 2 gives a list of pairs."""
    pairs = arguments[0] if arguments else []
    budget.spend(len(pairs))
    return {dictionary_key(key): value for key, value in pairs}


def _tuple(budget: Budget, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """`tuple` of a tuple: PaddlePaddle stores a tensor in a dictionary of dictionaries as its name and its values."""
    (values,) = arguments
    if type(values) is not tuple:
        raise Refused("tuple of something else than a tuple")
    return values


def dictionary_key(value: Any) -> Any:
    """The same value, as a key. Raises Refused for a value whose hash may take long."""
    if type(value) not in (str, bytes, int):
        raise Refused(f"a {type(value).__name__} as a dictionary's key")
    return value


_ADMITTED_GLOBALS: dict[tuple[str, str], Callable[[Budget, tuple[Any, ...]], Any] | None] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _bytes,
    ("builtins", "bytes"): _bytes,
    ("builtins", "tuple"): _tuple,
    ("__builtin__", "tuple"): _tuple,
    ("collections", "OrderedDict"): _dictionary,
}
GLOBALS = {key: Global(".".join(key), make) for key, make in _ADMITTED_GLOBALS.items()}
