"""Kinds of files that hold weights, recognised by their first bytes, and their arrays.

Nothing in a file is run. The kinds in READERS and KEYED_READERS are read here: byte by byte, and pickles by
`acz.foundation.files.unpickle`. They need no framework. A kind that only its backend describes is read by that backend,
in a process of its own.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.info import BackendInfo
from acz.backend.registry import is_installed, native_formats
from acz.backend.worker import Worker
from acz.exchange.weights.readers import messages
from acz.exchange.weights.readers.contents import Contents, array_over, size_of
from acz.exchange.weights.readers.jobs import ReadArguments, read_native
from acz.exchange.weights.readers.nested import choose_weights
from acz.exchange.weights.readers.safetensors import is_checkpoint, is_safetensors, read_safetensors
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
    """Recognise the kind of a file of weights: `tensorflow`, `acz`, `safetensors`, or the native kind of a backend.

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
            if is_safetensors(path):
                return "acz" if is_checkpoint(path) else "safetensors"
        fitting = [kind for kind, (_, native) in native_formats().items() if native.recognises(path)]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: can't be read: {error}") from None
    if fitting:
        return fitting[-1]  # PaddlePaddle's takes any folder, so a backend that is registered after it is right
    known = ", ".join(sorted({*READERS, *KEYED_READERS, *native_formats()}))
    raise DataError(f"{path}: no checkpoint of a known kind; {known} files are read")


def read(path: Path, kind: str, key: str | None = None) -> Contents:
    """Read the arrays of a file.

    Args:
        path: the file or folder.
        kind: the kind that `file_kind` gave.
        key: the key that holds the weights, in a file of dictionaries. None: the usual one.

    Raises:
        DataError: the file is damaged, or has no weights under the key.
        MissingError: the framework that reads the kind is not installed.
    """
    if kind in KEYED_READERS:
        return KEYED_READERS[kind](path, key)
    if kind not in READERS:
        return in_framework(native_formats()[kind][0], path, key)
    if key is not None:
        raise DataError(f"{path}: a file of {kind} has no keys with weights under them; leave out --key")
    return READERS[kind](path)


def in_framework(info: BackendInfo, path: Path, key: str | None = None) -> Contents:
    """Read the arrays of a native file by its backend, in a process of its own.

    Args:
        info: the backend.
        path: the file.
        key: the key that holds the weights. None: the usual one.

    Raises:
        MissingError: the framework is not installed.
        DataError: the framework can't read the file.
    """
    if not is_installed(info):
        raise MissingError(f"{path} is read by {info.framework}, which is not installed; {info.advice}")
    with Worker(info.name) as worker:
        try:
            (names, notes), arrays = worker.run(read_native, ReadArguments(path.resolve(), key))
        except JobFailed as error:
            reason = str(error).partition("\n")[0].removeprefix("DataError: ")[:300]
            raise DataError(f"{path}: {info.name} can't read it: {reason}") from None
    return Contents({name: arrays[str(number)] for number, name in enumerate(names)}, notes=notes)


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


def read_paddle(path: Path, key: str | None = None) -> Contents:
    """Read a file or folder of PaddlePaddle.

    Args:
        path: a pickled dictionary (.pdparams), which may hold others, a stream of variables without names, a folder
            with a file for each variable, or a folder with one parameter file.
        key: the key that holds the weights. None: the usual one.

    Raises:
        DataError: it has another kind, or is damaged.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "__")))
        together = [file for file in files if file.suffix == ".pdparams"]
        if len(together) == 1:
            return read_paddle(together[0], key)
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
    try:
        return choose_weights(_paddle_tree(content), key)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _paddle_tree(content: Any) -> Any:
    """Dictionaries and arrays of a pickle. An array may come as a tensor's name and its values; None is anything else."""
    if isinstance(content, dict):
        return {
            str(name) if isinstance(name, int) else text(name): _paddle_tree(value) for name, value in content.items()
        }
    if isinstance(content, tuple) and len(content) == 2 and isinstance(content[0], (str, bytes)):
        content = content[1]
    return content if isinstance(content, np.ndarray) else None


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
    "tensorflow": read_tensorflow,
}
KEYED_READERS: dict[str, Callable[[Path, str | None], Contents]] = {
    "paddle": read_paddle,
    "safetensors": read_safetensors,
}
"""Kinds that are read without a framework. The second hold their weights under a key, if their user likes."""
