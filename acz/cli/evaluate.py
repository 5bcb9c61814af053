"""`acz eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import Device, Json, OnBadRecord, Sampling, Threads, Verify, Workers, given_settings, print_json
from acz.foundation.processes.environment import cores, prepare


def evaluate_command(
    target: Annotated[
        Path | None, typer.Argument(help="A run's folder or a checkpoint.", show_default="the latest run")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="torch, tensorflow, paddle, mindspore or numpy.", show_default="the run's, or the first installed"
        ),
    ] = None,
    device: Device = "CPU",
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.", show_default="the run's")] = None,
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    batch_size: Annotated[int, typer.Option(min=1, help="Videos at once; the figures do not depend on it.")] = 512,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Score this file of predictions, npz or CSV, and no model.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="With --predictions: the data set that has the labels.", show_default=False),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --predictions, YouTube-8M: labels are 0 .. classes - 1.",
            show_default="as the folder was converted or synthesized; else 3862",
        ),
    ] = None,
    sampling: Sampling = None,
    verify: Verify = None,
    on_bad_record: OnBadRecord = None,
    workers: Workers = None,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Evaluate a run's best checkpoint, or any checkpoint, on any backend, or a file of predictions.

    Gives top-1, top-5 and loss; where videos have several labels also Hit@1, PERR, mAP and GAP, with --json each class's precision.
    """
    prepare(threads)
    from acz.api.reading import choose_reading

    given = given_settings(sampling, verify, on_bad_record, workers)
    if predictions is not None or labels is not None or classes is not None:
        alone = not (target or backend or data or sampling) and device == "CPU"
        given |= {} if classes is None else {"classes": classes}
        _evaluate_file(predictions, labels, split, given, as_json, alone)
        return
    from acz.backend.build import build
    from acz.backend.registry import default_backend, find_backend
    from acz.data.registry import open_split
    from acz.evaluation.scoring import evaluate_by_class
    from acz.foundation.errors import DataError
    from acz.foundation.progress import progress
    from acz.model.losses import OF_OUTPUT
    from acz.training.run_folder import open_checkpoint
    from acz.zoo.config import load_config

    checkpoint, path, run = open_checkpoint(target)
    name = backend or (run["backend"] if run else default_backend(None))
    where = data or (Path(run["data"]) if run else None)
    if where is None:
        raise DataError(f"{path} says nothing of data; give a folder with --data")
    config = load_config(run["config"]) if run else None
    loss = (config and config.recipe.loss) or OF_OUTPUT.get(checkpoint.spec.output)
    reading = choose_reading(config.reading if config else None, given, where, checkpoint.spec)
    examples = open_split(where, split, reading)
    examples.require(checkpoint.spec, loss)
    found = find_backend(name)
    found.set_threads(threads)
    model = build(checkpoint.spec, name, checkpoint.parameters, device)
    done = 0
    with progress() as shown:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            shown(f"evaluating on {name}", done, len(examples))

        figures, by_class = evaluate_by_class(found, model, checkpoint.spec, examples, loss, batch_size, advance)
    about = {"checkpoint": str(path), "spec_hash": checkpoint.spec.hash, "backend": name, "split": split}
    _print_figures(about, f"{path} on {name}, {split}", figures, by_class, as_json)


def _evaluate_file(
    predictions: Path | None, labels: Path | None, split: str, given: dict[str, Any], as_json: bool, alone: bool
) -> None:
    """Score a file of predictions."""
    from acz.api.reading import choose_reading
    from acz.data.registry import open_split
    from acz.evaluation.scoring import evaluate_predictions
    from acz.foundation.errors import SpecError
    from acz.foundation.progress import progress

    if predictions is None or labels is None:
        raise SpecError("--predictions FILE and --labels DATA belong together, and --classes to them alone")
    if not alone:
        raise SpecError("--predictions scores a file; leave out the model, --data, --sampling, --backend and --device")
    examples = open_split(labels, split, choose_reading(None, given, labels))
    done = 0
    with progress() as shown:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            shown(f"scoring {predictions}", done, len(examples))

        figures, by_class = evaluate_predictions(predictions, examples, advance)
    about = {"predictions": str(predictions), "labels": str(labels), "split": split}
    _print_figures(about, f"{predictions}, {split}", figures, by_class, as_json)


SHOWN = {
    "top1": "top-1",
    "top5": "top-5",
    "hit_at_1": "Hit@1",
    "perr": "PERR",
    "map": "mAP",
    "gap": "GAP",
    "loss": "loss",
}


def _print_figures(about: dict[str, str], what: str, figures: dict[str, float], by_class: Any, as_json: bool) -> None:
    if as_json:
        print_json({**about, **figures} | ({} if by_class is None else {"average_precision": by_class.tolist()}))
        return
    texts = [f"{label} {figures[name]:.4f}" for name, label in SHOWN.items() if name in figures]
    print(f"{what}: {'  '.join(texts)}  ({figures['examples']:,.0f} videos)")
