"""One family of errors. Each says what must hold, what was received, and what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST, HEAD = 1200, 800
"""The most characters of a message of one line, and how many of them are its beginning where it is cut."""


class AczError(Exception):
    """Base of every error that a user can cause; the command line returns its `exit_code`.

    Messages quote files, which can hold anything. As text they are printable, of bounded length, and on one line.
    """

    exit_code = 2
    lines = False
    """Let the message have several lines."""

    def __str__(self) -> str:
        text = super().__str__()
        kept = "\n" if self.lines else ""
        shown = "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)
        return shown if self.lines or len(shown) <= LONGEST else f"{shown[:HEAD]} ... {shown[HEAD - LONGEST :]}"


class SpecError(AczError):
    """A model description or a recipe is not valid."""


class InputError(AczError, TypeError):
    """A native module is called with other inputs than the model has."""

    __init__ = Exception.__init__  # TensorFlow raises an error of a traced function again only if it is made like this


class DataError(AczError):
    """A data file or folder is missing, damaged, or not what the model needs."""


class CheckpointError(AczError):
    """A checkpoint or a run folder is missing, damaged, or belongs to another model."""


class CheckFailed(AczError):
    """A comparison left its bound, or a value that must be finite is not."""

    exit_code = 1
    lines = True


class MissingError(AczError):
    """A backend, a device or a feature of the system that was asked for is missing."""

    exit_code = 3


def nearest(word: str, known: Iterable[object]) -> str:
    """The end of an error message: the nearest right word, or all of them."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known: " + (", ".join(known) if known else "none")


class RankFailed(AczError):
    """One of several processes that share a task ended, and with it the whole task."""

    exit_code = 1


class Interrupted(AczError):
    """The user ended a run. Everything up to the last step is saved."""

    exit_code = 130
