"""Names of devices, the checks that a backend has a device and a precision, and a backend that stays on one device."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from acz.backend.protocol import Backend
from acz.backend.registry import find_info
from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import MissingError, SpecError
from acz.model.precision import FULL, Precision, find_precision
from acz.model.spec import Spec


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


def device_problem(backend: Backend, device: str, arrays: Mapping[str, Array]) -> tuple[str, Arrays]:
    """A job: the reason why a backend can't use a device; empty where it can."""
    try:
        check_device(backend, device)
    except MissingError as error:
        return str(error), {}
    return "", {}


def split_participant(name: str, device: str = "CPU") -> tuple[str, str]:
    """The backend and the device of a participant: `torch@GPU:1` is ("torch", "GPU:1").

    Args:
        name: a backend's name, which may have a device.
        device: the device of a name without one.

    Raises:
        SpecError: the device can't be one.
    """
    backend, at, named = name.partition("@")
    chosen = named if at else device
    split_device(chosen)
    return backend, chosen


class _OnDevice:
    def __init__(self, backend: Backend, device: str) -> None:
        self._backend, self._device = backend, device

    def build(self, spec: Spec, device: str, dtype: str) -> Any:
        return self._backend.build(spec, self._device, dtype)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def on_device(backend: Backend, device: str) -> Backend:
    """A backend whose modules are all built on one device, whatever device a job names."""
    return cast(Backend, _OnDevice(backend, device)) if device != "CPU" else backend


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

    A backend without any low precision has none on other devices either. What another device can is else the framework's
    own to say.

    Args:
        backend: a backend's name, which may have a device, as `torch@GPU` has.
        precision: any precision.
        device: the device of a name without one.
    """
    if not precision.is_low:
        return ""
    name, place = split_participant(backend, device)
    known = find_info(name).low_precisions
    if precision.value in known or (known and place != "CPU"):
        return ""
    others = [*(full.value for full in FULL), *known]
    where, elsewhere = (" on the CPU", " or --device") if known else ("", "")
    return (
        f"backend '{name}' has no products in {precision.value}{where}; "
        f"type --precision {' or '.join(others)}, or take another --backend{elsewhere}"
    )


def precision_for(backend: str, name: str) -> Precision:
    """The precision of a name, for a module of a backend.

    Raises:
        SpecError: the name is unknown; the message also says how the framework computes in fewer bits by its own means.
    """
    try:
        return find_precision(name)
    except SpecError as error:
        own = find_info(backend).mixed_precision
        raise SpecError(f"{error}; for the framework's own mixed precision type {own}" if own else str(error)) from None


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
    where = " on the CPU" if known else ""
    return ", ".join(having) + (f"; no {', '.join(absent)}{where}" if absent else "")
