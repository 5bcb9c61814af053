"""The registry of backends: all that are registered, those that are installed, and loading one.

A backend registers a `BackendInfo` under the entry-point group `acz.backends`, from any distribution; the core keeps no table
of frameworks.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import cast

from acz.backend.info import GROUP, BackendInfo, NativeFormat
from acz.backend.protocol import Backend
from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.installation import install_command
from acz.foundation.processes.silence import silence_output
from acz.model.spec import Spec

REFERENCE = "numpy"
"""The name of the reference's own backend, which the others are compared with. It is always installed."""


@cache
def _loaded() -> tuple[dict[str, BackendInfo], dict[str, str]]:
    """The described backends, in order, and what is wrong with entry points that can't be loaded."""
    found: list[BackendInfo] = []
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            info = point.load()
            if not isinstance(info, BackendInfo) or info.name != point.name:
                raise TypeError(f"{point.value} must be a BackendInfo of the name '{point.name}', got {info!r:.80}")
            found.append(info)
        except Exception as error:  # somebody else's distribution: the other backends work without it
            broken[point.name] = f"{type(error).__name__}: {error}"
    return {info.name: info for info in sorted(found, key=lambda info: (info.order, info.name))}, broken


def infos() -> dict[str, BackendInfo]:
    """Every registered backend by name, the reference included. Imports no framework."""
    return dict(_loaded()[0])


def broken() -> dict[str, str]:
    """Registered backends whose description can't be loaded, with the reason."""
    return dict(_loaded()[1])


def native_formats() -> dict[str, tuple[BackendInfo, NativeFormat]]:
    """The backends that have a kind of file of their own, by the name of the kind."""
    return {info.native.kind: (info, info.native) for info in infos().values() if info.native}


def installed() -> list[str]:
    """Names of the backends whose framework is installed, found without importing it; the reference is not among them."""
    return [name for name, info in infos().items() if name != REFERENCE and is_installed(info)]


def is_installed(info: BackendInfo) -> bool:
    """Tell whether a backend's framework can be imported, without importing it."""
    return is_importable(info.framework)


def is_importable(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    return module in sys.modules or find_spec(module) is not None


def find_info(name: str) -> BackendInfo:
    """The description of an installed backend.

    Raises:
        SpecError: the name is unknown.
        MissingError: the backend is broken, or its framework is not installed; the message says what to type.
    """
    known = infos()
    if name in broken():
        raise MissingError(f"backend '{name}' is registered but can't be loaded: {broken()[name]}")
    if name not in known:
        raise SpecError(f"there is no backend '{name}'; {nearest(name, known)}")
    info = known[name]
    if not is_installed(info):
        here = ", ".join(installed()) or "none"
        raise MissingError(
            f"backend '{name}' needs {info.framework}, which is not installed; {info.advice}. Installed: {here}"
        )
    return info


def find_backend(name: str) -> Backend:
    """Import a backend by name; what its framework prints at import is kept off the terminal.

    Raises:
        SpecError: the name is unknown.
        MissingError: the framework is not installed, can't be loaded, or another framework is in this process.
    """
    info = find_info(name)
    frameworks = {other.framework for other in infos().values() if other.exclusive} - {info.framework}
    others = sorted(framework for framework in frameworks if framework in sys.modules)
    if others and info.exclusive:
        raise MissingError(
            f"backend '{name}' can't be loaded beside {', '.join(others)}, which this process has imported: "
            "two frameworks in one process crash; start another process"
        )
    for variable, value in info.environment.items():
        os.environ.setdefault(variable, value)
    try:
        with silence_output():
            backend = cast(Backend, import_module(info.module))
    except (ImportError, OSError) as error:
        raise MissingError(
            f"backend '{name}' is installed but can't be loaded: {type(error).__name__}: {error}; "
            f"{install_command(info.install, '--force-reinstall')} repairs most of these"
        ) from None
    if name != backend.NAME:
        raise MissingError(f"{info.module}.NAME must be '{name}', as its entry point, got '{backend.NAME}'")
    return backend


def check_names(spec: Spec) -> None:
    """Check that every backend can give a spec's streams, inputs and layers their names: a model runs in any of them.

    Raises:
        SpecError: a backend uses one of the names itself.
    """
    streams = {name: f"model.streams.{name}.layers" for name in spec.streams}
    places = [
        ("model.streams", spec.streams, True),
        ("model.inputs", spec.inputs, True),
        ("model.trunk", spec.trunk, False),
    ]
    places += [(place, spec.streams[name].layers, False) for name, place in streams.items()]
    for info in infos().values():
        for place, names, of_streams in places:
            reserved = info.reserved_names | info.reserved_streams if of_streams else info.reserved_names
            for name in names:
                if name in reserved:
                    raise SpecError(
                        f"{place}: the name '{name}' is taken in backend '{info.name}'; take another, such as '{name}_1'"
                    )


def default_backend(name: str | None = None) -> str:
    """The named backend, or else the one whose framework is loaded, or the first installed one.

    Raises:
        MissingError: no backend is installed.
    """
    if name:
        return name
    here = installed()
    loaded = [known for known in here if infos()[known].framework in sys.modules]  # no other fits beside it
    if loaded:
        return loaded[0]
    if not here:
        raise MissingError(f"no framework is installed; {install_command('acz[torch]')} brings the smallest")
    return here[0]
