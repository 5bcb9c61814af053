"""A run: its settings, its data, and its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from acz.backend.protocol import Backend
from acz.data.base import Data
from acz.foundation.errors import CheckpointError
from acz.model.checkpoint import Checkpoint, load_checkpoint, require_spec
from acz.model.losses import Loss
from acz.model.spec import Spec
from acz.zoo.config import Config

VERSION = 2
"""Form of a state in a checkpoint. Form 1 had `best_top1` and `best_gap` in place of `best`, and no `version`."""


@dataclass
class State:
    """The place of a run. It is saved with `last`, so that a resumed run does exactly what the other would have done."""

    step: int = 0
    epoch: int = 0
    """Epochs that are complete."""
    loss_sum: float = 0.0
    hits: float = 0.0
    examples: int = 0
    """Sums over the present epoch."""
    best: dict[str, float] = field(default_factory=dict)
    """Figures of the best epoch: top-1 and, where videos have several labels, GAP. Empty before the first epoch's end."""
    best_epoch: int = 0
    stopped: bool = False

    def to_json(self) -> dict[str, Any]:
        """The state as a checkpoint holds it."""
        return {"version": VERSION, **asdict(self)}


@dataclass
class Run:
    """A run: what it trains, on what, with what. Everything in it is open."""

    config: Config
    loss: Loss
    backend: Backend
    device: str
    folder: Path
    data: Path
    """The place of the data set, for the record."""
    fingerprint: str
    """What tells the data set from another."""
    train: Data
    test: Data
    threads: int
    versions: Mapping[str, str]
    resume_command: str
    """What a user types to resume the run."""
    resumed: bool = False
    state: State = field(default_factory=State)

    @property
    def batch_size(self) -> int:
        """Videos of a batch; a small data set makes one batch."""
        return min(self.config.recipe.batch_size, len(self.train))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of an epoch."""
        return len(self.train) // self.batch_size

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.config.recipe.epochs


def _state_of_version_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state of before `version`, in today's form. Files of before GAP have no `best_gap`."""
    kept = {key: value for key, value in state.items() if key not in ("best_top1", "best_gap")}
    best = {"top1": state.get("best_top1", -1.0), "gap": state.get("best_gap", -1.0)}
    return kept | {"version": VERSION, "best": {name: value for name, value in best.items() if value != -1.0}}


def _read_state(path: Path, state: Mapping[str, Any]) -> State:
    """The state of a checkpoint. Raises CheckpointError where it is damaged, or no state of a run."""
    if "version" not in state and "best_top1" in state:
        state = _state_of_version_1(state)
    start = State().to_json()
    if set(state) != set(start):
        raise CheckpointError(f"{path} holds no training state, so the run can't be resumed from it")
    if state["version"] != VERSION:
        raise CheckpointError(
            f"{path}: its state has the form {state['version']!r}, this version of acz reads {VERSION}; update acz"
        )
    if not isinstance(state["best"], dict):
        raise CheckpointError(f"{path}: its state is damaged: best is {state['best']!r}")
    numbers = {name: value for name, value in start.items() if name not in ("version", "best")}
    values = [(name, type(value), state[name]) for name, value in numbers.items()]
    values += [(f"best.{name}", float, value) for name, value in state["best"].items()]
    for name, kind, value in values:
        fits = type(value) in ((int, float) if kind is float else (kind,))
        if not fits or not -1 <= value < 2**63:
            raise CheckpointError(f"{path}: its state is damaged: {name} is {value!r}")
    return State(**{name: state[name] for name in start if name != "version"})


def load_resumable(path: Path, spec: Spec) -> tuple[Checkpoint, State]:
    """A checkpoint that training can be resumed from, and its state.

    Raises:
        CheckpointError: it is of another model, is damaged, or holds weights only.
    """
    checkpoint = load_checkpoint(path)
    require_spec(checkpoint, spec, path)
    needed = {"step", *(f"{moment}.{name}" for name in spec.trained for moment in "mv")}
    if not needed <= set(checkpoint.optimizer):
        raise CheckpointError(f"{path} holds no training state, so the run can't be resumed from it")
    return checkpoint, _read_state(path, checkpoint.state)
