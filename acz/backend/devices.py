"""Names of devices, and the check that one is here."""

from __future__ import annotations

import re

from acz.backend.protocol import Backend
from acz.foundation.errors import MissingError, SpecError


def split_device(device: str) -> tuple[str, int]:
    """`GPU:1` to ("GPU", 1). Raises SpecError for a name that is none."""
    match = re.fullmatch(r"(CPU|GPU|Ascend)(?::(\d+))?", device)
    if not match or (match[1] == "CPU" and match[2]):
        raise SpecError(f"there is no device '{device}'; devices are CPU, GPU, GPU:1, Ascend, Ascend:3 and so on")
    return match[1], int(match[2] or 0)


def check_device(backend: Backend, device: str) -> None:
    """Raise MissingError, with what there is and what to type instead, unless `device` is here."""
    kind, number = split_device(device)
    here = backend.devices()
    if (kind if kind == "CPU" else f"{kind}:{number}") in here:
        return
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    raise MissingError(
        f"device '{device}' was asked for, and is not here. "
        f"This machine offers backend '{backend.NAME}' ({versions}): {', '.join(here)}; "
        f"this build of the framework could use: {backend.capabilities()['devices']}. "
        f"Type --device {here[0]} instead, or see 'acz backends'."
    )
