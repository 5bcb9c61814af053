"""Make Flash-MNIST: train its frame extractor, draw its videos, store their features."""

from __future__ import annotations

from collections.abc import Callable
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
from acz.data.flash_mnist.videos import NOISE
from acz.data.folder import Split, read_manifest
from acz.evaluation.scoring import evaluate
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError, CheckpointError, SpecError
from acz.foundation.files.atomic import remove_leftovers
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.hashing import contents_hash
from acz.foundation.files.locks import locked
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.model.spec import Spec
from acz.reference.execution import forward
from acz.training.loop import train
from acz.zoo.catalog import config_names
from acz.zoo.config import Config, load_config

EXTRACTOR = "flash_mnist/extractor"
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
        epochs: of the extractor; by default 10 of digits, else as its configuration says.
        extractor: a configuration to train as the extractor, by default `flash_mnist/extractor`; or a checkpoint to use
            instead of training one.
        seed: everything random follows from it.

    Returns:
        The folder; `describe_data` says how it was made, with the share of noisy test frames that the extractor reads
        rightly, `extractor_top1`, and of test videos that a rule reads rightly from its frames, `rule_top1`.

    Raises:
        SpecError: `epochs` and a checkpoint are given, or the configuration is not of a frame extractor.
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
    given, model = _extractor_of(extractor)
    if given is not None and epochs is not None:
        raise SpecError(f"--epochs trains an extractor, and --extractor {given} is a trained one; give one of them")
    images = load_digits() if mnist is None else load_mnist(Path(mnist))
    small = mnist is None
    name, threads = default_backend(backend), threads or cores()
    settings = Settings(
        images.name,
        seed,
        repeats=20 if small else 5,
        train_videos_per_label=videos_per_label or (20 if small else 100),
        test_videos_per_label=test_videos_per_label or (2 if small else 10),
        extractor_epochs=0 if given else epochs or (10 if small else model.recipe.epochs),
        extractor=_sha256(given) if given else "",
        backend=name,
        images=images.hash,
        extractor_model="" if given or model.name == EXTRACTOR else model.name,
    )
    out = Path(folder) if folder else Path("data") / ("flash-digits" if small else "flash-mnist")
    with show_progress(progress) as shown:
        shown.line(f"making {out} from {images.name}: {settings.train_videos_per_label * 1024:,} training videos")
        with locked(out):
            claim_folder(out, BUILDING, settings.facts)
            if not (out / "manifest.json").is_file():
                remove_leftovers(out)
                opened = find_backend(name)
                check_device(opened, device)
                opened.set_threads(threads)
                noisy = build_noisy(out, images, settings, shown)
                path = given or _train_extractor(model, out, noisy, settings, name, device, threads, shown)
                extract, read, made = _open_extractor(path, opened, device, noisy, shown)
                build_features(out, images, settings, extract, read, made, shown)
        rule = read_manifest(out).made.get("rule_top1")
        if rule is not None:
            shown.line(
                f"without a model, by the digits that the extractor reads, {rule:.2%} of the test videos are right"
            )
        shown.line(f"{out} is ready")
    return out


def _extractor_of(extractor: str | Path | None) -> tuple[Path | None, Config]:
    """The checkpoint that is given, if one is; and the configuration of the extractor that is trained without one."""
    if extractor is None:
        return None, load_config(EXTRACTOR)
    path = Path(extractor)
    is_file = path.suffix == ".safetensors" or (path.is_file() and path.suffix not in (".yaml", ".yml"))
    if is_file and str(extractor) not in config_names():
        return path, load_config(EXTRACTOR)
    config = load_config(str(extractor))
    _require_features(str(extractor), config.spec, SpecError)
    return None, config


def _require_features(name: str, spec: Spec, error: type[AczError]) -> None:
    if FEATURES not in spec.recordable:
        raise error(f"{name} is not a frame extractor: it has no layer '{FEATURES}'")


def _open_extractor(
    path: Path, backend: Backend, device: str, noisy: Path, shown: Progress
) -> tuple[Callable[[Array], Array], Callable[[Array], Array] | None, dict[str, Any]]:
    """Open a frame extractor.

    Returns:
        The function from frames (count, 1, 28, 28) to features (count, features); the function from features to the
        classes that the extractor reads, if it has such an output; and facts for the manifest.
    """
    checkpoint: Checkpoint = load_checkpoint(path)
    _require_features(str(path), checkpoint.spec, CheckpointError)
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

    return (
        extract,
        _reader(checkpoint),
        {
            "extractor_spec": checkpoint.spec.hash,
            "extractor_sha256": _sha256(path),
            "extractor_top1": figures["top1"],
            "backend": backend.NAME,
            "versions": backend.versions(),
        },
    )


def _reader(checkpoint: Checkpoint) -> Callable[[Array], Array] | None:
    """The trunk of an extractor, which classifies a frame from its features.

    None where it does not: it has other classes, or reads more than the features.
    """
    spec = checkpoint.spec
    last = [f"{name}.{list(stream.layers)[-1]}" for name, stream in spec.streams.items() if stream.layers]
    if spec.width != NOISE + 1 or last != [FEATURES]:
        return None
    (shape,) = (placed.output_shape for placed in spec.layout if placed.path == FEATURES)
    inputs, streams = {"features": {"shape": list(shape)}}, {"frame": {"input": "features"}}
    head = Spec.from_dict({**spec.to_dict(), "inputs": inputs, "streams": streams})
    parameters = {path: checkpoint.parameters[path] for path in head.parameters}
    return lambda features: forward(head, parameters, {"features": features})["output"].argmax(axis=1)


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    return contents_hash([path])


def _train_extractor(
    model: Config,
    folder: Path,
    noisy: Path,
    settings: Settings,
    backend: str,
    device: str,
    threads: int,
    shown: Progress,
) -> Path:
    """Train an extractor as a run under `folder`/extractor, or resume it."""
    out = folder / "extractor"
    if (out / "run.json").is_file():
        run = resumed_run(out, backend, device, noisy, threads)
    else:
        overrides = {"train.epochs": settings.extractor_epochs, "train.seed": settings.seed}
        config = load_config(model.name, overrides)
        run = new_run(config, backend, device, noisy, out, threads)
    run.resume_command = "the same command"
    train(run, shown)
    return out / "best.safetensors"
