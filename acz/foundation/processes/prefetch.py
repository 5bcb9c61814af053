"""Work ahead of the consumer in a thread, and the time that the consumer waits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The same items, computed in a thread up to `depth` items ahead of the consumer.

    An error of the thread is raised at the item where it happened. The thread ends with the generator: at its end, or
    when it is closed.
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


class TimedItems(Generic[Item]):
    """The same items; `seconds` is the time that the consumer has waited for them."""

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
