"""A call that several processes make together, and the engines that start them."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from acz.backend.info import BackendInfo
from acz.backend.registry import find_info, require_here
from acz.foundation.errors import AczError, MissingError, RankFailed
from acz.foundation.processes.json_lines import describe_end

GRACE = 10.0
"""Seconds that ranks have to end by themselves when one of them has ended."""
FOLDER = "acz-ranks-"
"""The beginning of the names of the folders of such calls."""
LAST_LINES = 4
"""Lines of a rank's output that a message quotes."""


@dataclass(frozen=True)
class Call:
    """A call that ranks make."""

    function: Callable[..., Any]
    """A function at the top level of a module."""
    arguments: Mapping[str, Any]
    """Its arguments by name."""
    backend: str
    """The name of the backend, whose framework gives the places."""
    device: str = "CPU"
    """The kind of the devices."""
    again: Callable[[], tuple[Callable[..., Any], Mapping[str, Any]]] | None = None
    """Gives the function and the arguments that continue the call when its ranks were lost. None: the same."""

    def info(self, processes: int) -> BackendInfo:
        """The description of the backend. Raises MissingError where it works in one process, and several are asked for."""
        require_here(self.backend)
        info = find_info(self.backend)
        if info.launcher is None and processes > 1:
            raise MissingError(f"backend '{self.backend}' works in one process; leave out --processes")
        return info

    def to_bytes(self) -> bytes:
        """The call as `answer_call` reads it."""
        return pickle.dumps((self.function, dict(self.arguments), self.backend))


class Engine(ABC):
    """Starts ranks and has them make a call."""

    @abstractmethod
    def call_on_ranks(self, call: Call, processes: int, threads: int | None) -> Any:
        """Make a call in several new processes at once, each of which has a place.

        Args:
            call: the call.
            processes: the number of processes.
            threads: threads on the CPU, as the engine counts them; by default as many as it chooses.

        Returns:
            The answer of rank 0.

        Raises:
            MissingError: the backend works in one process.
            RankFailed: a rank ended; the message names it.
            AczError: whatever the function raised at rank 0.
        """


def read_answer(answer: bytes | None, failure: RankFailed | None) -> Any:
    """Return the answer that rank 0 left, or raise its error, or that of the rank that failed."""
    value, error = pickle.loads(answer) if answer is not None else (None, None)
    if isinstance(error, AczError):
        raise error
    if failure is not None:
        raise failure
    return value


def describe_failure(rank: int, host: str, code: int, output: bytes) -> RankFailed:
    """The error for a rank that ended with an exit code; it quotes the last words of its output."""
    lines = output.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    last = "; its last words: " + " | ".join(lines) if lines else ""
    return RankFailed(f"rank {rank} on {host} {describe_end(code)}{last}; the last checkpoint is whole")
