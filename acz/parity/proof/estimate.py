"""Memory and time of a proof, said before it begins."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz.parity.proof.directions import directions
from acz.parity.proof.reference import Pass, take
from acz.parity.proof.subject import HOSTILE, PART, Subject
from acz.parity.proof.training import COPIES, STEPS
from acz.reference.samples import Batch

FRAMEWORK = 2**29
"""Bytes of a framework that is loaded."""
COMPLEX = 4
"""Multiplications of a complex product, and with them its time, beside a real one."""


def check_bytes(spec: Spec, videos: int) -> int:
    """Bytes of the larger of the reference and a backend at their peak, without training.

    Both hold every layer's output in float64; the reference holds complex parameters beside its own.
    """
    layers = sum(math.prod(placed.output_shape) for placed in spec.layout)
    widest = max(math.prod(placed.output_shape) for placed in spec.layout)
    return FRAMEWORK + 8 * (5 * spec.parameter_count + videos * 2 * layers + 4 * PART * widest)


def training_bytes(spec: Spec) -> int:
    """Bytes of the reference's training in a backend's process at its peak."""
    layers = sum(math.prod(placed.output_shape) for placed in spec.layout)
    return FRAMEWORK + 8 * (COPIES * spec.parameter_count + 4 * PART * layers)


def free_bytes() -> int | None:
    """Bytes of memory that are free, or that the system can free; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def check_seconds(subject: Subject, backends: int) -> float:
    """Seconds that a proof takes, from the time of one real run of a few videos.

    Each variant of the reference runs every batch in both modes, and a part of it once for each direction.
    """
    batch = subject.batches["hostile"]
    parameters: Mapping[str, Array] = {path: np.asarray(v, np.float64) for path, v in subject.parameters.items()}
    few = Batch("few", take(batch.inputs, slice(0, 4)), batch.labels[:4], take(batch.dropout, slice(0, 4)))
    begun = time.perf_counter()
    with np.errstate(all="ignore"):
        Pass(subject.spec, parameters, few, False, subject.loss)
    of_video = (time.perf_counter() - begun) / len(few.labels)
    videos = len(subject.batches["data"].labels)
    derived = (min(videos, PART) + HOSTILE) * len(directions(subject.spec)) * COMPLEX / 2
    forward = 2 * (videos + HOSTILE) + PART
    trained = 2 * STEPS * PART * COMPLEX
    return of_video * (2.5 * (forward + derived) + backends * 6 * forward + trained)
