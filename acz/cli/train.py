"""`acz train` and `acz eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.common import Backend, Device, Json, Set, Threads, print_json
from acz.cli.reading import (
    OnBadRecord,
    Sampling,
    Verify,
    Workers,
    choose_reading,
    given_settings,
    require_youtube8m,
)
from acz.foundation.processes.environment import cores, prepare

DEFAULT = "flash_mnist/attention_cluster"


def train_command(
    config: Annotated[
        str | None, typer.Argument(help="A name from 'acz models', or a YAML file.", show_default=DEFAULT)
    ] = None,
    backend: Backend = None,
    device: Annotated[
        str | None,
        typer.Option(help="CPU, GPU, GPU:1, Ascend, Ascend:3; never replaced in silence.", show_default="CPU"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set.", show_default="the configuration's")
    ] = None,
    assignments: Set = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="a new one under runs/")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, or with the latest; in any backend.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on the CPU.", show_default="all cores; the run's, with --resume")
    ] = None,
    sampling: Sampling = None,
    verify: Verify = None,
    on_bad_record: OnBadRecord = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train a model; evaluates after each epoch and keeps the best checkpoint, by top-1, or by GAP where videos have several labels.

    With nothing given it trains the attention cluster on scikit-learn's digits, and makes that data set first.
    """
    prepare(threads or cores())
    from acz.api.runs import new_run, resumed_run
    from acz.backend.devices import check_device
    from acz.backend.registry import default_backend, find_backend
    from acz.foundation.errors import DataError, SpecError
    from acz.training.loop import train
    from acz.training.run_folder import latest_run, new_run_folder, read_run
    from acz.zoo.config import load_config, parse_overrides

    given = given_settings(sampling, verify, on_bad_record, workers)
    if resume:
        if assignments or config or given:
            raise SpecError(
                "--resume goes on with the run's own configuration; leave out CONFIG, --set and how data are read, or start anew"
            )
        folder = out or latest_run()
        if threads is None:
            prepare(int(read_run(folder)["threads"]))
        run = resumed_run(folder, backend, device, data, threads)
        check_device(find_backend(run.backend), run.device)
    else:
        changed = parse_overrides(assignments or []) | {f"data.reading.{key}": value for key, value in given.items()}
        if data is not None and any(key.startswith("data.reading") for key in changed):
            changed = {"data.folder": str(data)} | changed  # a configuration may name no data to say it of
        chosen = load_config(config or DEFAULT, changed)
        name = default_backend(backend)
        check_device(find_backend(name), device or "CPU")
        where = data or (Path(chosen.data.folder) if chosen.data else None)
        if where is None:
            raise DataError(f"{chosen.name} names no data; give a folder with --data")
        require_youtube8m(given, where)
        whole = ":" not in chosen.name  # a tiny variant reads other features than the data set holds
        if data is None and whole and chosen.data and chosen.data.digits and not (where / "manifest.json").is_file():
            from acz.cli.data import make

            make(None, where, name, device or "CPU", threads=threads or cores())
        folder = out or new_run_folder(chosen.name)
        run = new_run(chosen, name, device or "CPU", where, folder, threads or cores())
    result = train(run)
    if as_json:
        print_json(result)
    else:
        best = result["best"]
        figure = f"GAP {best['gap']:.4f}" if "gap" in best else f"top-1 {best['top1']:.4f}"
        print(f"best {figure} at epoch {best['epoch']}; {result['folder']}/best.safetensors")


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
