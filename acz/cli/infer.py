"""`acz infer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acz.cli.common import Device, Json, Threads, print_json
from acz.cli.reading import OnBadRecord, Sampling, Verify, Workers, choose_reading, given_settings
from acz.foundation.processes.environment import cores, prepare

if TYPE_CHECKING:
    from acz.evaluation.inference import Best, Predict
    from acz.foundation.arrays import Array
    from acz.model.spec import Spec


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
    from acz.backend.registry import default_backend
    from acz.data.registry import data_hash, open_split
    from acz.data.vocabulary import read_labels
    from acz.evaluation.inference import Settings, infer
    from acz.evaluation.predictions import kind_of
    from acz.exchange.artefacts.formats import format_of
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
    opened = _artefact(path, threads) if artefact else _model(checkpoint, name, device, threads)
    of_run = load_config(run["config"]).reading if run else None
    with opened as (spec, predict):
        reading = choose_reading(of_run, given, where, spec).model_copy(update={"unlabelled": True})
        examples = open_split(where, split, reading)
        examples.require(spec)
        settings = Settings(
            file_hash(path),
            f"{name} {device}",
            data_hash(where),
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


@contextmanager
def _model(checkpoint: Any, name: str, device: str, threads: int) -> Iterator[tuple[Spec, Predict]]:
    """A checkpoint's model in a backend, in this process."""
    from acz.backend.build import build
    from acz.backend.registry import find_backend
    from acz.evaluation.inference import Best

    found = find_backend(name)
    found.set_threads(threads)
    model = build(checkpoint.spec, name, checkpoint.parameters, device)

    def predict(inputs: Mapping[str, Array], count: int) -> Best:
        best = found.forward_best(model, inputs, {"output": count})
        return Best(best["output"], best["output.classes"], best["finite"])

    yield checkpoint.spec, predict


@contextmanager
def _artefact(path: Path, threads: int) -> Iterator[tuple[Spec, Predict]]:
    """An artefact in its runtime, in a process of its own."""
    from acz.backend.signature import OUTPUT
    from acz.evaluation.inference import best_of
    from acz.exchange.artefacts.formats import find_format, format_of
    from acz.exchange.artefacts.runtime import Runtime, carried_spec
    from acz.exchange.artefacts.verify import as_ports

    kind = format_of(path)
    assert kind is not None
    with Runtime(find_format(kind.name), threads) as runtime:
        _, about = runtime.run(path, {})
        spec = carried_spec(path, about["metadata"])

        def predict(inputs: Mapping[str, Array], count: int) -> Best:
            return best_of(runtime.run(path, {"batch": as_ports(spec, inputs)})[0]["batch"][OUTPUT], count)

        yield spec, predict
