"""Data sets: open one, verify it, show a video, and make one of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.api.reading import choose_reading
from acz.api.results import WrittenData, reports_progress, require_counts
from acz.backend.build import build_model
from acz.backend.registry import find_backend
from acz.data.arrays.split import open_split_of_arrays
from acz.data.arrays.writing import choose_classes, model_inputs, require_alike, write_arrays
from acz.data.base import Data
from acz.data.folder import read_manifest, read_origin, verify
from acz.data.registry import open_split, recognise
from acz.data.youtube8m.dataset import YOUTUBE8M
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.atomic import write_atomically
from acz.foundation.files.local import require_local
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Counter, Progress, show_progress
from acz.studies.reports.attention import add_attention, compute_attention, take_video
from acz.studies.reports.strip import draw_strip
from acz.training.run_folder import open_checkpoint
from acz.zoo.config import load_config


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
    require_local(folder)
    return read_origin(Path(folder))


@reports_progress
def verify_data(folder: str | Path, *, progress: Progress | None = None) -> int:
    """Compare every file of a data set with the hash in its manifest; gives the number of examples.

    Raises:
        DataError: a file is not what was written; the message names it.
    """
    path = Path(folder)
    if not (path / "manifest.json").is_file() and recognise(path) is YOUTUBE8M:
        raise DataError(f"{path} holds shards of YouTube-8M; 'acz data youtube8m verify {path}' checks them")
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
def show_video(
    folder: str | Path,
    video: int = 0,
    *,
    split: str = "test",
    out: str | Path = "strip.png",
    run: str | Path | None = None,
    mnist: str | Path | None = None,
    backend: str = "numpy",
    reading: Mapping[str, Any] | None = None,
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
        reading: how the data set is read; by default as the run says.

    Returns:
        `picture`, `video`, `label` and `predicted`.

    Raises:
        DataError: the data, or the images that are needed; or `out` does not end in .png.
        CheckpointError, MissingError: the run, the backend, or Matplotlib.
    """
    location, path = Path(folder), Path(out)
    if path.suffix != ".png":
        raise DataError(f"a video is drawn as PNG; --out must end in .png, got {path}")
    checkpoint, _, kept = open_checkpoint(Path(run)) if run is not None else (None, None, None)
    spec, config = checkpoint.spec if checkpoint else None, load_config(kept["config"]) if kept else None
    examples = open_split(
        location, split, choose_reading(config.fitted_reading if config else None, reading or {}, location, spec)
    )
    description = recognise(location).describe(location)
    if spec:
        examples.require(spec)
    strip, label = take_video(examples, video, description, list(checkpoint.spec.inputs) if checkpoint else [])
    with show_progress(progress) as shown:
        shown.line(f"drawing video {video} of {location}/{split}")
        if description.open_frames is not None:
            frames = description.open_frames(None if mnist is None else Path(mnist))
            strip.pixels = frames.make(split, video, label)
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
