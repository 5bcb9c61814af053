"""Making a Flash-MNIST data set from end to end: noisy frames, extractor, features."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.build import build
from acz.backend.devices import check_device
from acz.backend.registry import default_backend, find_backend
from acz.data.batching import padded
from acz.data.flash_mnist.build import BUILDING, Settings, build_features, build_noisy
from acz.data.flash_mnist.digits import DigitImages, load_digits, load_mnist
from acz.data.folder import Split, read_manifest
from acz.data.registry import open_split, recognise
from acz.evaluation.scoring import evaluate
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckpointError, DataError
from acz.foundation.files.atomic import remove_leftovers, write_whole
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.hashing import contents_hash
from acz.foundation.files.locks import locked
from acz.foundation.progress import Progress, progress
from acz.model.checkpoint import load_checkpoint
from acz.studies.reports.attention import add_look, look, take_video
from acz.studies.reports.strip import draw_strip
from acz.training.run_folder import open_checkpoint
from acz.zoo.config import load_config

FRAMES_AT_ONCE = 1600
FEATURES = "frame.features"


def make_flash_mnist(
    folder: Path,
    images: DigitImages,
    settings: Settings,
    backend: str,
    device: str,
    threads: int,
    shown: Progress,
    extractor: Path | None = None,
) -> dict[str, Any]:
    """Make a data set, or go on with one that was interrupted; gives its manifest's `made`.

    Raises DataError (the folder), MissingError (backend, device), CheckpointError (an extractor that is none).
    """
    settings = replace(settings, backend=backend, images=images.hash)
    if extractor is not None:
        settings = replace(settings, extractor=_checkpoint_hash(extractor), extractor_epochs=0)
    with locked(folder):
        claim_folder(folder, BUILDING, asdict(settings))
        if (folder / "manifest.json").is_file():
            return read_manifest(folder).made
        remove_leftovers(folder)
        found = find_backend(backend)
        check_device(found, device)
        found.set_threads(threads)
        noisy = build_noisy(folder, images, settings, shown)
        path = extractor or _train_extractor(folder, noisy, settings, backend, device, threads)
        checkpoint = load_checkpoint(path)
        if FEATURES not in checkpoint.spec.recordable:
            raise CheckpointError(f"{path} is no frame extractor: it has no layer '{FEATURES}'")
        model = build(checkpoint.spec, backend, checkpoint.parameters, device)
        test = Split(noisy, "test")
        test.require(checkpoint.spec)
        figures = evaluate(found, model, checkpoint.spec, test, None)
        shown.line(f"extractor reads {figures['top1']:.2%} of {figures['examples']:,.0f} noisy test frames")

        def extract(frames: Array) -> Array:
            parts = []
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                part = frames[start : start + FRAMES_AT_ONCE]
                filled = padded({"frame": part}, FRAMES_AT_ONCE)
                values = found.forward(model, filled, record=[FEATURES])[FEATURES]
                parts.append(values[: len(part)])
            return np.concatenate(parts)

        made = {
            "extractor_spec": checkpoint.spec.hash,
            "extractor_sha256": _checkpoint_hash(path),
            "extractor_top1": figures["top1"],
            "backend": backend,
            "versions": found.versions(),
        }
        build_features(folder, images, settings, extract, made, shown)
        return read_manifest(folder).made


def _checkpoint_hash(path: Path) -> str:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    return contents_hash([path])


def _train_extractor(folder: Path, noisy: Path, settings: Settings, backend: str, device: str, threads: int) -> Path:
    """Train the zoo's extractor as a run under `folder`/extractor, or go on with it."""
    from acz.api.runs import new_run, resumed_run
    from acz.training.loop import train

    out = folder / "extractor"
    if (out / "run.json").is_file():
        run = resumed_run(out, backend, device, noisy, threads)
    else:
        overrides = {"train.epochs": settings.extractor_epochs, "train.seed": settings.seed}
        run = new_run(load_config("flash_mnist/extractor", overrides), backend, device, noisy, out, threads)
    run.again = "the same command"
    train(run)
    return out / "best.safetensors"


def show_video(
    folder: Path,
    split: str,
    number: int,
    out: Path,
    run: Path | None = None,
    mnist: Path | None = None,
    backend: str = "numpy",
    threads: int = 1,
) -> dict[str, str | int]:
    """Write the picture; gives the video's number, label and what the run predicts.

    Raises DataError (the data, images that are needed or other ones), CheckpointError, MissingError (backend, matplotlib).
    """
    if out.suffix != ".png":
        raise DataError(f"a video is drawn as PNG; --out must end in .png, got {out}")
    examples, description = open_split(folder, split), recognise(folder).describe(folder)
    spec = None
    if run is not None:
        checkpoint, _, _ = open_checkpoint(run)
        spec = checkpoint.spec
        examples.require(spec)
    video, label = take_video(examples, number, description, list(spec.inputs) if spec else [])
    with progress() as shown:
        shown.line(f"drawing video {number} of {folder}/{split}")
        if description.open_frames is not None:
            video.pixels = description.open_frames(mnist).make(split, number, int(label))
        if spec is not None:
            found = find_backend(backend)
            found.set_threads(threads)
            model = build(spec, backend, checkpoint.parameters)
            output, weights = look(found, model, spec, examples, [number])
            add_look(video, spec, description, output[0], {path: value[0] for path, value in weights.items()})
        content = draw_strip(video)
        write_whole(out, lambda temporary: temporary.write_bytes(content))
    return {"picture": str(out), "video": number, "label": video.label, "predicted": video.predicted}


def make(
    mnist: Path | None,
    out: Path | None,
    backend: str | None,
    device: str,
    videos_per_label: int | None = None,
    test_videos_per_label: int | None = None,
    epochs: int | None = None,
    extractor: Path | None = None,
    seed: int = 0,
    threads: int = 1,
) -> dict[str, object]:
    """Make a data set with the defaults that belong to its images."""

    images = load_digits() if mnist is None else load_mnist(mnist)
    small = mnist is None
    settings = Settings(
        images.name,
        seed,
        repeats=20 if small else 5,
        train_videos_per_label=videos_per_label or (20 if small else 100),
        test_videos_per_label=test_videos_per_label or (2 if small else 10),
        extractor_epochs=epochs or (10 if small else 3),
    )
    folder = out or Path("data") / ("flash-digits" if small else "flash-mnist")
    with progress() as shown:
        shown.line(f"making {folder} from {images.name}: {settings.train_videos_per_label * 1024:,} training videos")
        made = make_flash_mnist(folder, images, settings, default_backend(backend), device, threads, shown, extractor)
        shown.line(f"{folder} is ready")
    return {"folder": str(folder), **made}
