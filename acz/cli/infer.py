"""`acz infer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import Device, Json, OnBadRecord, Sampling, Threads, Verify, Workers, given_settings, print_json
from acz.foundation.processes.environment import cores, prepare


def infer_command(
    target: Annotated[
        Path | None,
        typer.Argument(help="A run's folder, a checkpoint, or an exported artefact.", show_default="the latest run"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set, or a feature_*.pkl.", show_default="the run's")
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write; .jsonl, .npz or .csv.")] = Path("predictions.jsonl"),
    kind: Annotated[
        str | None,
        typer.Option("--format", help="jsonl, npz or youtube8m-csv.", show_default="by the name of --out"),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the best labels to give.", show_default="5; 20 in youtube8m-csv"),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Names of the labels: a line each, or a CSV with Index and Name.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    backend: Annotated[
        str | None,
        typer.Option(
            help="torch, tensorflow, paddle, mindspore or numpy; an artefact runs in its own runtime.",
            show_default="the run's, or the first installed",
        ),
    ] = None,
    device: Device = "CPU",
    batch_size: Annotated[int, typer.Option(min=1, help="Videos at once.")] = 256,
    sampling: Sampling = None,
    verify: Verify = None,
    on_bad_record: OnBadRecord = None,
    workers: Workers = None,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Predict the labels of every video, in order, with a checkpoint on any backend or with an exported artefact in its runtime.

    Interrupted at any point, the same command goes on where it was.
    """
    prepare(threads)
    from acz.api.reading import choose_reading
    from acz.backend.registry import default_backend
    from acz.data.registry import fingerprint, open_split
    from acz.data.vocabulary import read_labels
    from acz.evaluation.inference import Settings, infer
    from acz.evaluation.predictions import kind_of
    from acz.evaluation.predictor import model_predictor
    from acz.exchange.artefacts.formats import format_of
    from acz.exchange.artefacts.predictor import artefact_predictor
    from acz.foundation.errors import DataError, SpecError
    from acz.foundation.files.hashing import file_hash
    from acz.foundation.progress import progress
    from acz.training.run_folder import open_checkpoint
    from acz.zoo.config import load_config

    form = kind_of(out, kind)
    given = given_settings(sampling, verify, on_bad_record, workers)
    count = top_k or (20 if form == "csv" else 5)
    artefact = format_of(target) if target else None
    if artefact and (backend or device != "CPU"):
        raise SpecError(f"{target} runs in {artefact.runtime} on the CPU; leave out --backend and --device")
    run: dict[str, Any] | None = None
    path = target
    if not artefact:
        checkpoint, path, run = open_checkpoint(target)
    where = data or (Path(run["data"]) if run else None)
    if where is None or path is None:
        raise DataError(f"{path} says nothing of data; give a folder or a feature_*.pkl with --data")
    names = read_labels(labels) if labels else None
    name = artefact.name if artefact else backend or (run["backend"] if run else default_backend(None))
    opened = artefact_predictor(path, threads) if artefact else model_predictor(checkpoint, name, device, threads)
    of_run = load_config(run["config"]).reading if run else None
    with opened as (spec, predict):
        reading = choose_reading(of_run, given, where, spec)
        if "unlabelled" in type(reading).model_fields:
            reading = reading.model_copy(update={"unlabelled": True})
        examples = open_split(where, split, reading)
        examples.require(spec)
        settings = Settings(
            file_hash(path),
            f"{name} {device}",
            fingerprint(where),
            split,
            count,
            file_hash(labels) if labels else "",
            form,
            batch_size,
            reading.model_dump_json(include={"sampling", "on_bad_record"}),
        )
        with progress() as shown:

            def advance(done: int, total: int) -> None:
                shown(f"inference, {name}", done, total)

            videos = infer(predict, spec, examples, out, settings, names, advance)
    if as_json:
        print_json({"out": str(out), "examples": videos, "model": str(path), "with": name, "spec_hash": spec.hash})
    else:
        print(f"{out}: the best {min(count, spec.width)} labels of {videos:,} videos, by {name}")


def ensemble_command(
    files: Annotated[list[Path], typer.Argument(help="Files of predictions, npz or CSV, of the same videos in order.")],
    out: Annotated[Path, typer.Option(help="The file to write; .npz, .jsonl or .csv.")],
    weights: Annotated[
        str | None, typer.Option(help="A number a file, with commas between them.", show_default="all the same")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="jsonl, npz or youtube8m-csv.", show_default="by the name of --out"),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the best labels to give.", show_default="as many as the files list"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Average predictions of several models, which `acz infer` wrote.

    A label's score is the weighted mean of its scores in the files; where a file does not list it, it counts 0.
    """
    from acz.evaluation.ensemble import ensemble
    from acz.evaluation.predictions import kind_of
    from acz.foundation.errors import SpecError
    from acz.foundation.progress import progress

    try:
        numbers = [float(word) for word in weights.split(",")] if weights else None
    except ValueError:
        raise SpecError(f"--weights must be numbers with commas between them, got '{weights}'") from None
    form = kind_of(out, kind)
    with progress() as shown:
        videos = ensemble(files, out, form, numbers, top_k, lambda done: shown("averaging", done, done))
    if as_json:
        print_json({"out": str(out), "examples": videos, "files": [str(path) for path in files]})
    else:
        print(f"{out}: the mean of {len(files)} files, {videos:,} videos")
