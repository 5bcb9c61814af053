"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

SECONDS = 10.0
"""Seconds between two lines where standard error is not a terminal."""


class Progress:
    """Reports of a task's progress.

    This class reports nothing: pass an object of it for silence, or one of your own subclass.
    """

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` of `what` are done."""

    def line(self, text: str) -> None:
        """Write a line that stays on the screen."""


class TerminalProgress(Progress):
    """Reports on standard error."""

    def __init__(self) -> None:
        self.interactive = sys.stderr.isatty()
        self.last = time.monotonic()
        self.what = ""
        if self.interactive:
            from rich import progress
            from rich.console import Console

            self.bar = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.TaskProgressColumn(),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True),
                transient=True,
                refresh_per_second=4,
            )
            self.task: progress.TaskID | None = None

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        done = min(done, total)
        if self.interactive:
            if self.task is None or what != self.what:
                if self.task is not None:
                    self.bar.remove_task(self.task)
                self.task = self.bar.add_task(what, total=total, note=note)
            self.bar.update(self.task, completed=done, note=note)
        elif time.monotonic() - self.last > SECONDS:
            self.last = time.monotonic()
            print(f"{what}: {done:,} of {total:,}{'  ' + note if note else ''}", file=sys.stderr, flush=True)
        self.what = what

    def line(self, text: str) -> None:
        if self.interactive:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)
"""The progress of the call that runs now. A terminal has room for one bar."""


@contextmanager
def show_progress(given: Progress | None = None) -> Iterator[Progress]:
    """Give the progress to report to: `given`, or that of the call that runs now, or one on standard error.

    Inside the body every call without `given` reports to it. One on standard error leaves the terminal as it was.
    """
    chosen = given or _current.get()
    bar: AbstractContextManager[object] = nullcontext()
    if chosen is None:
        chosen = TerminalProgress()
        bar = chosen.bar if chosen.interactive else bar
    token = _current.set(chosen)
    try:
        with bar:
            yield chosen
    finally:
        _current.reset(token)


class Counter:
    """A task that counts up: call it with the number of items done since the last call."""

    def __init__(self, shown: Progress, what: str, total: int) -> None:
        self.shown, self.what, self.total, self.done = shown, what, total, 0

    def __call__(self, count: int) -> None:
        self.done += count
        self.shown(self.what, self.done, self.total)
