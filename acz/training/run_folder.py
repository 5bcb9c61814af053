"""Run folders: the files of a training run.

run.json              resolved configuration, versions, backend, device, seed, the checkpoint that it starts from
metrics.jsonl         lines of figures: every few steps (`train`) and after each epoch (`evaluation`)
tensorboard/          the same numbers for TensorBoard
last.safetensors      weights, optimiser and state: training resumes from it
best.safetensors      weights of the best epoch: by GAP where videos have several labels, else by top-1
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acz.data.folder import read_origin
from acz.data.videos.making import CLASS_NAMES, FEATURES
from acz.foundation.errors import CheckpointError
from acz.foundation.files.atomic import write_json
from acz.foundation.files.local import require_local
from acz.foundation.version import __version__
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.training.run import Run

VIDEOS = "videos"
"""The key of the extractor of features in run.json."""

BEST = "best.safetensors"


def read_run(folder: Path) -> dict[str, Any]:
    """Read run.json of a run. Raises CheckpointError where it is missing or damaged."""
    path = folder / "run.json"
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a run folder: it has no run.json")
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("config", "name", "backend", "device", "data", "threads") if key not in run]
        if missing or not isinstance(run["config"], dict):
            raise CheckpointError(f"{path}: damaged: {', '.join(missing) or 'config'} is missing")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from None
    return run


def open_checkpoint(path: Path) -> tuple[Checkpoint, Path, dict[str, Any] | None]:
    """Load a checkpoint from its file, or the best one of a run.

    Args:
        path: a checkpoint, or the folder of a run.

    Returns:
        The checkpoint, its path, and the run's run.json where there is one. Before a run's first epoch ends, its
        checkpoint is the last one.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
    """
    if path.is_dir():
        best, last = path / BEST, path / "last.safetensors"
        run = read_run(path)
        if not best.is_file() and not last.is_file():
            raise CheckpointError(f"{path} has no checkpoint yet; 'acz train --resume --out {path}' resumes it")
        path = best if best.is_file() else last
        return load_checkpoint(path), path, run
    checkpoint = load_checkpoint(path)
    in_run = (path.parent / "run.json").is_file()
    return checkpoint, path, read_run(path.parent) if in_run else None


def check_new_folder(folder: Path) -> None:
    """Check that a folder is free for a new run. Raises CheckpointError where it has a run or other files."""
    require_local(folder)
    if (folder / "run.json").exists():
        raise CheckpointError(f"{folder} already has a run; add --resume to resume it, or choose another --out")
    if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise CheckpointError(f"{folder} has other files; choose another --out")


def record_changes(run: Run) -> None:
    """Write the settings and the data with which a run is resumed into run.json, so that a later resume agrees.

    `resumed` lists each such change with its step, and `data_since` says after which epoch the data are the present ones.
    """
    about = read_run(run.folder)
    changed: dict[str, Any] = {name: list(values) for name, values in run.changes.items()}
    about["config"] = run.config.to_dict()
    if run.has_other_data:
        changed["data"] = [about["data"], str(run.data.resolve())]
        about |= {"data": changed["data"][1], "data_manifest": run.fingerprint, "data_since": asdict(run.since)}
        about = {key: value for key, value in about.items() if key != VIDEOS} | _extraction(run)
    entry = {"step": run.state.step, "epoch": run.state.epoch, "changed": changed}
    write_json(run.folder / "run.json", {**about, "resumed": [*about.get("resumed", []), entry]})


def write_run(run: Run) -> None:
    """Write run.json: the settings of the run, and the versions at its start."""
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
            **({"start": run.start.to_json()} if run.start else {}),
            **_extraction(run),
        },
    )


def _extraction(run: Run) -> dict[str, Any]:
    """The extractor and the names of the classes of data that were made of videos, so that new videos can be tagged."""
    made = read_origin(run.data) if isinstance(run.data, Path) else {}
    return {VIDEOS: {key: made.get(key) for key in (FEATURES, CLASS_NAMES)}} if FEATURES in made else {}
