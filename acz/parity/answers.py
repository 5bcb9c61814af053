"""The answers of each side of a comparison, by key."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from acz.backend.protocol import Backend
from acz.backend.worker import Arguments, Job, Value, Worker
from acz.foundation.arrays import Array, Arrays


class Answers:
    """The arrays that jobs give: those of the reference in this process, those of each backend in its worker.

    What has a key is computed once and kept.
    """

    def __init__(self, reference: Backend, workers: Mapping[str, Worker]) -> None:
        self._reference, self._workers = reference, workers
        self._by_key: dict[tuple[str, str], Arrays] = {}
        self._lock = threading.Lock()

    def of_reference(
        self,
        key: str,
        job: Job[Arguments, object],
        arguments: Arguments,
        arrays: Mapping[str, Array],
        reference: Backend | None = None,
    ) -> Arrays:
        """The answer of the reference, or of a form of it, to a job, computed once for all backends."""
        with self._lock:
            if ("", key) not in self._by_key:
                with np.errstate(all="ignore"):
                    self._by_key["", key] = job(reference or self._reference, arguments, arrays)[1]
            return self._by_key["", key]

    def of_backend(
        self, name: str, job: Job[Arguments, object], arguments: Arguments, arrays: Mapping[str, Array], key: str = ""
    ) -> Arrays:
        """A backend's answer to a job; with a `key` it is kept. Raises JobFailed, WorkerDied."""
        if key and (name, key) in self._by_key:
            return self._by_key[name, key]
        answer = self._workers[name].run(job, arguments, arrays)[1]
        if key:
            self._by_key[name, key] = answer
        return answer

    def ask(self, name: str, job: Job[Arguments, Value], arguments: Arguments) -> Value:
        """The value that a job gives in a backend, beside its arrays. Raises JobFailed, WorkerDied."""
        return self._workers[name].run(job, arguments)[0]

    def kept(self, name: str, key: str) -> Arrays | None:
        """A backend's answer that was kept under a key; None where it gave none."""
        return self._by_key.get((name, key))
