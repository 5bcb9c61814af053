"""The training loop: batches, masks, schedule, checkpoints and evaluation. The backend computes the steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.build import build_model
from acz.backend.ranks import redirect_output
from acz.data.base import Examples
from acz.evaluation.metrics.figures import FIGURES, deciding, in_words
from acz.evaluation.scoring import evaluate
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, CheckpointError, Interrupted
from acz.foundation.files.atomic import remove_leftovers
from acz.foundation.files.locks import locked
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.processes.prefetch import TimedItems, prefetch
from acz.foundation.progress import Counter, Progress, TerminalProgress
from acz.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from acz.model.precision import Precision
from acz.training.averages import evaluated_weights
from acz.training.batches import batches
from acz.training.byte_inputs import warn_of_bytes
from acz.training.latest import mark_latest
from acz.training.log import Log, NoLog
from acz.training.remarks import remark
from acz.training.resuming import adapt_state, changes_in_words, is_done, nothing_left, stops
from acz.training.run import Run, State, load_resumable
from acz.training.run_folder import read_run, record_changes, write_run

LOG_STEPS = 50
"""The number of steps between two `train` lines of the metrics."""
SPEEDS = ("videos_per_second", "data_wait")
"""Figures of time: the rate since the epoch began, and the share of that time in which the loop waited for a batch.

