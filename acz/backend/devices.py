"""Names of devices, and the checks that a backend has a device and a precision."""

from __future__ import annotations

import re
from collections.abc import Sequence

from acz.backend.protocol import Backend
from acz.backend.registry import find_info
from acz.foundation.errors import MissingError, SpecError
from acz.model.precision import FULL, Precision


def split_device(device: str) -> tuple[str, int]:
    """The kind and number of a device: `GPU:1` is ("GPU", 1), `GPU` is ("GPU", 0). A backend may have any kind.

    Raises:
        SpecError: the name is not a kind, or a kind and a number. The CPU has no number.
    """
    match = re.fullmatch(r"([A-Za-z]\w*)(?::(\d+))?", device, re.ASCII)
    if not match or (match[1] == "CPU" and match[2]):
        raise SpecError(f"there is no device '{device}'; type CPU, or a kind and a number, as GPU, GPU:1 or Ascend:3")
    return match[1], int(match[2] or 0)


def check_device(backend: Backend, device: str) -> None:
    """Check that a backend has a device.

    Raises:
        SpecError: the name can't be that of a device.
        MissingError: the device is not here; the message says what is, and what to type instead.
    """
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


def advise_on_device(devices: Sequence[str]) -> str:
    """Advice for a run on the CPU where a backend has other devices here; empty where it has none."""
    others = [name for name in devices if name != "CPU"]
    if not others:
        return ""
    kind = split_device(others[0])[0]
    return (
        f"this runs on the CPU, and {', '.join(others)} {'is' if len(others) == 1 else 'are'} here; add --device {kind}"
    )


def missing_precision(backend: str, precision: Precision, device: str = "CPU") -> str:
    """Why a backend has no such precision on a device, and what to type instead; empty where it has it.

    What a device other than the CPU can is the framework's own to say.
    """
    info = find_info(backend)
    if not precision.is_low or device != "CPU" or precision.value in info.low_precisions:
        return ""
    others = [*(full.value for full in FULL), *info.low_precisions]
    return (
        f"backend '{backend}' has no products in {precision.value} on the CPU; "
        f"type --precision {' or '.join(others)}, or take another --backend or --device"
    )


def check_precision(backend: str, precision: Precision, device: str = "CPU") -> None:
    """Raise MissingError where a backend has no such precision on a device."""
    if problem := missing_precision(backend, precision, device):
        raise MissingError(problem)


def precisions_in_words(backend: str) -> str:
    """The precisions of a backend on the CPU, how it computes the low ones, and those that it has not."""
    known = find_info(backend).low_precisions
    by_means: dict[str, list[str]] = {}
    for name, means in known.items():
        by_means.setdefault(means, []).append(name)
    having = [
        ", ".join(full.value for full in FULL),
        *(f"{', '.join(names)} ({means})" for means, names in by_means.items()),
    ]
    absent = [precision.value for precision in Precision if precision.is_low and precision.value not in known]
    return ", ".join(having) + (f"; no {', '.join(absent)} on the CPU" if absent else "")
