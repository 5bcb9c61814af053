"""Make Flash-MNIST: train its frame extractor, draw its videos, store their features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from acz.api.results import reports_progress, require_counts
from acz.api.runs import new_run, resumed_run
from acz.backend.build import build_model
from acz.backend.devices import check_device
from acz.backend.protocol import Backend
from acz.backend.registry import default_backend, find_backend
from acz.data.absent import BUILDING
from acz.data.batching import padded
from acz.data.flash_mnist.build import Settings, build_features, build_noisy
from acz.data.flash_mnist.digits import load_digits, load_mnist
from acz.data.folder import Split
from acz.evaluation.scoring import evaluate
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckpointError, SpecError
from acz.foundation.files.atomic import remove_leftovers
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.hashing import contents_hash
from acz.foundation.files.locks import locked
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.training.loop import train
from acz.zoo.config import load_config

FRAMES_AT_ONCE = 1600
FEATURES = "frame.features"
"""The layer of the extractor whose output is a frame's features."""


@reports_progress
def make_flash_mnist(
    folder: str | Path | None = None,
    mnist: str | Path | None = None,
    backend: str | None = None,
    *,
    device: str = "CPU",
    videos_per_label: int | None = None,
    test_videos_per_label: int | None = None,
    epochs: int | None = None,
    extractor: str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make Flash-MNIST: train the frame extractor, build the videos, store their features. An interrupted call is resumed by the same call.

    Args:
        folder: the folder to write; by default data/flash-mnist, or data/flash-digits.
        mnist: the folder of MNIST's four IDX files, gzipped or not; by default scikit-learn's 1,797 digits are used.
        backend: what trains the extractor; by default the first installed.
        videos_per_label: training videos of each of the 1,024 labels; by default 100, of digits 20.
        test_videos_per_label: by default 10, of digits 2.
        epochs: of the extractor; by default 3, of digits 10.
        extractor: a checkpoint to use instead of training one.
        seed: everything random follows from it.

    Returns:
        The folder; `describe_data` says how it was made.

    Raises:
        SpecError: both `epochs` and `extractor` are given.
        DataError: the folder holds other files, or a data set with other settings.
        MissingError: the backend or the device is not here.
        CheckpointError: the extractor is no frame extractor.
    """
    require_counts(
        videos_per_label=videos_per_label,
        test_videos_per_label=test_videos_per_label,
        epochs=epochs,
        threads=threads,
    )
    if extractor is not None and epochs is not None:
        raise SpecError("--epochs trains an extractor and --extractor brings one; give one of them")
    images = load_digits() if mnist is None else load_mnist(Path(mnist))
    small = mnist is None
    name, threads = default_backend(backend), threads or cores()
    given = None if extractor is None else Path(extractor)
    settings = Settings(
        images.name,
        seed,
        repeats=20 if small else 5,
        train_videos_per_label=videos_per_label or (20 if small else 100),
        test_videos_per_label=test_videos_per_label or (2 if small else 10),
        extractor_epochs=0 if given else epochs or (10 if small else 3),
        extractor=_sha256(given) if given else "",
        backend=name,
        images=images.hash,
    )
    out = Path(folder) if folder else Path("data") / ("flash-digits" if small else "flash-mnist")
    with show_progress(progress) as shown:
        shown.line(f"making {out} from {images.name}: {settings.train_videos_per_label * 1024:,} training videos")
        with locked(out):
            claim_folder(out, BUILDING, asdict(settings))
            if not (out / "manifest.json").is_file():
                remove_leftovers(out)
                opened = find_backend(name)
                check_device(opened, device)
                opened.set_threads(threads)
                noisy = build_noisy(out, images, settings, shown)
                path = given or _train_extractor(out, noisy, settings, name, device, threads, shown)
                extract, made = _open_extractor(path, opened, device, noisy, shown)
                build_features(out, images, settings, extract, made, shown)
        shown.line(f"{out} is ready")
    return out


def _open_extractor(
    path: Path, backend: Backend, device: str, noisy: Path, shown: Progress
) -> tuple[Callable[[Array], Array], dict[str, Any]]:
    """The function from frames (count, 1, 28, 28) to features (count, features), and what the manifest says of it."""
    checkpoint: Checkpoint = load_checkpoint(path)
    if FEATURES not in checkpoint.spec.recordable:
        raise CheckpointError(f"{path} is not a frame extractor: it has no layer '{FEATURES}'")
    model = build_model(backend, checkpoint.spec, checkpoint.parameters, device)
    test = Split(noisy, "test")
    test.require(checkpoint.spec)
    figures = evaluate(backend, model, checkpoint.spec, test, None)
    shown.line(f"extractor reads {figures['top1']:.2%} of {figures['examples']:,.0f} noisy test frames")

    def extract(frames: Array) -> Array:
        parts = []
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            part = frames[start : start + FRAMES_AT_ONCE]
            filled = padded({"frame": part}, FRAMES_AT_ONCE)
            parts.append(backend.forward(model, filled, record=[FEATURES])[FEATURES][: len(part)])
        return np.concatenate(parts)

    return extract, {
        "extractor_spec": checkpoint.spec.hash,
        "extractor_sha256": _sha256(path),
        "extractor_top1": figures["top1"],
        "backend": backend.NAME,
        "versions": backend.versions(),
    }


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    return contents_hash([path])


def _train_extractor(
    folder: Path, noisy: Path, settings: Settings, backend: str, device: str, threads: int, shown: Progress
) -> Path:
    """Train the zoo's extractor as a run under `folder`/extractor, or resume it."""
    out = folder / "extractor"
    if (out / "run.json").is_file():
        run = resumed_run(out, backend, device, noisy, threads)
    else:
        overrides = {"train.epochs": settings.extractor_epochs, "train.seed": settings.seed}
        config = load_config("flash_mnist/extractor", overrides)
        run = new_run(config, backend, device, noisy, out, threads)
    run.resume_command = "the same command"
    train(run, shown)
    return out / "best.safetensors"
