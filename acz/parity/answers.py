"""What each side of a comparison computed, by key; computed once for all."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from acz.backend.registry import REFERENCE, find_backend
from acz.backend.worker import Arguments, Job
from acz.foundation.arrays import Array, Arrays


class Reference:
    """The NumPy reference, behind the same jobs; every answer is computed once for all backends."""

    def __init__(self) -> None:
        self.backend = find_backend(REFERENCE)
        self.lock = threading.Lock()
        self.known: dict[str, Arrays] = {}

    def __call__(
        self, key: str, job: Job[Arguments, object], arguments: Arguments, arrays: Mapping[str, Array]
    ) -> Arrays:
        with self.lock:
            if key not in self.known:
                with np.errstate(all="ignore"):
                    self.known[key] = job(self.backend, arguments, arrays)[1]
            return self.known[key]
