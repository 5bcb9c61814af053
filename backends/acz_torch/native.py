"""PyTorch's own files: whatever torch.save wrote that holds tensors by name. Nothing in a file is run."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz_torch.files import LEGACY
from acz_torch.model import Model

MOST_NESTED = 32
"""The depth of modules in modules, and of dictionaries in dictionaries."""
NEW_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Python 3's names of modules that a pickle calls as Python 2 did."""


class Unread:
    """The stand-in for an object of a class that a file names and PyTorch does not admit. It keeps its parts unused."""

    state: Any = None
    arguments: tuple[Any, ...] = ()

    def __new__(cls, *arguments: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class UnreadDictionary(Unread):
    """The same for classes derived from dict, whose items the file sets."""

    def __new__(cls, *arguments: Any) -> Any:
        return OrderedDict()


def save_native(model: Model, path: Path) -> None:
    torch.save({name: value.cpu() for name, value in model.state_dict().items()}, path)


def read_native(path: Path) -> dict[str, Any]:
    """The dictionaries of a file with their arrays, of any version and from any device.

    A whole module comes as the dictionary that its state_dict would be. NumPy's arrays count where there is no tensor.
    Whatever else is in the file comes as None.
    Classes and functions that the file names are never imported: `weights_only`, with stand-ins for their names.

    Raises:
        DataError: the file holds no dictionary, or names what PyTorch refuses in every case.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        content = _with_stand_ins(path)
    tree = _tree(content)
    if isinstance(tree, dict) and not _has_arrays(tree):
        tree = _tree(content, _numpy_array)
    if not isinstance(tree, dict):
        raise DataError("it holds no state_dict, a dictionary of tensors by name")
    return tree


def _with_stand_ins(path: Path) -> Any:
    """Load a file that names other classes and functions than PyTorch admits."""
    names, reason = _names(path), ""
    for stand_in in (Unread, UnreadDictionary):
        known = {name: Unread if name.startswith("numpy.") else stand_in for name in names}
        known |= {"collections.defaultdict": UnreadDictionary}
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in known.items()]):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            reason = reason or str(error)
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    raise DataError(f"it asks for {named[1] if named else 'more than tensors and plain values'}, which is not admitted")


def _names(path: Path) -> set[str]:
    """The names of classes and functions in the pickles of a file."""
    with ExitStack() as stack:
        file: Any = stack.enter_context(path.open("rb"))
        count = 4  # the magic number, the version, the system, the content
        if file.read(len(LEGACY)) != LEGACY:
            archive = stack.enter_context(zipfile.ZipFile(file))
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            file, count = io.BytesIO(archive.read(name)), 1
        file.seek(0)
        words = [
            argument.split(" ", 1)
            for _ in range(count)
            for opcode, argument, _ in pickletools.genops(file)
            if opcode.name == "GLOBAL" and isinstance(argument, str)
        ]
    return {f"{NEW_NAMES.get(module, module)}.{name}" for module, name in words}


def _has_arrays(tree: Mapping[str, Any]) -> bool:
    return any(value is not None and (not isinstance(value, Mapping) or _has_arrays(value)) for value in tree.values())


def _numpy_array(content: Unread) -> Array | None:
    """The array of numbers that a file holds in NumPy's parts: version, shape, type, order of the axes and bytes."""
    if not isinstance(content.state, tuple) or len(content.state) != 5:
        return None
    _, shape, kind, by_columns, values = content.state
    if not isinstance(kind, Unread) or not isinstance(values, bytes) or not isinstance(kind.state, tuple):
        return None
    name = f"{kind.state[1]}{kind.arguments[0]}" if kind.arguments and len(kind.state) > 1 else ""
    if not re.fullmatch(r"[<>|=][fiub][1248]", name):
        return None
    try:
        array = np.frombuffer(values, name).reshape(shape, order="F" if by_columns else "C")
    except (TypeError, ValueError):
        raise DataError("an array in it is damaged") from None
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _tree(content: Any, read: Callable[[Unread], Array | None] = lambda content: None, depth: int = 0) -> Any:
    """A loaded value as dictionaries and arrays; None for anything else. `read` gives the arrays in stand-ins."""
    if isinstance(content, torch.Tensor):
        return _array(content)
    if isinstance(content, Unread) and (array := read(content)) is not None:
        return array
    state = (
        content.state if isinstance(content, Unread) else vars(content) if isinstance(content, OrderedDict) else None
    )
    if isinstance(state, Mapping) and "_modules" in state:
        return {name: _array(value) for name, value in _module(state, "").items()}
    if not isinstance(content, Mapping) or depth == MOST_NESTED:
        return None
    return {str(name): _tree(value, read, depth + 1) for name, value in content.items()}


def _module(state: Mapping[str, Any], path: str, depth: int = 0) -> dict[str, torch.Tensor]:
    """The tensors of a module from its state, by the names that its state_dict has."""
    own = {**state.get("_parameters", {}), **state.get("_buffers", {})}
    transient = state.get("_non_persistent_buffers_set", ())
    tensors = {
        f"{path}{name}": value
        for name, value in own.items()
        if isinstance(value, torch.Tensor) and name not in transient
    }
    for name, module in (state.get("_modules") or {}).items() if depth < MOST_NESTED else ():
        inner = module.state if isinstance(module, Unread) else getattr(module, "__dict__", None)
        if isinstance(inner, Mapping):
            tensors |= _module(inner, f"{path}{name}.", depth + 1)
    return tensors


def _array(value: torch.Tensor) -> Array:
    whole = value.float() if value.dtype == torch.bfloat16 else value
    return whole.detach().numpy()
