"""Versions and machine, for records."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from acz.foundation.version import __version__

DISTRIBUTIONS = ("numpy", "torch", "tensorflow", "tensorflow-cpu", "paddlepaddle", "mindspore")


def environment() -> dict[str, str]:
    """Versions and machine, short enough for a column each."""
    found = {}
    for name in DISTRIBUTIONS:
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
