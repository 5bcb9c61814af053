"""Versions and machine, for records."""

from __future__ import annotations

import platform

from acz.backend.registry import infos, versions_of
from acz.foundation.version import __version__


def environment() -> dict[str, str]:
    """Versions of acz and of every backend's distributions, and the machine, short enough for a column each."""
    found: dict[str, str] = {}
    for info in infos().values():
        found |= {name: value for name, value in versions_of(info).items() if name not in found}
    versions = " ".join(f"{name}={value}" for name, value in found.items())
    return {
        "acz": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
    }
