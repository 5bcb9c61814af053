"""Versions and machine, for records."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from acz.backend.registry import infos
from acz.foundation.version import __version__


def environment() -> dict[str, str]:
    """Versions of acz and of every backend's distributions, and the machine, short enough for a column each."""
    found = {}
    for name in dict.fromkeys(name for info in infos().values() for name in info.distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    versions = " ".join(f"{name}={value}" for name, value in found.items())
    return {
        "acz": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
    }
