"""Run folders: what a training run leaves, and how the latest one is found.

run.json              resolved configuration, versions, backend, device, seed
metrics.jsonl         a line every few steps (`train`) and after each epoch (`evaluation`)
tensorboard/          the same numbers for TensorBoard
last.safetensors      weights, optimiser and position: training goes on from it
best.safetensors      weights of the best epoch: by top-1, or by GAP where videos have several labels
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from acz.foundation.errors import CheckpointError
from acz.foundation.files.atomic import write_json
from acz.foundation.version import __version__
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.training.run import Run

RUNS = Path("runs")
LATEST = ".latest"


def new_run_folder(name: str) -> Path:
    """`runs/NAME-DATE-TIME`, a name that is not taken."""
    stem = f"{name.rpartition('/')[2].replace(':', '-').removesuffix('.yaml')}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = (RUNS / (stem if n == 1 else f"{stem}-{n}") for n in range(1, 1000))
    return next(path for path in candidates if not path.exists())


def mark_latest(folder: Path) -> None:
    """Note that a run under ./runs was begun, or gone on with."""
    with suppress(OSError):  # the run itself will say what is wrong with the disk
        if folder.resolve().parent == RUNS.resolve():
            (RUNS / LATEST).write_text(folder.name, encoding="utf-8")


def latest_run() -> Path:
    """The run under ./runs that was begun or gone on with last. Raises CheckpointError where there is none.

    It was noted then, because clocks jump; where that is lost, files' times have to tell.
    """
    found = {path.parent.name: path.parent for path in RUNS.glob("*/run.json")}
    with suppress(OSError, ValueError):
        noted = (RUNS / LATEST).read_text(encoding="utf-8")
        if noted in found:
            return found[noted]
    if not found:
        raise CheckpointError("there is no run in ./runs; 'acz train' makes one, or name a run's folder")
    return max(found.values(), key=_written)


def _written(run: Path) -> float:
    """When a file of a run was last written, in seconds since 1970; files may go while this looks."""
    times = [0.0]
    for path in run.iterdir():
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json holds. Raises CheckpointError where it is missing or damaged."""
    path = folder / "run.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} is no run folder (it has no run.json)")
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("config", "name", "backend", "device", "data", "threads") if key not in run]
        if missing or not isinstance(run["config"], dict):
            raise CheckpointError(f"{path}: damaged: {', '.join(missing) or 'config'} is missing")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from None
    return run


def open_checkpoint(path: Path | None) -> tuple[Checkpoint, Path, dict[str, Any] | None]:
    """A checkpoint from its file, or a run's best (its last, before the first epoch's end); and the run's run.json, if there is.

    None means the latest run. Raises CheckpointError.
    """
    path = latest_run() if path is None else path
    if path.is_dir():
        best, last = path / "best.safetensors", path / "last.safetensors"
        run = read_run(path)
        if not best.is_file() and not last.is_file():
            raise CheckpointError(f"{path} has no checkpoint yet; 'acz train --resume --out {path}' goes on with it")
        path = best if best.is_file() else last
        return load_checkpoint(path), path, run
    checkpoint = load_checkpoint(path)
    beside = path.parent / "run.json"
    return checkpoint, path, read_run(path.parent) if beside.is_file() else None


def check_new_folder(folder: Path) -> None:
    """Raise CheckpointError where a folder holds a run, or other files."""
    if (folder / "run.json").exists():
        raise CheckpointError(f"{folder} holds a run already; add --resume to resume it, or choose another --out")
    if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise CheckpointError(f"{folder} holds other files; choose another --out")


def write_run(run: Run) -> None:
    """Write run.json: the run's settings, and the versions that it was begun with."""
    check_new_folder(run.folder)
    write_json(
        run.folder / "run.json",
        {
            "acz": __version__,
            "name": run.config.name,
            "config": run.config.to_dict(),
            "spec_hash": run.config.spec.hash,
            "backend": run.backend.NAME,
            "device": run.device,
            "threads": run.threads,
            "data": str(run.data.resolve()),
            "data_manifest": run.fingerprint,
            "versions": dict(run.versions),
        },
    )
