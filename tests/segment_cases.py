"""The fixtures of segments, and small shards whose segments are rated."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.youtube8m.making.synthesize import encode
from acz.data.youtube8m.shards.video import Rating
from tests.youtube8m_cases import write

FOLDER = Path(os.environ.get("ACZ_GOLDEN", Path(__file__).parent / "fixtures/segments"))


def load(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a fixture, and its settings."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays), json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["config"]


def rated_shard(
    path: Path,
    ratings: Sequence[Sequence[tuple[int, int, float]]],
    frames: int = 12,
    rgb: int = 6,
    audio: int = 4,
    seed: int | None = None,
) -> Path:
    """A shard with a video for each list of (start, class, score); video i is called `vi`.

    All features of frame f are f + 1, or random numbers where there is a seed.
    """
    source = np.random.default_rng(seed)
    contents = []
    for number, own in enumerate(ratings):
        count = np.arange(1, frames + 1, dtype=np.uint8)[:, None]
        features = {"rgb": np.repeat(count, rgb, 1), "audio": np.repeat(count, audio, 1)}
        if seed is not None:
            features = {name: source.integers(0, 256, value.shape, np.uint8) for name, value in features.items()}
        contents.append(encode(f"v{number}", [], features, [Rating(*rating) for rating in own]))
    return write(path, contents)
