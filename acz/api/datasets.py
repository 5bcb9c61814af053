"""Data sets: open one, verify it, show a video, make one of arrays, and make Flash-MNIST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from acz.api.reading import choose_reading
from acz.api.results import WrittenData, reports_progress, require_counts
from acz.api.runs import new_run, resumed_run
from acz.backend.build import build_model
from acz.backend.devices import check_device
from acz.backend.protocol import Backend
from acz.backend.registry import default_backend, find_backend
from acz.data.arrays.split import open_split_of_arrays
from acz.data.arrays.writing import choose_classes, model_inputs, require_alike, write_arrays
from acz.data.base import Data
from acz.data.batching import padded
from acz.data.flash_mnist.build import BUILDING, Settings, build_features, build_noisy
from acz.data.flash_mnist.digits import load_digits, load_mnist
from acz.data.folder import Split, read_manifest, read_origin, verify
from acz.data.registry import open_split, recognise
from acz.evaluation.scoring import evaluate
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckpointError, DataError, SpecError
from acz.foundation.files.atomic import remove_leftovers, write_atomically
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.hashing import contents_hash
from acz.foundation.files.locks import locked
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Counter, Progress, show_progress
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.studies.reports.attention import add_attention, compute_attention, take_video
from acz.studies.reports.strip import draw_strip
from acz.training.loop import train
from acz.training.run_folder import open_checkpoint
from acz.zoo.config import load_config

FRAMES_AT_ONCE = 1600
FEATURES = "frame.features"
"""The layer of the extractor whose output is a frame's features."""


def open_data(location: str | Path, split: str = "test", reading: Mapping[str, Any] | None = None) -> Data:
    """A split of a data set, whatever kind lies there: batches of it, examples by number, ids.

    Args:
        location: a folder, a file or a glob.
        reading: how it is read: `{"sampling": {"type": "strata", "frames": 100}}`.

    Raises:
        DataError: the data set is missing or damaged, or has no such split.
        SpecError: a setting of `reading` is unknown, or is for another kind of data set.

    Example:
        >>> split = acz.open_data("data/flash-digits", "train")
        >>> examples = split.take(np.arange(8), ["features"])
    """
    return open_split(Path(location), split, choose_reading(None, reading or {}, Path(location)))


def describe_data(folder: str | Path) -> dict[str, Any]:
    """The facts of a data set's making, from its manifest; empty for data without one.

    Raises:
        DataError: the manifest is damaged.
    """
    return read_origin(Path(folder))


@reports_progress
def verify_data(folder: str | Path, *, progress: Progress | None = None) -> int:
    """Compare every file of a data set with the hash in its manifest; gives the number of examples.

    Raises:
        DataError: a file is not what was written; the message names it.
    """
    path = Path(folder)
    total = sum(record.count for records in read_manifest(path).splits.values() for record in records)
    with show_progress(progress) as shown:
        verify(path, Counter(shown, "verifying", total))
    return total


@reports_progress
def write_data(
    folder: str | Path,
    splits: Mapping[str, Mapping[str, Any]],
    *,
    classes: int | None = None,
    several_labels: bool | None = None,
    hold_out: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> WrittenData:
    """Write arrays as a data set: your own features, with labels and names or without.

    Large files are read part by part. A call that was interrupted is made again by the same call.

    Args:
        folder: the folder to write.
        splits: the arrays of each split by name: `train`, `validation`, `test` or another name. The inputs are features
            (videos, frames, features) or (videos, features), or a sequence of (frames, features). `labels` are a class
            a video, zeros and ones (videos, classes), or lists of classes; `id` are the names of the videos. `lengths`
            (videos) or `mask` (videos, frames) say which frames are valid, `NAME.lengths` and `NAME.mask` those of one
            input. Each is an array, a sequence, or the path of a file; `acz data from-arrays` lists the files.
        classes: the number of classes; by default the columns of the labels, or their largest class and 1.
        several_labels: True or False to store zeros and ones, or a class a video; by default as the labels are given.
        hold_out: the share of the training videos, drawn at random, that become the split `validation`.
        seed: the draw follows from it.

    Raises:
        DataError: a value is not possible, and the message has the file, the row and the value; or `folder` holds
            something else.

    Example:
        >>> train = {"rgb": rgb, "audio": audio, "labels": [[3], [0, 7]], "id": ["cat", "dog"]}
        >>> acz.write_data("data/mine", {"train": train, "test": {"rgb": "rgb.npy", "audio": "audio.npy"}})
    """
    require_counts(classes=classes)
    if not splits:
        raise DataError("no split is given; give one such as train")
    out = Path(folder)
    given = {
        name: open_split_of_arrays(name, {key: value for key, value in arrays.items() if value is not None})
        for name, arrays in splits.items()
    }
    require_alike(given)
    if hold_out is not None:
        if "train" not in given or "validation" in given:
            raise SpecError(
                "hold_out (--hold-out) makes a split 'validation' of the split 'train'; give that one alone"
            )
        given["train"], given["validation"] = given["train"].hold_out(hold_out, seed)
    labels = [split.labels for split in given.values() if split.labels is not None]
    chosen = choose_classes(labels, classes, several_labels)
    with show_progress(progress) as shown:
        write_arrays(given, out, chosen, lambda done, total: shown(f"writing {out}", done, total))
    videos = {name: split.videos for name, split in given.items()}
    several = chosen is not None and chosen.several
    return WrittenData(out, videos, chosen.count if chosen else None, several, model_inputs(given))


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


@reports_progress
def show_video(
    folder: str | Path,
    video: int = 0,
    *,
    split: str = "test",
    out: str | Path = "strip.png",
    run: str | Path | None = None,
    mnist: str | Path | None = None,
    backend: str = "numpy",
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, str | int]:
    """Draw a video: its frames as a strip with its label, or its features; with a run also what every attention unit looks at.

    Args:
        video: the video's number in its split.
        out: the PNG file to write.
        run: a run's folder or a checkpoint.
        mnist: the folder of MNIST's four IDX files, if the videos were made from them.
        backend: what computes the attention.

    Returns:
        `picture`, `video`, `label` and `predicted`.

    Raises:
        DataError: the data, or the images that are needed; or `out` does not end in .png.
        CheckpointError, MissingError: the run, the backend, or Matplotlib.
    """
    location, path = Path(folder), Path(out)
    if path.suffix != ".png":
        raise DataError(f"a video is drawn as PNG; --out must end in .png, got {path}")
    examples, description = open_split(location, split), recognise(location).describe(location)
    checkpoint = open_checkpoint(Path(run))[0] if run is not None else None
    if checkpoint:
        examples.require(checkpoint.spec)
    strip, label = take_video(examples, video, description, list(checkpoint.spec.inputs) if checkpoint else [])
    with show_progress(progress) as shown:
        shown.line(f"drawing video {video} of {location}/{split}")
        if description.open_frames is not None:
            frames = description.open_frames(None if mnist is None else Path(mnist))
            strip.pixels = frames.make(split, video, int(label))
        if checkpoint:
            opened = find_backend(backend)
            opened.set_threads(threads or cores())
            model = build_model(opened, checkpoint.spec, checkpoint.parameters)
            output, weights = compute_attention(opened, model, checkpoint.spec, examples, [video])
            of_video = {layer: value[0] for layer, value in weights.items()}
            add_attention(strip, checkpoint.spec, description, output[0], of_video)
        content = draw_strip(strip)
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return {"picture": str(path), "video": video, "label": strip.label, "predicted": strip.predicted}
