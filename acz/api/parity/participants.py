"""The participants of a parity check: backends on their devices, and the formats that they write."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from acz.backend.devices import device_problem, split_participant
from acz.backend.registry import REFERENCE, find_backend, find_info, infos, installed
from acz.backend.worker import Worker
from acz.exchange.artefacts.formats import ONNX, formats
from acz.foundation.errors import MissingError
from acz.foundation.installation import install_command
from acz.parity.comparison import Participants
from acz.parity.levels import TITLES

ALL_LEVELS = tuple(TITLES)
ONE_PROCESS = tuple(number for number in TITLES if number != 6)
"""The levels in which each backend has one process."""
WITH_PRECISIONS = (1, 2, 3)
"""The levels that compare low precisions."""


def open_participants(names: Sequence[str], levels: Sequence[int] = ALL_LEVELS) -> Participants:
    """The reference, the backends of these names, and the formats that they write.

    Raises:
        SpecError: a name is unknown.
        MissingError: a backend is not installed, or there is nothing to compare at these levels.
    """
    for name in names:
        if name != ONNX:
            require_participant(name)
        elif ONNX not in all_installed(levels):
            raise MissingError(
                f"'{ONNX}' is not installed, or has no part in level {levels}; {install_command('acz[export]')}"
            )
    compared = [name for name in names if name != ONNX]
    if not compared and not (names and list(levels) == [5]):
        raise MissingError(
            f"nothing to compare: no framework is installed; {install_command('acz[torch]')} brings the smallest"
        )
    makers = {name: [maker for maker in formats().values() if maker.participant == name] for name in names}
    return Participants(find_backend(REFERENCE), compared, {name: some for name, some in makers.items() if some})


def require_participant(name: str) -> None:
    """Raise SpecError or MissingError unless a backend is installed, and has the device that `torch@GPU` names."""
    backend, device = split_participant(name)
    find_info(backend)
    if device != "CPU":
        with Worker(backend) as worker:  # this process loads no framework
            if problem := worker.run(device_problem, device)[0]:
                raise MissingError(problem)


def on_devices(names: Sequence[str], device: str) -> list[str]:
    """Participants with the device of those that name none; the core's file is of no device."""
    pairs = [(name, "CPU") if name == ONNX else split_participant(name, device) for name in names]
    return list(dict.fromkeys(name if place == "CPU" else f"{name}@{place}" for name, place in pairs))


def known(levels: Sequence[int]) -> list[str]:
    """The participants that could be installed."""
    return [*infos(), *([ONNX] if 5 in levels else [])]


def all_installed(levels: Sequence[int]) -> list[str]:
    """The participants that are possible here: the installed backends, and the core's ONNX file at level 5."""
    has_onnx = 5 in levels and all(find_spec(module) for module in ("onnx", "onnxruntime"))
    return [*installed(), *([ONNX] if has_onnx else [])]
