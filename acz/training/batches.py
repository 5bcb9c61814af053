"""The batch and the dropout masks of every step of a run."""

from __future__ import annotations

from collections.abc import Iterator

from acz.data.base import Data, Examples
from acz.foundation.arrays import Array
from acz.foundation.randomness import generator, keep_mask
from acz.model.spec import Spec
from acz.training.run import FIRST_DATA, Since

ALL = slice(None)


def batches(
    spec: Spec,
    split: Data,
    batch_size: int,
    seed: int,
    first: int,
    last: int,
    since: Since = FIRST_DATA,
    own: slice = ALL,
) -> Iterator[tuple[Examples, dict[str, Array]]]:
    """Give the examples and the dropout masks of steps first .. last - 1.

    Every epoch has its own order of the split. Examples that do not fill a batch are left out of that epoch. The
    numbers of a step depend on the seed and the step only, so that a resumed run takes the same steps.

    Args:
        spec: the model.
        split: the training examples.
        batch_size: the number of videos of a batch.
        seed: the seed of the recipe.
        first: the number of the first step, from 0.
        last: the number of the step after the last one.
        since: the step and the epoch after which the run reads this split.
        own: the rows of a batch that `split` gives, where several processes share it. They get these rows of the masks too.
    """
    per_epoch = len(split) // batch_size
    epoch_batches: Iterator[Examples] = iter(())
    for step in range(first, last):
        epoch, place = divmod(step - since.step, per_epoch)
        epoch += since.epoch
        if step == first or place == 0:
            epoch_batches = split.epoch(seed, epoch, batch_size, place, list(spec.inputs))
        examples = next(epoch_batches)
        frames = {n: examples.inputs[n].shape[1] for n, entry in spec.inputs.items() if entry.has_frames}
        masks = {
            path: keep_mask(generator(seed, "dropout", step, path), (batch_size, *shape), rate)[own]
            for path, (shape, rate) in spec.dropout_masks(frames).items()
        }
        yield examples, masks
