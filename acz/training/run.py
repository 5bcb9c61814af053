"""A run: its settings, its data, and its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from acz.backend.processes import rows_of_rank
from acz.backend.protocol import Backend
from acz.backend.ranks import Rank
from acz.data.base import Data
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckpointError
from acz.model.checkpoint import Checkpoint, load_checkpoint, require_spec
from acz.model.losses import Loss
from acz.model.spec import Spec
from acz.training.distillation import Teacher
from acz.zoo.config import Config

VERSION = 2
"""The version of a state in a checkpoint.

Version 1 has `best_top1` and `best_gap` in place of `best`, and no `version`.
"""


@dataclass
class State:
    """The progress of a run. The checkpoint `last` holds it, so that a resumed run equals an uninterrupted one."""

    step: int = 0
    """The number of finished steps."""
    epoch: int = 0
    """The number of complete epochs."""
    loss_sum: float = 0.0
    hits: float = 0.0
    examples: int = 0
    """Sums of loss, hits and examples over the current epoch."""
    best: dict[str, float] = field(default_factory=dict)
    """Figures of the best epoch: top-1 and, where videos have several labels, GAP.

    Empty before the first epoch ends.
    """
    best_epoch: int = 0
    stopped: bool = False
    """True after early stopping."""

    def to_json(self) -> dict[str, Any]:
        """Give the state in the form of a checkpoint."""
        return {"version": VERSION, **asdict(self)}


@dataclass(frozen=True)
class Start:
    """The starting values of a run that begins from the weights of a checkpoint, and their origin for run.json."""

    parameters: Mapping[str, Array]
    file: Path
    sha256: str
    taken: Sequence[str]
    """Paths with the checkpoint's values."""
    new: Sequence[str]
    """Paths with their own starting values."""
    left_out: Sequence[str]
    """Arrays of the checkpoint that were not taken."""

    def to_json(self) -> dict[str, Any]:
        """Give the origin in the form of run.json."""
        names = {"taken": list(self.taken), "new": list(self.new), "left_out": list(self.left_out)}
        return {"file": str(self.file.resolve()), "sha256": self.sha256, **names}

    def __str__(self) -> str:
        new = f" ({', '.join(self.new)})" if self.new else ""
        return (
            f"starts from {self.file} (sha256 {self.sha256[:12]}): {len(self.taken)} taken, {len(self.new)} new{new}, "
            f"{len(self.left_out)} left out"
        )


@dataclass(frozen=True)
class Since:
    """The step and the epoch after which a run has read its present data set. Both are 0 for the data of its start."""

    step: int = 0
    epoch: int = 0


FIRST_DATA = Since()


@dataclass
class Run:
    """A run: the model, the data, the backend and the state. Everything in it is open and ready to use."""

    config: Config
    loss: Loss
    backend: Backend
    device: str
    folder: Path
    data: Path
    """The folder of the data set, for run.json."""
    fingerprint: str
    """The fingerprint of the data set, for run.json."""
    train: Data
    test: Data
    threads: int
    versions: Mapping[str, str]
    resume_command: str
    """The command that resumes the run."""
    rank: Rank
    """This process, which may be one of several that share the run; rank 0 alone writes files."""
    start: Start | None = None
    """The weights to begin from. None: the model's own starting values, or a resumed run."""
    teacher: Teacher | None = None
    """The predictions that take part in the labels."""
    resumed: bool = False
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """The old and the new value of each setting that changes as the run is resumed."""
    has_other_data: bool = False
    """True where the run is resumed with another data set than before."""
    since: Since = FIRST_DATA
    state: State = field(default_factory=State)

    @property
    def batch_size(self) -> int:
        """The number of videos of a batch. A small data set makes one batch."""
        return min(self.config.recipe.batch_size, len(self.train))

    @property
    def writes(self) -> bool:
        """True for the process that writes the run's files."""
        return self.rank.group.rank == 0

    @property
    def own_rows(self) -> slice:
        """This process's rows of a batch."""
        return rows_of_rank(self.batch_size, self.rank.group.rank, self.rank.group.world)

    @property
    def steps_per_epoch(self) -> int:
        """The number of full batches of an epoch."""
        return len(self.train) // self.batch_size

    @property
    def steps(self) -> int:
        """The number of steps of the whole run."""
        return self.since.step + self.steps_per_epoch * (self.config.recipe.epochs - self.since.epoch)


def _state_of_version_1(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state of version 1 in the present version. Files from before GAP have no `best_gap`."""
    others = {key: value for key, value in state.items() if key not in ("best_top1", "best_gap")}
    best = {"top1": state.get("best_top1", -1.0), "gap": state.get("best_gap", -1.0)}
    return others | {"version": VERSION, "best": {name: value for name, value in best.items() if value != -1.0}}


def _read_state(path: Path, state: Mapping[str, Any]) -> State:
    """Read the state of a checkpoint. Raises CheckpointError where it is damaged, or not the state of a run."""
    if "version" not in state and "best_top1" in state:
        state = _state_of_version_1(state)
    start = State().to_json()
    if set(state) != set(start):
        raise CheckpointError(f"{path} has no training state, so a run can't resume from it")
    if state["version"] != VERSION:
        raise CheckpointError(
            f"{path}: its state has the version {state['version']!r}, this version of acz reads {VERSION}; update acz"
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


def load_resumable(
    path: Path, spec: Spec, frozen: Collection[str] = (), averages: bool = False
) -> tuple[Checkpoint, State]:
    """Load a checkpoint and its training state.

    Args:
        path: the checkpoint.
        spec: the model of the run.
        frozen: paths of the parameters that the run does not train. The optimiser needs no moments of them.
        averages: true where the run averages its weights.

    Raises:
        CheckpointError: the checkpoint belongs to another model, is damaged, or has weights only.
    """
    checkpoint = load_checkpoint(path)
    require_spec(checkpoint, spec, path)
    kinds = "mva" if averages else "mv"
    needed = {"step", *(f"{moment}.{name}" for name in spec.trained if name not in frozen for moment in kinds)}
    if not needed <= set(checkpoint.optimizer):
        raise CheckpointError(f"{path} has no training state, so a run can't resume from it")
    return checkpoint, _read_state(path, checkpoint.state)
