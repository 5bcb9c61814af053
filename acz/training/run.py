"""A run: its settings, its data, and where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from acz.data.base import Data
from acz.foundation.errors import CheckpointError
from acz.model.checkpoint import Checkpoint, load_checkpoint, require_spec
from acz.model.spec import Spec
from acz.zoo.config import Config


@dataclass
class State:
    """Where a run is. Saved with `last`, so that a resumed run does exactly what the other one would have done."""

    step: int = 0
    epoch: int = 0
    """Epochs that are complete."""
    loss_sum: float = 0.0
    hits: float = 0.0
    examples: int = 0
    """Sums over the present epoch."""
    best_top1: float = -1.0
    best_gap: float = -1.0
    """Of the best epoch: by GAP where videos have several labels, else by top-1; -1 where there is none yet."""
    best_epoch: int = 0
    stopped: bool = False

    @property
    def best(self) -> dict[str, float]:
        return {"top1": self.best_top1} | ({"gap": self.best_gap} if self.best_gap >= 0 else {})


@dataclass
class Run:
    """A run's settings and what it trains on."""

    config: Config
    backend: str
    device: str
    folder: Path
    data: Path
    train: Data
    test: Data
    threads: int
    resumed: bool = False
    again: str = ""
    """The command that goes on with the run, where it is not `acz train`."""
    state: State = field(default_factory=State)

    @property
    def goes_on(self) -> str:
        """What to type after an interruption."""
        return self.again or f"acz train --resume --out {self.folder}"

    @property
    def batch_size(self) -> int:
        return min(self.config.recipe.batch_size, len(self.train))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train) // self.batch_size

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.config.recipe.epochs


def resumable(path: Path, spec: Spec) -> Checkpoint:
    """A checkpoint that training can go on from. Raises CheckpointError where it is of another model, or holds weights only."""
    checkpoint = load_checkpoint(path)
    require_spec(checkpoint, spec, path)
    needed = {"step", *(f"{moment}.{name}" for name in spec.trained for moment in "mv")}
    start = vars(State())
    state = checkpoint.state = {"best_gap": -1.0, **checkpoint.state}  # files of before GAP have none
    if set(state) != set(start) or not needed <= set(checkpoint.optimizer):
        raise CheckpointError(f"{path} holds no training state, so the run can't go on from it")
    for name, value in start.items():
        of_kind = type(state[name]) in ((int, float) if type(value) is float else (type(value),))
        if not of_kind or not -1 <= state[name] < 2**63:
            raise CheckpointError(f"{path}: its state is damaged: {name} is {state[name]!r}")
    return checkpoint
