"""Random numbers that every backend shares: counter-based, keyed by a seed and a name.

Initial values, shuffles, frame samples and dropout masks all come from here. So runs in different frameworks use the
same numbers, and a resumed run draws the numbers that it would have drawn without the interruption.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A Philox generator for one purpose; equal arguments give equal numbers on every machine."""
    text = "/".join([str(int(seed)), *map(str, names)])
    key = hashlib.sha256(text.encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def keep_mask(source: np.random.Generator, shape: tuple[int, ...], rate: float) -> npt.NDArray[np.uint8]:
    """Draw a dropout mask: 1 keeps, 0 drops with probability `rate`, to the nearest 1/65536.

    An element takes sixteen random bits, so a mask of a million elements costs about a millisecond.
    """
    count = int(np.prod(shape, dtype=np.int64))
    words = source.bit_generator.random_raw((count + 3) // 4)
    draws = np.asarray(words, dtype="<u8").view("<u2")[:count]
    return (draws >= round(rate * 65536)).astype(np.uint8).reshape(shape)