They differ from run to run.
"""
MOST_WAIT = 0.05
"""A larger share of waiting for data is reported."""
SILENT = Progress()


def train(run: Run, progress: Progress = SILENT) -> State:
    """Train to the end of the recipe, from the start or from the last checkpoint.

    Args:
        run: the run. Its state changes.
        progress: where to report

    Returns:
        The state at the end. It names the best epoch.

    Raises:
        Interrupted: the user pressed Ctrl-C. Everything is saved before.
        CheckFailed: the loss or a parameter is not finite.
        CheckpointError: the run's checkpoint is missing or damaged, or the folder has other files.
    """
    if not run.writes:
        run.rank.group.wait()  # rank 0 has put the folder in order
        redirect_output(run.folder / f"rank_{run.rank.group.rank}.log")
        with interruptible() as is_interrupted:
            _Loop(run, TerminalProgress(), is_interrupted).run_all()
        return run.state
    with locked(run.folder), interruptible() as is_interrupted:
        remove_leftovers(run.folder)
        if not run.resumed:
            write_run(run)
        mark_latest(run.folder)
        run.rank.group.wait()
        _Loop(run, progress, is_interrupted).run_all()
    return run.state


class _Loop:
    """One call of `train`."""

    def __init__(self, run: Run, progress: Progress, is_interrupted: Callable[[], bool]) -> None:
        self.run, self.progress, self.is_interrupted = run, progress, is_interrupted
        self.recipe, self.spec, self.backend = run.config.recipe, run.config.spec, run.backend
        self.last, self.best = run.folder / "last.safetensors", run.folder / "best.safetensors"
        metrics = run.folder / "metrics.jsonl"
        frozen = self.recipe.frozen(self.spec)
        checkpoint: Checkpoint | None = None
        if self.last.is_file():
            checkpoint, run.state = load_resumable(self.last, self.spec, frozen, self.recipe.average is not None)
        elif metrics.exists():
            raise CheckpointError(f"{self.last} is missing, so the run can't be resumed; start a new run")
        elif run.resumed and "start" in read_run(run.folder):
            raise CheckpointError(f"{run.folder} ended before its starting weights were saved; start a new run")
        self.state = run.state
        run.rank.group.agree({"step to begin at": str(self.state.step)})
        self.backend.set_threads(run.rank.threads)
        start = checkpoint or run.start
        parameters = start.parameters if start else None
        precision = Precision(self.recipe.precision)
        self.model = build_model(self.backend, self.spec, parameters, run.rank.device, precision, self.recipe.seed)
        self.trainer = self.backend.start_training(self.model, self.recipe.averaging_optimizer, run.loss.name, frozen)
        if checkpoint:
            self.backend.load_optimizer(self.trainer, checkpoint.optimizer)
            self._adopt_best()
            adapt_state(run)
            if run.writes and not is_done(run) and (run.changes or run.has_other_data):
                record_changes(run)
        else:
            self._save(self.last, resumable=True)
        self.log = Log(metrics, self.state.step) if run.writes else NoLog()

    def _adopt_best(self) -> None:
        """Read the best epoch from `best`, because a kill between `best` and `last` leaves it out of the state."""
        if self.best.is_file():
            best = load_checkpoint(self.best).state
            if best.get("epoch", 0) > self.state.best_epoch:
                self.state.best_epoch = best["epoch"]
                self.state.best = {name: value for name, value in best.items() if name in FIGURES}

    def run_all(self) -> None:
        """Take all steps that are left, and close the log."""
        run, state = self.run, self.state
        place = f"{run.backend.NAME} on {run.device}"
        try:
            if state.step == 0:
                self.progress.line(
                    f"{run.config.name}: {self.spec.parameter_count:,} parameters, {len(run.train):,} videos, "
                    f"{run.steps_per_epoch:,} steps an epoch of {run.batch_size}; {place}"
                )
                if run.start:
                    self.progress.line(str(run.start))
                if run.teacher:
                    self.progress.line(str(run.teacher))
                self._remark()
                if warning := warn_of_bytes(self.spec):
                    self.progress.line(warning)
            elif is_done(run):
                self.progress.line(nothing_left(run))
            else:
                self.progress.line(f"{run.folder}: resumes after step {state.step:,} of {run.steps:,}; {place}")
                for line in changes_in_words(run):
                    self.progress.line(line)
                if run.has_other_data:
                    self._remark()
            self._steps()
        finally:
            self.log.close()

    def _remark(self) -> None:
        if text := remark(self.run):
            self.progress.line(text)

    def _steps(self) -> None:
        run, state, recipe = self.run, self.state, self.recipe
        if is_done(run):
            return
        made = batches(
            self.spec, run.train, run.batch_size, recipe.seed, state.step, run.steps, run.since, run.own_rows
        )
        made = run.teacher.mix_all(made) if run.teacher else made
        # closed: otherwise the traceback of an error would keep its thread alive
        with closing(prefetch(made, 3)) as source:
            self._take_steps(TimedItems(source))

    def _take_steps(self, source: TimedItems[tuple[Examples, dict[str, Array]]]) -> None:
        run, state, recipe = self.run, self.state, self.recipe
        losses: list[tuple[Any, Any]] = []
        since, steps_since = time.monotonic(), 0
        rate = 0.0
        whole = (run.batch_size,) if run.rank.group.world > 1 else ()
        for examples, masks in source:
            run.rank.group.begin_step(state.step)
            factor = recipe.schedule.rate(state.step, run.steps, run.batch_size)
            rate = recipe.optimizer.learning_rate * factor
            losses.append(
                self.backend.training_step(self.trainer, examples.inputs, examples.labels, masks, rate, *whole)
            )
            state.step += 1
            steps_since += 1
            at_end = (state.step - run.since.step) % run.steps_per_epoch == 0
            if self.is_interrupted():
                run.rank.group.ask_to_stop()
            interrupted = run.rank.group.stops_after(state.step)
            at_log = state.step % LOG_STEPS == 0
            at_checkpoint = state.step % recipe.checkpoint_steps == 0
            if not (at_end or at_log or at_checkpoint or interrupted):
                continue
            self._collect(losses)
            elapsed = max(time.monotonic() - since, 1e-9)  # a coarse clock may not move
            speed, wait = steps_since * run.batch_size / elapsed, source.seconds / elapsed
            line = {
                "kind": "train",
                "step": state.step,
                "loss": state.loss_sum / state.examples,
                "top1": state.hits / state.examples,
                "learning_rate": rate,
                "videos_per_second": round(speed, 1),
                "data_wait": round(wait, 4),
            }
            if at_end or at_log:
                self.log.write(line)
            note = f"loss {line['loss']:.4f}  top-1 {line['top1']:.3f}  {speed:,.0f} videos/s"
            note += f"  waits {wait:.0%} on data" if wait > MOST_WAIT else ""
            step_of_epoch = state.step - run.since.step - (state.epoch - run.since.epoch) * run.steps_per_epoch
            self.progress(f"epoch {state.epoch + 1}/{recipe.epochs}", step_of_epoch, run.steps_per_epoch, note)
            if at_end:
                self._end_epoch(line)
            elif at_checkpoint or interrupted:
                self.log.sync()
                self._save(self.last, resumable=True)
            if interrupted:
                self._raise_interrupted()
            if state.stopped:
                return
            if at_end:
                since, steps_since, source.seconds = time.monotonic(), 0, 0.0

    def _collect(self, losses: list[tuple[Any, Any]]) -> None:
        """Add losses and hits of the last steps. This waits for the device."""
        state = self.state
        for loss, hits in losses:
            value = float(loss)
            if not math.isfinite(value):
                raise self._not_finite(f"the loss is {value}")
            state.loss_sum += value * self.run.batch_size
            state.hits += float(hits)
            state.examples += self.run.batch_size
        losses.clear()

    def _not_finite(self, problem: str) -> CheckFailed:
        return CheckFailed(
            f"{problem} at or before step {self.state.step}; lower train.optimizer.learning_rate, or check the data. "
            f"The last good state is in {self.last}"
        )

    def _end_epoch(self, line: dict[str, Any]) -> None:
        run, state = self.run, self.state
        advance = Counter(self.progress, "evaluation", len(run.test))
        with evaluated_weights(self.backend, self.model, self.trainer, self.recipe.average):
            figures = evaluate(
                self.backend, self.model, self.spec, run.test, run.loss, progress=advance, group=run.rank.group
            )
            state.epoch += 1
            state.loss_sum, state.hits, state.examples = 0.0, 0.0, 0
            decides = deciding(figures)
            if decides.is_better(figures[decides.name], state.best.get(decides.name)):
                state.best_epoch = state.epoch
                state.best = {name: value for name, value in figures.items() if name in FIGURES and FIGURES[name].kept}
                self._save(self.best, resumable=False)
        state.stopped = stops(run, state)
        trained = {"train_loss": line["loss"], "train_top1": line["top1"], "learning_rate": line["learning_rate"]}
        speed = {name: line[name] for name in SPEEDS} | {"backend": run.backend.NAME}
        self.log.write({"kind": "evaluation", "step": state.step, "epoch": state.epoch, **figures, **trained, **speed})
        self.log.sync()
        self._save(self.last, resumable=True)
        main: dict[str, float] = {
            name: figures[name] for name in ("top1", "top5", "gap", "map_at_k") if name in figures
        }
        self.progress.line(
            f"epoch {state.epoch:>3}  loss {line['loss']:.4f}  {in_words(main)}  "
            f"{line['videos_per_second']:,.0f} videos/s{'  (best)' if state.best_epoch == state.epoch else ''}"
            f"{'  stopped early' if state.stopped else ''}"
        )

    def _save(self, path: Path, resumable: bool) -> None:
        if self.run.writes:
            self._write(path, resumable)
        self.run.rank.group.wait()  # and not in the next step's collectives, which end after a time

    def _write(self, path: Path, resumable: bool) -> None:
        parameters = self.backend.dump_parameters(self.model)
        bad = [name for name, value in parameters.items() if not np.isfinite(value).all()]
        if bad:
            raise self._not_finite(f"parameter {bad[0]} is not finite")
        optimizer = self.backend.dump_optimizer(self.trainer) if resumable else {}
        state = self.state.to_json() if resumable else {"epoch": self.state.epoch, **self.state.best}
        save_checkpoint(path, self.spec, parameters, optimizer, state)

    def _raise_interrupted(self) -> None:
        """Raise Interrupted, unless the run is at its end."""
        if is_done(self.run):
            return
        raise Interrupted(
            f"interrupted after step {self.state.step:,} of {self.run.steps:,}. Everything is saved; "
            f"'{self.run.resume_command}' resumes the run"
        )
