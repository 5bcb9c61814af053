"""Train and resume: the whole call from a name to a trained model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.data.flash_mnist import make_flash_mnist
from acz.api.reading import require_settings
from acz.api.results import Result, over_processes, reports_progress, require_counts
from acz.api.runs import Origin, is_made_here, new_run, open_origin, require_made, resumed_run
from acz.backend.devices import advise_on_device
from acz.backend.processes import Cluster
from acz.backend.ranks import find_place, join_ranks
from acz.backend.registry import default_backend, find_backend, find_info
from acz.evaluation.metrics.figures import deciding
from acz.foundation.errors import DataError, MissingError, SpecError
from acz.foundation.files.locks import wait_for_folder
from acz.foundation.processes.environment import cores
from acz.foundation.processes.ports import LOOPBACK
from acz.foundation.progress import Progress, show_progress
from acz.training.advice import advise_on_bias
from acz.training.latest import latest_run, new_run_folder
from acz.training.loop import train as run_training
from acz.training.run import Run
from acz.training.run_folder import read_run
from acz.zoo.config import Config, load_config

DEFAULT = "flash_mnist/attention_cluster_sets"
GRACE = 60.0
"""Seconds in which processes that were lost must have left the folder of a run."""
HERE = (LOOPBACK,)
PORT = 29500
"""The port of the first host where none is named: that of torchrun."""


@dataclass(frozen=True, repr=False)
class Trained(Result):
    """A run that came to its end."""

    folder: Path
    epochs: int
    """Epochs that are complete."""
    steps: int
    best_epoch: int
    best: Mapping[str, float]
    """Figures of the best epoch by name: `top1` and, where videos have several labels, `gap`."""

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / "best.safetensors"

    def to_json(self) -> dict[str, Any]:
        best = {"epoch": self.best_epoch, **self.best, "steps": self.steps}
        return {"folder": str(self.folder), "best": best, "epochs": self.epochs}

    def __str__(self) -> str:
        figure = deciding(self.best)
        return f"best {figure.label} {self.best[figure.name]:.4f} at epoch {self.best_epoch}; {self.checkpoint}"


@dataclass(frozen=True, repr=False)
class LaunchPlan(Result):
    """The commands that start one training on several hosts."""

    launcher: str
    """The launcher of the backend's framework."""
    processes: int
    """The number of processes on all hosts together."""
    lines: Mapping[str, tuple[str, ...]]
    """The lines to type, by host."""

    def to_json(self) -> dict[str, Any]:
        return {
            "launcher": self.launcher,
            "processes": self.processes,
            "lines": {host: list(lines) for host, lines in self.lines.items()},
        }

    def __str__(self) -> str:
        texts = [f"{self.processes} processes on {len(self.lines)} hosts, by {self.launcher}. Type"]
        for host, lines in self.lines.items():
            texts += ["", f"on {host}:", *(f"  {line}" for line in lines)]
        return "\n".join(texts)


def plan_launch(
    words: Sequence[str],
    *,
    hosts: Sequence[str] = HERE,
    processes: int = 1,
    backend: str | None = None,
    device: str = "CPU",
    port: int = PORT,
) -> LaunchPlan:
    """The commands with which a framework's own launcher starts a training on several hosts; nothing is started.

    Every host needs acz, the data set, and the same folders as the first, whose process of rank 0 writes the run.

    Args:
        words: the words after `acz`: `["train", "flash_mnist/attention_cluster", "--data", "data", "--out", "runs/a"]`.
        hosts: names or addresses by which the hosts reach each other; the first has rank 0.
        processes: processes on each host, one for each of its devices.
        backend: the backend; by default the first installed. It need not be installed here.
        device: the kind of the devices: `CPU`, `GPU`, `Ascend`.
        port: a free port of the first host.

    Raises:
        SpecError: a name is unknown, or a host stands twice.
        MissingError: the backend works in one process.

    Example:
        >>> print(acz.plan_launch(["train"], hosts=["a", "b"], processes=8, backend="torch", device="GPU"))
    """
    require_counts(processes=processes, port=port)
    if not hosts or len(set(hosts)) < len(hosts) or not all(hosts):
        raise SpecError(f"hosts (--hosts) must be different names, with commas between them, not {', '.join(hosts)!r}")
    name = backend or default_backend()
    launcher = find_info(name).launcher
    if launcher is None:
        raise MissingError(f"backend '{name}' works in one process")
    cluster = Cluster(tuple(hosts), processes, port)
    kind = device.partition(":")[0]
    lines = {
        host: tuple(str(command) for command in launcher.commands(cluster, number, kind, list(words)))
        for number, host in enumerate(hosts)
    }
    return LaunchPlan(launcher.name, cluster.world, lines)


