"""The training loop: batches, masks, schedule, checkpoints and evaluation. A backend supplies steps."""

from __future__ import annotations

import math
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import acz
from acz.backend import build, find_backend
from acz.checkpoint import Checkpoint, load_checkpoint, require_spec, save_checkpoint
from acz.concurrency import ahead, locked
from acz.config import Config, load_config
from acz.data.features import Examples, Split, write_json
from acz.errors import AczError, CheckFailed, CheckpointError, DataError
from acz.evaluate import evaluate
from acz.layers import Array
from acz.losses import default_loss
from acz.progress import Progress, progress
from acz.randomness import generator, keep_mask
from acz.runs import Log, read_run
from acz.spec import Spec

LOG_STEPS = 50
"""Steps between two `train` lines of the metrics."""


class Interrupted(AczError):
    """The user ended a run; everything up to the last step is saved."""

    exit_code = 130


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
    best_epoch: int = 0
    stopped: bool = False


@dataclass
class Run:
    """A run's settings and what it trains on."""

    config: Config
    backend: str
    device: str
    folder: Path
    train: Split
    test: Split
    threads: int = 0
    state: State = field(default_factory=State)

    @property
    def batch_size(self) -> int:
        return min(self.config.recipe.batch_size, len(self.train))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train) // self.batch_size

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.config.recipe.epochs


def batches(
    spec: Spec, split: Split, batch_size: int, seed: int, first: int, last: int
) -> Iterator[tuple[Examples, dict[str, Array]]]:
    """Examples and dropout masks of steps first .. last - 1.

    Every epoch runs over the split in an order of its own; what does not fill a batch is left out of that epoch. Each
    step's numbers depend on the seed and the step alone.
    """
    per_epoch = len(split) // batch_size
    order, of_epoch = np.empty(0, dtype=np.int64), -1
    for step in range(first, last):
        epoch, place = divmod(step, per_epoch)
        if epoch != of_epoch:
            order, of_epoch = generator(seed, "shuffle", epoch).permutation(len(split)), epoch
        examples = split.take(order[place * batch_size : (place + 1) * batch_size], list(spec.inputs))
        frames = {n: examples.inputs[n].shape[1] for n, entry in spec.inputs.items() if entry.has_frames}
        masks = {
            path: keep_mask(generator(seed, "dropout", step, path), (batch_size, *shape), rate)
            for path, (shape, rate) in spec.dropout_masks(frames).items()
        }
        yield examples, masks


def new_run(
    config: Config,
    backend: str,
    device: str,
    data: Path,
    folder: Path,
    threads: int = 0,
) -> Run:
    """Prepare a run in an empty folder.

    Raises CheckpointError where the folder holds a run, DataError where the data are not what the model reads.
    """
    if (folder / "run.json").exists():
        raise CheckpointError(f"{folder} holds a run already; add --resume to go on with it, or choose another --out")
    if folder.exists() and any(entry.name != ".lock" for entry in folder.iterdir()):
        raise CheckpointError(f"{folder} holds other files; choose another --out")
    run = _open(config, backend, device, data, folder, threads)
    found = find_backend(backend)
    write_json(
        folder / "run.json",
        {
            "acz": acz.__version__,
            "config": config.to_dict(),
            "name": config.name,
            "spec_hash": config.spec.hash,
            "backend": backend,
            "device": device,
            "data": str(data),
            "versions": {"python": platform.python_version(), "numpy": np.__version__, **found.versions()},
        },
    )
    return run


def resumed_run(folder: Path, backend: str | None, device: str | None, data: Path | None, threads: int = 0) -> Run:
    """Go on with a run, in the same backend or another. Raises CheckpointError where the folder holds none."""
    kept = read_run(folder)
    config = replace(load_config(kept["config"]), name=kept["name"])
    run = _open(
        config,
        backend or kept["backend"],
        device or (kept["device"] if backend in (None, kept["backend"]) else "CPU"),
        data or Path(kept["data"]),
        folder,
        threads,
    )
    for leftover in folder.glob(".*.safetensors.*"):
        leftover.unlink()  # a kill in the middle of a write leaves its temporary file
    return run


def _open(config: Config, backend: str, device: str, data: Path, folder: Path, threads: int) -> Run:
    train, test = Split(data, "train"), Split(data, "test")
    train.require(config.spec)
    test.require(config.spec)
    if len(train) == 0 or len(test) == 0:
        raise DataError(f"{data}: a split is empty")
    return Run(config, backend, device, folder, train, test, threads)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and a termination into a flag; a second Ctrl-C acts at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)

    kept = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def train(run: Run) -> dict[str, Any]:
    """Train to the end of the recipe, or from the last checkpoint; gives the best epoch and its figures.

    Raises Interrupted on Ctrl-C, after saving; CheckFailed where the loss is not finite.
    """
    with locked(run.folder), progress() as shown, _interruptible() as asked:
        return _Loop(run, shown, asked).run_all()


