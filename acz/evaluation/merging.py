"""Figures of several processes, each of which has counted its own batches of a split."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from acz.evaluation.metrics import Accuracy, YouTube8MMetrics
from acz.evaluation.metrics.rated import RatedPairs, merge_pairs
from acz.foundation.arrays import Array
from acz.foundation.processes.group import Group

PAIRS = "pairs."
"""The prefix of the arrays of rated pairs."""


def merge_ranks(
    batches: Sequence[Accuracy], metrics: YouTube8MMetrics, pairs: RatedPairs, group: Group
) -> tuple[Accuracy, YouTube8MMetrics]:
    """Merge the counts of all processes at rank 0, to the last bit those that one process would have.

    Args:
        batches: the counts of each batch of this process. Processes have neighbouring batches, in the order of ranks.
        metrics: the counts of all videos of this process, with their numbers.
        pairs: the rated pairs of this process. At rank 0 those of the others are added to them.
        group: the processes.

    Returns:
        The merged counts at rank 0; those of this process at the others.
    """
    counts = np.array([[batch.examples, batch.top1, batch.top5] for batch in batches], np.int64).reshape(-1, 3)
    losses = np.array([np.nan if batch.total_loss is None else batch.total_loss for batch in batches])
    parts: list[dict[str, Array]] = [{"batch.counts": counts, "batch.losses": losses}]
    if group.world > 1:
        packed = io.BytesIO()
        np.savez(packed, **parts[0], **metrics.arrays(), **{PAIRS + name: v for name, v in pairs.arrays().items()})
        parts = [_unpack(part) for part in group.gather(packed.getvalue())]
    accuracy = Accuracy()
    for rank, part in enumerate(parts):
        for (examples, top1, top5), loss in zip(
            part["batch.counts"].tolist(), part["batch.losses"].tolist(), strict=True
        ):
            accuracy.add(Accuracy(examples, top1, top5, None if np.isnan(loss) else loss))
        if rank:
            merge_pairs(pairs, {name.removeprefix(PAIRS): part[name] for name in part if name.startswith(PAIRS)})
            metrics.merge(YouTube8MMetrics.of_arrays(part, metrics.classes, metrics.top_k, metrics.ties))
    return accuracy, metrics


def _unpack(packed: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
