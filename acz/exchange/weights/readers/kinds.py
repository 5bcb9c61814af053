"""Kinds of files that hold weights, recognised by their first bytes, and their arrays.

Nothing in a file is run. The kinds in READERS are read here: byte by byte, and pickles by
`acz.foundation.files.unpickle`. They need no framework. A kind that only its backend describes is read by that backend,
in a process of its own.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from acz.backend.info import BackendInfo
from acz.backend.registry import is_installed, native_formats
from acz.backend.worker import Worker
from acz.exchange.weights.jobs import ReadArguments, read_native
from acz.exchange.weights.readers import messages
from acz.exchange.weights.readers.contents import Contents, array_over, size_of
from acz.exchange.weights.readers.sorted_table import is_table
from acz.exchange.weights.readers.tensorflow import find_prefix, read_tensorflow
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, MissingError
from acz.foundation.files.pickle_globals import text
from acz.foundation.files.protobuf import NotAMessage
from acz.foundation.files.unpickle import load
from acz.foundation.processes.job_process import JobFailed

MINDSPORE_TYPES = {
    "Bool": "b1",
    "Int8": "i1",
    "Int16": "i2",
    "Int32": "i4",
    "Int64": "i8",
    "UInt8": "u1",
    "UInt16": "u2",
    "UInt32": "u4",
    "UInt64": "u8",
    "Float16": "f2",
    "Float32": "f4",
    "Float64": "f8",
}
PADDLE_TYPES = {0: "b1", 1: "i2", 2: "i4", 3: "i8", 4: "f2", 5: "f4", 6: "f8", 20: "u1", 21: "i1"}
"""By the number in VarType.Type."""


def file_kind(path: Path) -> str:
    """Recognise the kind of a file of weights: `tensorflow`, `acz`, or the native kind of a backend.

    Raises:
        DataError: the file is missing, can't be read, or is of no known kind.
    """
    if find_prefix(path):
        return "tensorflow"
    if not path.exists():
        raise DataError(f"there is no file {path}")
    try:
        if path.is_file():
            if is_table(path):
                raise DataError(
                    f"{path}: TensorFlow's first format of checkpoints, before 1.0; its second is read: PREFIX.index"
                )
            with path.open("rb") as file:
                head = file.read(9)
            if head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
                return "acz"  # safetensors: the header's length, then JSON
        fitting = [kind for kind, (_, native) in native_formats().items() if native.recognises(path)]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: can't be read: {error}") from None
    if fitting:
        return fitting[-1]  # PaddlePaddle's takes any folder, so a backend that is registered after it is right
    known = ", ".join(sorted({*READERS, *native_formats()}))
    raise DataError(f"{path}: no checkpoint of a known kind; {known} files are read")


def read(path: Path, kind: str) -> Contents:
    """Read the arrays of a file.

    Args:
        path: the file or folder.
        kind: the kind that `file_kind` gave.

    Raises:
        DataError: the file is damaged.
        MissingError: the framework that reads the kind is not installed.
    """
    return READERS[kind](path) if kind in READERS else in_framework(native_formats()[kind][0], path)


def in_framework(info: BackendInfo, path: Path) -> Contents:
    """Read the arrays of a native file by its backend, in a process of its own.

    Args:
        info: the backend.
        path: the file.

    Raises:
        MissingError: the framework is not installed.
        DataError: the framework can't read the file.
    """
    if not is_installed(info):
        raise MissingError(f"{path} is read by {info.framework}, which is not installed; {info.advice}")
    with Worker(info.name) as worker:
        try:
            names, arrays = worker.run(read_native, ReadArguments(path.resolve()))
        except JobFailed as error:
            reason = str(error).partition("\n")[0][:300]
            raise DataError(f"{path}: {info.name} can't read it: {reason}") from None
    return Contents({name: arrays[str(number)] for number, name in enumerate(names)})


def read_mindspore(path: Path) -> Contents:
    """Read a .ckpt of MindSpore: messages, one after the other. Parts of a large array have the same tag.

    Raises:
        DataError: the file is damaged.
    """
    content = path.read_bytes()
    if content[-17:-10] == b"crc_num":  # a checksum that can follow
        content = content[:-17]
    try:
        values = messages.checkpoint(content).value
    except NotAMessage:
        raise DataError(f"{path}: damaged, encrypted, or no checkpoint of MindSpore") from None
    parts: dict[str, list[bytes]] = {}
    about: dict[str, tuple[tuple[int, ...], str]] = {}
    for value in values:
        tensor = value.tensor
        if tensor.tensor_type not in MINDSPORE_TYPES:
            raise DataError(f"{path}: '{value.tag}' is {tensor.tensor_type or 'no array'}, which is not read")
        described = tuple(tensor.dims), MINDSPORE_TYPES[tensor.tensor_type]
        if about.setdefault(value.tag, described) != described:
            raise DataError(f"{path}: '{value.tag}' is given twice, differently")
        parts.setdefault(value.tag, []).append(tensor.tensor_content)
    arrays = {}
    for name, (shape, dtype) in about.items():
        data = b"".join(parts[name])
        # a number alone is recorded with the dims [0]
        sides = () if shape == (0,) and len(data) == np.dtype(dtype).itemsize else shape
        arrays[name] = array_over(data, sides, dtype, f"{path}: '{name}'")
    return Contents(arrays)


def read_paddle(path: Path) -> Contents:
    """Read a file or folder of PaddlePaddle.

    Args:
        path: a pickled dictionary (.pdparams of fluid.save), a stream of variables without names, a folder with a file
            for each variable, or a folder with one parameter file.

    Raises:
        DataError: it has another kind, or is damaged.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "__")))
        together = [file for file in files if file.suffix == ".pdparams"]
        if len(together) == 1:
            return read_paddle(together[0])
        variables = {file.name: read_paddle(file).unnamed for file in files}
        if not variables or not all(len(arrays) == 1 for arrays in variables.values()):
            raise DataError(f"{path}: no folder of parameters: one variable a file, or one .pdparams file")
        return Contents({name: arrays[0] for name, arrays in variables.items()})
    with path.open("rb") as file:
        head = file.read(4)
    if head == bytes(4):
        return Contents(unnamed=_paddle_stream(path))
    content = load(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: must hold a dictionary of arrays, got {type(content).__name__}")
    named = {text(name): value for name, value in content.items() if name != "StructuredToParameterName@@"}
    for name, value in named.items():
        if not isinstance(value, np.ndarray):
            raise DataError(f"{path}: '{name}' is {type(value).__name__}, not an array")
    return Contents(named)


def _paddle_stream(path: Path) -> list[Array]:
    """Read variables that follow each other: version 0, no levels of detail, tensor version 0, description, bytes.

    Raises:
        DataError: the stream is damaged, or holds something else than dense tensors.
    """
    content, at = path.read_bytes(), 0
    variables: list[Array] = []
    while at < len(content):
        what = f"{path}: variable {len(variables)} at byte {at:,}"
        try:
            version, levels, tensor_version, length = struct.unpack_from("<IQIi", content, at)
            at += 20
            described = messages.tensor_description(content[at : at + max(length, 0)])
        except (struct.error, NotAMessage):
            raise DataError(f"{what}: damaged, or no parameter file of PaddlePaddle") from None
        if (version, levels, tensor_version) != (0, 0, 0) or described.data_type not in PADDLE_TYPES:
            raise DataError(f"{what}: not a dense tensor of numbers, or of a later format")
        at += length
        dtype = PADDLE_TYPES[described.data_type]
        shape = tuple(described.dims)
        size = size_of(shape, dtype, what)
        variables.append(array_over(content[at : at + size], shape, dtype, what))
        at += size
    return variables


READERS: dict[str, Callable[[Path], Contents]] = {
    "mindspore": read_mindspore,
    "paddle": read_paddle,
    "tensorflow": read_tensorflow,
}
"""Kinds that are read without a framework."""
