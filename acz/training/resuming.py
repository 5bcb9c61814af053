"""Resuming a run with other settings or other data: what may change, and what that does to the run's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acz.foundation.errors import SpecError
from acz.training.run import Run, Since, State

CHANGEABLE = (
    "train.epochs",
    "train.early_stopping",
    "train.checkpoint_steps",
    "data.reading.workers",
    "data.reading.verify",
)
"""The settings that may change when a run is resumed."""


def require_changeable(names: Sequence[str], folder: Path) -> None:
    """Check that these settings may change when a run is resumed. Raises SpecError that names the first other one."""
    for name in names:
        if not any(name == known or name.startswith(f"{known}.") for known in CHANGEABLE):
            raise SpecError(
                f"{name} can't change when a run is resumed; {', '.join(CHANGEABLE)} can. "
                f"'acz train --from {folder} --set {name}=...' starts a new run from its weights"
            )


def value_at(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a configuration; None where the path leads nowhere."""
    node: Any = tree
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def is_done(run: Run) -> bool:
    """True where no step is left: the epochs are complete, or the run stopped early."""
    return run.state.stopped or run.state.step >= run.steps


def adapt_state(run: Run) -> None:
    """Fit the state of a checkpoint to the settings and the data with which its run is resumed.

    The epochs on another data set count from there on. The best epoch and early stopping are of one data set.

    Raises:
        SpecError: The run is further than the epochs that are asked for.
    """
    state, epochs = run.state, run.config.recipe.epochs
    if run.has_other_data:
        run.since = Since(state.step, state.epoch)
    if state.step > run.steps:
        begun = state.epoch + (state.step > run.since.step + (state.epoch - run.since.epoch) * run.steps_per_epoch)
        raise SpecError(f"train.epochs={epochs}: {run.folder} has begun epoch {begun}; give {begun} or more")
    if state.step == run.since.step < run.steps:  # a killed process may have written the change of data, but no step
        state.loss_sum, state.hits, state.examples = 0.0, 0.0, 0
    if state.best_epoch <= run.since.epoch and state.step < run.steps:
        state.best, state.best_epoch = {}, 0
    state.stopped = stops(run, state)


def stops(run: Run, state: State) -> bool:
    """True where early stopping ends the run after its last complete epoch."""
    stopping = run.config.recipe.early_stopping
    last_better = max(state.best_epoch, run.since.epoch)
    return stopping is not None and state.epoch - last_better >= stopping.patience


def changes_in_words(run: Run) -> list[str]:
    """Lines on the settings and the data that changed, for the user."""
    lines = [f"{run.folder}: {path} was {old}, is {new}" for path, (old, new) in run.changes.items()]
    state, epochs = run.state, run.changes.get("train.epochs")
    if (epochs or run.has_other_data) and state.step:
        line = f"schedule {run.config.recipe.schedule.type} over {run.steps:,} steps: the learning rate "
        if epochs and not run.has_other_data:
            former = run.since.step + run.steps_per_epoch * (epochs[0] - run.since.epoch)
            line += f"was {_learning_rate(run, state.step - 1, former):.3g} at the last step and "
        lines.append(f"{line}is {_learning_rate(run, state.step, run.steps):.3g} at the next")
    if run.has_other_data:
        compared = f"; figures of epochs 1 .. {state.epoch} are not compared with those to come" if state.epoch else ""
        lines.append(f"{run.data} is another data set than before{compared}")
    return lines


def _learning_rate(run: Run, step: int, steps: int) -> float:
    recipe = run.config.recipe
    return recipe.optimizer.learning_rate * recipe.schedule.rate(step, steps, run.batch_size)


def nothing_left(run: Run) -> str:
    """The line for a run that has no step left, with the command that trains on."""
    state, patience = run.state, run.config.recipe.early_stopping
    if state.stopped and patience:
        reason = f"stopped early after epoch {state.epoch} (patience {patience.patience})"
        setting = "train.early_stopping=null"
    else:
        reason, setting = f"all {state.epoch} epochs are complete", f"train.epochs={2 * state.epoch}"
    return f"{run.folder}: {reason}, so nothing is left to do; '{run.resume_command} --set {setting}' trains on"
