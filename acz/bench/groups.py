"""The groups of benchmarks by name."""

from __future__ import annotations

from acz.bench.circulant import circulant
from acz.bench.measure import against_the_loop, inference, reading, starting, steps, train_command
from acz.bench.metrics import metrics
from acz.bench.vlad import vlad
from acz.bench.youtube8m import youtube8m

GROUPS = {
    "loop": against_the_loop,
    "step": steps,
    "train": train_command,
    "inference": inference,
    "circulant": circulant,
    "data": reading,
    "youtube8m": youtube8m,
    "metrics": metrics,
    "vlad": vlad,
    "start": starting,
}

OF_TORCH = {"loop", "vlad"}
"""Those that measure PyTorch's backend alone."""
