"""The groups of benchmarks by name."""

from __future__ import annotations

from acz.studies.benchmarks.circulant import circulant
from acz.studies.benchmarks.measure import against_the_loop, inference, reading, starting, steps, train_command
from acz.studies.benchmarks.metrics import metrics
from acz.studies.benchmarks.vlad import vlad
from acz.studies.benchmarks.youtube8m import youtube8m

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
