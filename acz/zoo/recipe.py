"""A training recipe: epochs, batches, loss, optimiser, schedule, early stopping."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from acz.foundation.errors import SpecError
from acz.model.losses import LOSSES, LossName, choose_loss
from acz.model.optimizer import Adam, AveragedAdam
from acz.model.parameters import match_paths
from acz.model.spec import Spec


class Schedule(BaseModel):
    """The factor of the learning rate over a run.

    - `constant`: always 1;
    - `warmup_cosine`: linear over the first `warmup` share of the steps, then half a cosine to 0;
    - `one_cycle`: half a cosine from 1/25 to 1 over the first `warmup` share of the steps, then half a cosine to
      1/250,000 (Smith and Topin 2018, as in PyTorch);
    - `exponential`: times `factor` after every `examples` examples, in stairs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    type: Literal["constant", "warmup_cosine", "one_cycle", "exponential"] = "constant"
    warmup: float = Field(default=0.3, ge=0, lt=1)
    factor: float = Field(default=0.85, gt=0, le=1)
    examples: int = Field(default=2_000_000, gt=0, lt=2**63)

    def rate(self, step: int, steps: int, batch_size: int) -> float:
        """Give the factor at `step`, from 0, of a run of `steps` steps of `batch_size` examples."""
        if self.type == "exponential":
            return self.factor ** (step * batch_size // self.examples)
        if self.type == "constant":
            return 1.0
        rising = self.warmup * steps
        if self.type == "warmup_cosine":
            if step < rising:
                return (step + 1) / (rising + 1)
            return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))
        top = max(rising - 1, 0.0)
        if step <= top:
            return _cosine(1 / 25, 1.0, step / top if top else 1.0)
        return _cosine(1.0, 1 / 250_000, (step - top) / max(steps - 1 - top, 1))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class EarlyStopping(BaseModel):
    """Stop when the deciding figure has not improved for `patience` epochs: GAP with several labels, else top-1."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    patience: int = Field(gt=0)


class Average(BaseModel):
    """An exponential average of the trained weights, which starts as the weights that training starts from.

    After each step it moves from where it is to the weights, by the share 1 - 0.5^(1 / `halflife`): what a step gave counts
    half after `halflife` more steps. Entries of the YouTube-8M challenges took shares of 1/2000 to 1/3000, half-lives of
    1,386 to 2,079 steps, and started from a checkpoint. Statistics of batch norms, which are averages already, are taken as they are.

    With `evaluate` each epoch is evaluated with the average, and `best` holds it. `last` holds both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    halflife: float = Field(gt=0)
    evaluate: bool = True

    @property
    def decay(self) -> float:
        """The share of the average that a step keeps."""
        return float(0.5 ** (1 / self.halflife))


class Distillation(BaseModel):
    """A teacher's predictions for every training video, as `acz infer TEACHER --split train` writes them.

    The loss is (1 - `weight`) times that of the labels, and `weight` times that of the teacher's scores as labels. A class that
    the file does not list counts as 0. The hits that training reports count the classes that the teacher lists too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    predictions: str
    weight: float = Field(default=0.5, gt=0, le=1)


class Recipe(BaseModel):
    """The recipe of a training. Without `loss` it is the loss that belongs to the model's output.

    `freeze` has patterns of parameter paths, such as `features.*`. Frozen parameters keep their values: no step, no
    weight decay and no penalty changes them, and their gradients count in no norm. Statistics that a pattern matches
    stay too. Those of other batch norms move, also where the norm's weights are frozen. In training every batch norm
    normalises with the statistics of the batch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(default=10, gt=0, le=2**31)
    batch_size: int = Field(default=64, gt=0, le=2**31)
    seed: int = Field(default=0, ge=0, lt=2**64)
    loss: LossName | None = None
    optimizer: Adam = Adam()
    average: Average | None = None
    distill: Distillation | None = None
    freeze: tuple[str, ...] = ()
    precision: Literal["float64", "float32", "tf32", "bfloat16", "float16"] = "float32"
    """The precision of the training. The last three are those of matrix products alone; the weights stay float32."""
    schedule: Schedule = Schedule()
    early_stopping: EarlyStopping | None = None
    checkpoint_steps: int = Field(default=500, gt=0, lt=2**63)
    """The number of steps between checkpoints inside an epoch. Each epoch also ends with a checkpoint."""

    def require(self, spec: Spec) -> None:
        """Check that the recipe fits a model.

        Raises:
            SpecError: the loss cannot train the model's output, a penalty matches no trained parameter, `freeze`
                matches no parameter, or it matches every trained one.
        """
        if self.loss:
            choose_loss(self.loss, spec)
        if self.distill and not (loss := choose_loss(self.loss, spec)).is_linear:
            linear = " or ".join(known.name for known in LOSSES.values() if known.is_linear)
            raise SpecError(f"train.distill: the loss must be {linear}, got {loss.name}; change train.loss")
        self.optimizer.require(spec.trained)
        if set(spec.trained) <= set(self.frozen(spec)):
            raise SpecError("train.freeze: matches every trained parameter; leave one of them to be trained")

    @property
    def averaging_optimizer(self) -> Adam:
        """The optimiser, with the average that the recipe asks for."""
        if self.average is None:
            return self.optimizer
        return AveragedAdam(**self.optimizer.model_dump(), average=self.average.decay)

    def frozen(self, spec: Spec) -> tuple[str, ...]:
        """Give the paths of the parameters and statistics that `freeze` matches.

        Raises:
            SpecError: a pattern matches no path.
        """
        matches = {path for pattern in self.freeze for path in match_paths(pattern, spec.parameters, "train.freeze")}
        return tuple(path for path in spec.parameters if path in matches)
