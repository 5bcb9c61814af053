"""The remark at the start of training on settings that do not suit the number of videos."""

from __future__ import annotations

from acz.training.run import Run

MOST_PARAMETERS = 1_000
"""Parameters for each training video beyond which a model is called far too large.

The zoo's models have 1 to 63 for each training video of YouTube-8M, and its small variants 58 to 928 for each of 10,000.
"""


def remark(run: Run) -> str | None:
    """One line on a batch that is cut, on videos that no step of an epoch sees, and on a model that is too large.

    None where the settings suit the data.
    """
    videos, wanted = len(run.train), run.config.recipe.batch_size
    remarks = []
    if wanted > videos:
        remarks.append(
            f"train.batch_size is cut from {wanted:,} to {videos:,}, the number of videos, so an epoch is one step"
        )
    left_out = videos - run.steps_per_epoch * run.batch_size
    if left_out:
        remarks.append(
            f"each epoch leaves out {left_out:,} of {videos:,} videos, which fill no batch of {run.batch_size:,}"
        )
    parameters = run.config.spec.parameter_count
    if parameters > MOST_PARAMETERS * videos:
        name = run.config.name
        smaller = f" ({name}:small has fewer)" if "small" in run.config.variants and ":" not in name else ""
        remarks.append(f"{parameters:,} parameters are far too many for {videos:,} videos{smaller}")
    return f"{run.data}: {'; '.join(remarks)}" if remarks else None