def _needs_of_new(given: Mapping[str, Any]) -> tuple[str, str]:
    return default_backend(given.get("backend")), given.get("device") or "CPU"


def _needs_of_resumed(given: Mapping[str, Any]) -> tuple[str, str]:
    run = given.get("run")
    kept = read_run(latest_run() if run is None else Path(run))
    return given.get("backend") or str(kept["backend"]), given.get("device") or str(kept["device"])


def _with_folder(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a training with a folder for the run, in which it can be continued."""
    if given.get("out") is not None:
        return given
    names = ("config", "start_from", "data", "overrides", "reading")
    chosen = _choose(*(given.get(name) for name in names))[0]
    return {**given, "out": new_run_folder(chosen.name)}


def _continue(given: Mapping[str, Any]) -> tuple[Callable[..., Trained], Mapping[str, Any]]:
    """The call that continues a training whose processes were lost."""
    folder = Path(given["out"])
    wait_for_folder(folder, GRACE)
    if not (folder / "run.json").is_file():
        return train, given
    return resume, {"run": folder, **{name: given[name] for name in ("device", "threads") if name in given}}


def _with_run(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of `resume` with the run's folder and threads."""
    folder = latest_run() if given.get("run") is None else Path(given["run"])
    return {**given, "run": folder, "threads": given.get("threads") or int(read_run(folder)["threads"])}


def _continue_resumed(given: Mapping[str, Any]) -> tuple[Callable[..., Trained], Mapping[str, Any]]:
    wait_for_folder(given["run"], GRACE)
    return resume, given


def _choose(
    config: str | Path | Mapping[str, Any] | Config | None,
    start_from: str | Path | None,
    data: str | Path | None,
    overrides: Mapping[str, Any] | None,
    reading: Mapping[str, Any] | None,
) -> tuple[Config, Origin | None, Path | None]:
    """The configuration of a training, the checkpoint that it starts from, and the data set where one is named beside it."""
    origin = None if start_from is None else open_origin(Path(start_from))
    data = None if data is None else Path(data)
    changes = {**(overrides or {}), **{f"data.reading.{key}": value for key, value in (reading or {}).items()}}
    if data is not None and any(key.startswith("data.reading") for key in changes):
        changes = {"data.folder": str(data), **changes}  # a configuration may name no data to say it of
    if config is None and origin is not None:
        return origin.configuration(changes), origin, data or (None if "data.folder" in changes else origin.data)
    return load_config(DEFAULT if config is None else config, changes), origin, data


@over_processes(_needs_of_new, _with_folder, _continue)
@reports_progress
def train(
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    start_from: str | Path | None = None,
    allow: Sequence[str] = (),
    backend: str | None = None,
    device: str | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    reading: Mapping[str, Any] | None = None,
    threads: int | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
    resume_if_begun: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train a model; evaluate it after each epoch, and keep the best checkpoint, by GAP or else by top-1.

    Args:
        config: a name in the zoo, a YAML file, a plain tree, or a configuration; by default the model, recipe and data
            of `start_from`, or else `flash_mnist/attention_cluster_sets`.
        start_from: the folder of a run, a checkpoint, or a file that `convert` wrote: training starts from its weights.
            A parameter that is not there, or has another shape, keeps its starting value if `allow` names it.
        allow: paths that may be missing in `start_from`, left over, or of another shape; wildcards work.
        backend: `torch`, `tensorflow`, `paddle`, `mindspore`, or another that is registered; by default the first installed.
        device: `CPU`, `GPU:1`, `Ascend:3`, ...; it is never replaced in silence. By default the CPU, and a line says so
            where another device is here. With several processes `GPU` stands for the first devices, and `GPU:2,3,5` for these.
        data: the data set; by default the configuration's. The small one of scikit-learn's digits is made where it is missing.
        out: the run's folder; by default a new one under `runs/`.
        overrides: values by dotted path: `{"train.epochs": 3}`.
        reading: how the data set is read: `{"sampling": {"type": "strata", "frames": 100}}`.
        threads: threads on the CPU, which processes of one host share; by default all cores.
        processes: processes of this host that train together, by default one; a launcher may have started them too.
        engine: `local`, or `ray`: a Ray cluster places the processes, and all its nodes see the same folders. There `threads`
            are those of each process, by default one.
        address, resources, retries: of Ray, as in `sweep`; a process takes its threads and its device of a node, and where one
            is lost all start again from the last checkpoint.
        resume_if_begun: resume the run in `out` if it is there and has the same settings; for launchers that start a script
            again.
        progress: told of the progress; by default it is shown on standard error.

    Raises:
        SpecError, DataError: the configuration or the data are not valid.
        CheckpointError: `out` holds a run, or other files; or `start_from` does not fit the model, and everything that
            does not fit is listed.
        MissingError: the backend or the device is not here.
        RankFailed: one of several processes ended; the message names it.
        Interrupted: Ctrl-C was pressed; the run is saved, and `resume` continues it.

    Example:
        >>> trained = acz.train("flash_mnist/attention_cluster", backend="torch", overrides={"train.epochs": 2})
        >>> trained.best["top1"]
        >>> acz.train(start_from=trained.folder, overrides={"train.freeze": ["features.*"]})
    """
    require_counts(threads=threads)
    if allow and start_from is None:
        raise SpecError("allow (--allow) is for weights to start from; give start_from (--from) too")
    chosen, origin, data = _choose(config, start_from, data, overrides, reading)
    name = default_backend(backend)
    if resume_if_begun and _has_begun(out, chosen):
        return resume(out, backend=name, device=device, data=data, threads=threads, progress=progress)
    opened, devices = find_backend(name), device or "CPU"
    location = data or (Path(chosen.data.folder) if chosen.data else None)
    if location is None:
        raise DataError(f"{chosen.name} names no data; give a folder with --data")
    require_settings(dict(reading or {}), location)
    threads = threads or cores()
    if data is None and is_made_here(chosen, location):
        if find_place(name):
            raise DataError(
                f"{location} is not there; 'acz data flash-mnist --out {location}' makes it, before several processes read it"
            )
        make_flash_mnist(location, backend=name, device=devices, threads=threads, progress=progress)
    elif data is None:
        require_made(chosen, location)
    with join_ranks(name, devices, threads) as rank:
        folder = Path(os.fsdecode(rank.group.broadcast(os.fsencode(out or new_run_folder(chosen.name)))))
        run = new_run(chosen, name, devices, location, folder, threads, origin, allow, rank)
        with show_progress(progress) as shown:
            for advice in (advise_on_bias(run), "" if device else advise_on_device(opened.devices())):
                if advice:
                    shown.line(advice)
        return _trained(run, progress)


@over_processes(_needs_of_resumed, _with_run, _continue_resumed)
@reports_progress
def resume(
    run: str | Path | None = None,
    *,
    backend: str | None = None,
    device: str | None = None,
    data: str | Path | None = None,
    threads: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Resume a run from its last checkpoint, in any backend; it ends with the numbers of a run that was never stopped.

    A run whose epochs are complete takes more with `overrides={"train.epochs": 20}`: from its last step on, the
    schedule gives the rates of a run of 20 epochs. With another data set the best epoch is chosen among those on it.

    Args:
        run: the run's folder; by default the latest under `runs/`.
        backend, device, data, threads: by default as the run was begun.
        overrides: values by dotted path, of `train.epochs`, `train.early_stopping`, `train.checkpoint_steps`,
            `data.reading.workers` and `data.reading.verify`. Nothing else can change. run.json keeps them.
        processes: as in `train`. The number may be another one than before.
        engine, address, resources, retries: as in `train`.
        progress: told of the progress; by default it is shown on standard error.

    Raises:
        CheckpointError: there is no run, or its checkpoint is damaged.
        SpecError: `overrides` changes another setting, or asks for fewer epochs than the run has.
        DataError: the data set is gone, or is another one than the run was begun with.
        MissingError: the backend or the device is not here.
        Interrupted: Ctrl-C was pressed; the run is saved.
    """
    require_counts(threads=threads)
    folder = latest_run() if run is None else Path(run)
    kept = read_run(folder)
    name, devices = backend or kept["backend"], device or kept["device"]
    threads, location = threads or int(kept["threads"]), None if data is None else Path(data)
    with join_ranks(name, devices, threads) as rank:
        return _trained(resumed_run(folder, name, devices, location, threads, overrides, rank), progress)


def _has_begun(out: str | Path | None, config: Config) -> bool:
    """Tell whether a folder has a run of this configuration. Raises SpecError where its run has other settings."""
    if out is None:
        raise SpecError("resume_if_begun (--resume-if-begun) needs the folder of the run; give out (--out) too")
    if not (Path(out) / "run.json").is_file():
        return False
    kept, asked = read_run(Path(out))["config"], json.loads(json.dumps(config.to_dict()))
    if kept != asked:
        changed = [name for name in {**kept, **asked} if kept.get(name) != asked.get(name)]
        raise SpecError(f"{out} has a run with other settings ({', '.join(changed)}); choose another --out")
    return True


def threads_of(run: str | Path | None = None) -> int:
    """Threads that a run was begun with, by default the latest. Raises CheckpointError where there is no run."""
    return int(read_run(latest_run() if run is None else Path(run))["threads"])


def _trained(run: Run, given: Progress | None) -> Trained:
    with show_progress(given) as shown:
        state = run_training(run, shown)
    return Trained(run.folder, state.epoch, state.step, state.best_epoch, dict(state.best))
