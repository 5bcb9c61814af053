"""What a backend must supply, and how one is found by name.

A backend is a module, registered under the entry-point group `acz.backends`, that has the functions of `Backend`.
Arrays cross this seam as NumPy; `model` and `trainer` are the framework's own and opaque to the core.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import cast

from acz.backend.protocol import Backend
from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.processes.silence import quiet

FRAMEWORKS = {"torch": "torch", "tensorflow": "tensorflow", "paddle": "paddle", "mindspore": "mindspore"}
"""The framework that each of this distribution's backends needs: its import name."""

LOG_LEVELS = {
    "tensorflow": {"TF_CPP_MIN_LOG_LEVEL": "3"},
    "paddle": {"GLOG_minloglevel": "3"},
    "mindspore": {"GLOG_v": "3"},  # to Paddle the same variable is a verbosity
}
"""Environment that keeps a framework's import from talking: errors only."""


def registered() -> dict[str, str]:
    """Module names of the known backends, by name."""
    return {point.name: point.value for point in entry_points(group="acz.backends")}


def installed() -> list[str]:
    """Backends whose framework is installed, found without importing it."""
    return [
        name
        for name, module in sorted(registered().items(), key=lambda item: _order(item[0]))
        if find_spec(FRAMEWORKS.get(name, module)) is not None
    ]


def _order(name: str) -> int:
    return list(FRAMEWORKS).index(name) if name in FRAMEWORKS else len(FRAMEWORKS)


def find_backend(name: str) -> Backend:
    """Import a backend by name; its framework's import-time noise is kept from the user.

    Raises SpecError for a name that is none, MissingError with what to install.
    """
    if name == "numpy":
        from acz.reference import numpy_backend

        return cast(Backend, numpy_backend)
    known = registered()
    if name not in known:
        raise SpecError(f"there is no backend '{name}'; {nearest(name, [*known, 'numpy'])}")
    if name not in installed():
        here = ", ".join(installed()) or "none"
        raise MissingError(
            f"backend '{name}' needs {FRAMEWORKS.get(name, known[name])}, which is not installed; "
            f'pip install "acz[{name}]" brings it. Installed: {here}'
        )
    others = [f for f in FRAMEWORKS.values() if f in sys.modules and f != FRAMEWORKS.get(name)]
    if others:
        raise MissingError(
            f"backend '{name}' can't be loaded beside {', '.join(others)}, which this process has imported: "
            "two frameworks in one process crash; start another process"
        )
    for variable, value in LOG_LEVELS.get(name, {}).items():
        os.environ.setdefault(variable, value)
    try:
        with quiet():
            return cast(Backend, import_module(known[name]))
    except (ImportError, OSError) as error:
        raise MissingError(
            f"backend '{name}' is installed but can't be loaded: {type(error).__name__}: {error}; "
            f'pip install --force-reinstall "acz[{name}]" mends most of these'
        ) from None


def default_backend(name: str | None) -> str:
    """The backend asked for, or the first installed. Raises MissingError where there is none."""
    if name:
        return name
    here = installed()
    if not here:
        raise MissingError('no framework is installed; pip install "acz[torch]" brings the smallest')
    return here[0]
