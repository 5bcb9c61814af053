"""Batches and dropout masks of every step of a run."""

from __future__ import annotations

from collections.abc import Iterator

from acz.data.base import Data, Examples
from acz.foundation.arrays import Array
from acz.foundation.randomness import generator, keep_mask
from acz.model.spec import Spec


def batches(
    spec: Spec, split: Data, batch_size: int, seed: int, first: int, last: int
) -> Iterator[tuple[Examples, dict[str, Array]]]:
    """Examples and dropout masks of steps first .. last - 1.

    Every epoch runs over the split in an order of its own; what does not fill a batch is left out of that epoch. Each
    step's numbers depend on the seed and the step alone.
    """
    per_epoch = len(split) // batch_size
    of_epoch: Iterator[Examples] = iter(())
    for step in range(first, last):
        epoch, place = divmod(step, per_epoch)
        if step == first or place == 0:
            of_epoch = split.epoch(seed, epoch, batch_size, place, list(spec.inputs))
        examples = next(of_epoch)
        frames = {n: examples.inputs[n].shape[1] for n, entry in spec.inputs.items() if entry.has_frames}
        masks = {
            path: keep_mask(generator(seed, "dropout", step, path), (batch_size, *shape), rate)
            for path, (shape, rate) in spec.dropout_masks(frames).items()
        }
        yield examples, masks
