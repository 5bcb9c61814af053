"""The choice of the frames of a video.

In training it follows from the settings, the seed, the epoch and the video's id alone.
"""

from __future__ import annotations

import numpy as np

from acz.data.youtube8m.settings import MOST_FRAMES, Sampling
from acz.foundation.arrays import Array
from acz.foundation.randomness import generator


def frames_at(sampling: Sampling, count: int, u: Array) -> Array:
    """The numbers of the k frames that one sampling takes of a video of n frames, int64 (frames).

    - strata: min(n - 1, int((i + u_i) n / k)). Source: PaddleCV/video, feature_reader.
    - contiguous: min(n - 1, int(u (max(n - k, 0) + 1)) + i), so that a short video repeats its last frame.
      Source: YouTube-8M's starter code, model_utils.
    - random with replacement: int(u_i n).
    - random without replacement: the frames of the k smallest draws, in order.

    `random` without replacement and `first` give fewer frames where the video has fewer.

    Args:
        sampling: The settings; k is its `frames`.
        count: n, the number of frames of the video.
        u: Draws in [0, 1), as many as `draws_of` says.
    """
    wanted = sampling.frames or count
    steps = np.arange(wanted)
    if sampling.type == "strata":
        return np.minimum(((steps + u) * (count / wanted)).astype(np.int64), count - 1)
    if sampling.type == "contiguous":
        return np.minimum(int(u[0] * (max(count - wanted, 0) + 1)) + steps, count - 1)
    if sampling.type == "random":
        if sampling.replacement:
            return np.minimum((u * count).astype(np.int64), count - 1)
        return np.sort(np.argsort(u, kind="stable")[:wanted])
    return steps[:count]


def draws_of(sampling: Sampling, count: int) -> int:
    """The number of draws that one sampling of a video of `count` frames needs."""
    if sampling.type in ("all", "first"):
        return 0
    if sampling.type == "contiguous":
        return 1
    return count if sampling.type == "random" and not sampling.replacement else sampling.frames or 0


def select(sampling: Sampling, count: int, video: str, seed: int = 0, epoch: int | None = None) -> Array:
    """The numbers of the frames to take of a video, int64 (bags, frames).

    Without an `epoch` the answer is that of evaluation, the same each time. Every draw of `strata` and `contiguous` is
    1/2, the middle; those of `random` follow from the video's id. In an epoch `halves` chooses a half first. The first
    half of an odd number of frames has the middle frame.
    """
    count, first = min(count, MOST_FRAMES), 0
    source = None
    if epoch is not None and (sampling.halves or sampling.type not in ("all", "first")):
        source = generator(seed, "frames", epoch, video)
        if sampling.halves and count > 1:
            half = (count + 1) // 2
            first, count = (0, half) if source.random() < 0.5 else (half, count - half)
    elif sampling.type == "random":
        source = generator(seed, "evaluation frames", video)
    size = (sampling.bags, draws_of(sampling, count))
    u = np.full(size, 0.5) if source is None else source.random(size)
    return first + np.stack([frames_at(sampling, count, row) for row in u])
