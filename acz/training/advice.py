"""Advice before the first step of a run, where a setting that suits the data is likely to be missed."""

from __future__ import annotations

import math

import numpy as np

from acz.model.layers.dense import Dense
from acz.training.run import Run

VIDEOS = 64
"""Training videos whose labels are counted."""
RARE = 0.1
"""The largest share of labels for which starting at a half is far off."""


def advise_on_bias(run: Run) -> str:
    """Advice on the starting biases of a dense layer that gives the logits of several labels; empty where they are set.

    From 0 the first steps lower all logits at once, and saturate a tanh layer before them.
    """
    with_parameters = [placed for placed in run.config.spec.layout if placed.parameters]
    if run.start or not run.loss.several_labels or not with_parameters:
        return ""
    last = with_parameters[-1]
    if not isinstance(last.layer, Dense) or not last.layer.bias or last.layer.bias_start is not None:
        return ""
    labels = run.train.take(np.arange(min(VIDEOS, len(run.train))), []).labels
    share = float((labels > 0).mean())
    if not 0 < share <= RARE:
        return ""
    start = math.log(share / (1 - share))
    return (
        f"a video has {share * labels.shape[1]:.2g} of {labels.shape[1]:,} labels, and the biases of {last.path} start "
        f"near 0; --set model.{last.path}.bias_start={start:.1f} starts them at that share, which can decide what is "
        "learned (docs/choosing.md)"
    )
