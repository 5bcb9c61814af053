"""What each side of a comparison computed, by key; computed once for all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array, Arrays
from acz.parity import jobs
from acz.reference import numpy_backend


class Reference:
    """The NumPy reference, behind the same jobs; every answer is computed once for all backends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, Arrays] = {}

    def __call__(self, key: str, job: str, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Arrays:
        with self.lock:
            if key not in self.known:
                with np.errstate(all="ignore"):
                    self.known[key] = getattr(jobs, job)(numpy_backend, arguments, arrays)[1]
            return self.known[key]
