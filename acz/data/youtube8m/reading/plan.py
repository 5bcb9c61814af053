"""The order of an epoch, which follows from the seed and the number of records in each shard alone.

Each epoch has its own order of the shards. The records go, shard after shard, through a buffer, from which the next
record is drawn. Only numbers are moved: a plan for millions of videos takes a second, and an epoch that is resumed in
its middle reads none of the earlier videos.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator

STRETCH = 2**16
"""Records that are drawn for at once. Orders depend on it: never change it."""


def order(starts: Array, buffer: int, seed: int, epoch: int) -> Iterator[Array]:
    """Every record's number once, in parts, int64 (records). `starts` (shards + 1) is that of the index."""
    source = generator(seed, "shuffle", epoch)
    shards = source.permutation(len(starts) - 1)
    held: list[int] = []
    for shard in shards:
        for first in range(int(starts[shard]), int(starts[shard + 1]), STRETCH):
            coming = range(first, min(first + STRETCH, int(starts[shard + 1])))
            room = min(buffer - len(held), len(coming))
            held.extend(coming[:room])
            draws = source.integers(0, buffer, len(coming) - room).tolist()
            drawn = []
            for place, number in zip(draws, coming[room:], strict=True):
                drawn.append(held[place])
                held[place] = number
            yield np.array(drawn, np.int64)
    yield np.array(held, np.int64)[source.permutation(len(held))]


def batches(parts: Iterator[Array], size: int, first: int = 0) -> Iterator[Array]:
    """The full batches of an order, int64 (size) each, from batch number `first`.

    An incomplete last batch is left out.
    """
    left = np.empty(0, np.int64)
    skip = first * size
    for part in parts:
        if skip >= len(part):
            skip -= len(part)
            continue
        left = np.concatenate([left, part[skip:]])
        skip = 0
        whole = len(left) // size * size
        yield from left[:whole].reshape(-1, size)
        left = left[whole:]