class _Loop:
    """One call of `train`."""

    def __init__(self, run: Run, shown: Progress, asked: Callable[[], bool]) -> None:
        self.run, self.shown, self.asked = run, shown, asked
        self.recipe, self.spec = run.config.recipe, run.config.spec
        self.loss = self.recipe.loss or default_loss(self.spec)
        self.last, self.best = run.folder / "last.safetensors", run.folder / "best.safetensors"
        checkpoint: Checkpoint | None = None
        if self.last.is_file():
            checkpoint = load_checkpoint(self.last)
            require_spec(checkpoint, self.spec, self.last)
            run.state = State(**checkpoint.state)
        self.state = run.state
        self.backend = find_backend(run.backend)
        if run.threads:
            self.backend.set_threads(run.threads)
        start = checkpoint.parameters if checkpoint else None
        self.model = build(self.spec, run.backend, start, run.device, seed=self.recipe.seed)
        self.trainer = self.backend.start_training(self.model, self.recipe.optimizer, self.loss)
        if checkpoint:
            self.backend.load_optimizer(self.trainer, checkpoint.optimizer)
        self.log = Log(run.folder / "metrics.jsonl", self.state.step)

    def run_all(self) -> dict[str, Any]:
        try:
            if self.state.step == 0:
                self.shown.line(
                    f"{self.run.config.name}: {self.spec.parameter_count:,} parameters, {len(self.run.train):,} videos, "
                    f"{self.run.steps_per_epoch:,} steps an epoch of {self.run.batch_size}; "
                    f"{self.run.backend} on {self.run.device}"
                )
            else:
                self.shown.line(f"{self.run.folder}: goes on after step {self.state.step:,} of {self.run.steps:,}")
            self._steps()
        finally:
            self.log.close()
        best = {"epoch": self.state.best_epoch, "top1": self.state.best_top1, "steps": self.state.step}
        return {"folder": str(self.run.folder), "best": best, "epochs": self.state.epoch}

    def _steps(self) -> None:
        run, state, recipe = self.run, self.state, self.recipe
        if state.stopped or state.step >= run.steps:
            return
        waiting: list[tuple[Any, Any]] = []
        since, steps_since = time.monotonic(), 0
        rate = 0.0
        source = batches(self.spec, run.train, run.batch_size, recipe.seed, state.step, run.steps)
        for examples, masks in ahead(source, 3):
            factor = recipe.schedule.rate(state.step, run.steps, run.batch_size)
            rate = recipe.optimizer.learning_rate * factor
            waiting.append(self.backend.training_step(self.trainer, examples.inputs, examples.labels, masks, rate))
            state.step += 1
            steps_since += 1
            at_end = state.step % run.steps_per_epoch == 0
            interrupted = self.asked()
            at_log = state.step % LOG_STEPS == 0
            at_checkpoint = state.step % recipe.checkpoint_steps == 0
            if not (at_end or at_log or at_checkpoint or interrupted):
                continue
            self._collect(waiting)
            speed = steps_since * run.batch_size / (time.monotonic() - since)
            line = {
                "kind": "train",
                "step": state.step,
                "loss": state.loss_sum / state.examples,
                "top1": state.hits / state.examples,
                "learning_rate": rate,
                "videos_per_second": round(speed, 1),
            }
            if at_end or at_log:
                self.log.write(line)
            note = f"loss {line['loss']:.4f}  top-1 {line['top1']:.3f}  {speed:,.0f} videos/s"
            here = state.step - state.epoch * run.steps_per_epoch
            self.shown(f"epoch {state.epoch + 1}/{recipe.epochs}", here, run.steps_per_epoch, note)
            if at_end:
                self._end_epoch(line)
            elif at_checkpoint or interrupted:
                self._save(self.last, resumable=True)
            if interrupted:
                self._give_way()
            if state.stopped:
                return
            if at_end:
                since, steps_since = time.monotonic(), 0

    def _collect(self, waiting: list[tuple[Any, Any]]) -> None:
        """Take the losses of the steps since the last call from the device."""
        state = self.state
        for loss, hits in waiting:
            value = float(loss)
            if not math.isfinite(value):
                raise CheckFailed(
                    f"the loss is {value} at or before step {state.step}; lower train.optimizer.learning_rate, or look at the data. "
                    f"The last good state is kept: {self.last if self.last.exists() else 'none yet'}"
                )
            state.loss_sum += value * self.run.batch_size
            state.hits += float(hits)
            state.examples += self.run.batch_size
        waiting.clear()

    def _end_epoch(self, line: dict[str, Any]) -> None:
        run, state = self.run, self.state
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.shown("evaluation", done, len(run.test))

        figures = evaluate(self.backend, self.model, self.spec, run.test, self.loss, progress=advance)
        state.epoch += 1
        state.loss_sum, state.hits, state.examples = 0.0, 0.0, 0
        if figures["top1"] > state.best_top1:
            state.best_top1, state.best_epoch = figures["top1"], state.epoch
            self._save(self.best, resumable=False)
        patience = self.recipe.early_stopping
        state.stopped = patience is not None and state.epoch - state.best_epoch >= patience.patience
        trained = {"train_loss": line["loss"], "train_top1": line["top1"], "learning_rate": line["learning_rate"]}
        speed = {"videos_per_second": line["videos_per_second"], "backend": run.backend}
        self.log.write({"kind": "evaluation", "step": state.step, "epoch": state.epoch, **figures, **trained, **speed})
        self._save(self.last, resumable=True)
        self.shown.line(
            f"epoch {state.epoch:>3}  loss {line['loss']:.4f}  top-1 {figures['top1']:.4f}  top-5 {figures['top5']:.4f}  "
            f"{line['videos_per_second']:,.0f} videos/s{'  (best)' if state.best_epoch == state.epoch else ''}"
            f"{'  stopped early' if state.stopped else ''}"
        )

    def _save(self, path: Path, resumable: bool) -> None:
        optimizer = self.backend.dump_optimizer(self.trainer) if resumable else {}
        state = vars(self.state) if resumable else {"epoch": self.state.epoch, "top1": self.state.best_top1}
        save_checkpoint(path, self.spec, self.backend.dump_parameters(self.model), optimizer, state)

    def _give_way(self) -> None:
        if self.state.stopped or self.state.step >= self.run.steps:
            return
        raise Interrupted(
            f"interrupted after step {self.state.step:,} of {self.run.steps:,}; everything is saved. "
            f"'acz train --resume --out {self.run.folder}' goes on"
        )
