"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 10.0
"""Between two lines where standard error is no terminal."""


class Progress:
    """What is being done, how far it is, and numbers that go with it."""

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
        """Say that `done` of `total` of `what` is done."""
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
        """A line that stays."""
        if self.interactive:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


@contextmanager
def progress() -> Iterator[Progress]:
    """A Progress that leaves the terminal as it was."""
    shown = Progress()
    if not shown.interactive:
        yield shown
        return
    with shown.bar:
        yield shown
