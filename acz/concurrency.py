"""Working ahead in a thread, counting what is waited, keeping a folder to one process, and giving way to Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

from acz.errors import DataError

Item = TypeVar("Item")


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The same items, made in a thread up to `depth` ahead; an error in the making is raised where it is reached.

    The thread ends with the generator: at its end, or when it is closed.
    """
    waiting: queue.Queue[tuple[str, object]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[str, object]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


class Awaited(Generic[Item]):
    """The same items; `seconds` counts how long the consumer stood still for them."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items, self.seconds = iter(items), 0.0

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        start = time.monotonic()
        try:
            return next(self.items)
        finally:
            self.seconds += time.monotonic() - start


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the lock goes with the process, however it ends.

    Where the body fails and has written nothing, folders that were not there go again.
    Raises DataError where another process holds it.
    """
    lock = folder / ".lock"
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):  # or it went with the folder of another process, which failed
            held = False
        if not held:
            raise DataError(f"{folder} is in use by another process; wait for it, or choose another --out")
        try:
            yield
        except BaseException:
            with suppress(OSError):  # a folder that others have put something into stays
                if made and list(folder.iterdir()) == [lock]:
                    lock.unlink()
                    for one in made:
                        one.rmdir()
            raise


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and a termination into a flag; a second Ctrl-C acts at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)

    kept = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
