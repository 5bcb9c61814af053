"""The command `acz eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import (
    Address,
    Device,
    Engine,
    Json,
    OnBadRecord,
    PrecisionOption,
    Processes,
    Resources,
    Retries,
    Sampling,
    Segments,
    SharedThreads,
    Verify,
    Workers,
    given_amounts,
    given_reading,
    print_result,
    run_folders,
)
from acz.foundation.processes.environment import configure_process, cores


def evaluate_command(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="The folder of a run, or a checkpoint.", show_default="the latest run", autocompletion=run_folders
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="A backend: torch, tensorflow, paddle, mindspore or numpy.",
            show_default="that of the run, or the first installed",
        ),
    ] = None,
    device: Device = "CPU",
    precision: PrecisionOption = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.", show_default="that of the run")] = None,
    split: Annotated[
        str, typer.Option(help="The split. Of YouTube-8M `test` is the validation shards, or else the test shards.")
    ] = "test",
    batch_size: Annotated[
        int, typer.Option(min=1, help="Number of videos in a batch. The figures do not depend on it.")
    ] = 512,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Evaluate this file of predictions, npz, JSON lines or CSV, in place of a model.", show_default=False
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="With --predictions: the data set with the labels.", show_default=False),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --predictions, YouTube-8M: the labels are 0 .. classes - 1.",
            show_default="as in a converted or synthesized folder, else 3862; and those that the file names",
        ),
    ] = None,
    sampling: Sampling = None,
    verify: Verify = None,
    on_bad_record: OnBadRecord = None,
    workers: Workers = None,
    segments: Segments = None,
    threads: SharedThreads = None,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
    resources: Resources = None,
    retries: Retries = None,
    as_json: Json = False,
) -> None:
    """Evaluate the best checkpoint of a run, another checkpoint, or a file of predictions.

    The figures are top-1, top-5 and loss; where videos have several labels Hit@1, Hit@5, PERR, mAP, GAP and loss. The
    loss of several labels is a sum over the classes, and a mean over the videos. Rated segments have MAP@100,000 of their
    rated classes. --json adds the average precision of
    each class. A checkpoint runs in any backend, whichever one trained it.
    """
    configure_process(threads or cores())
    from acz.api.evaluation import evaluate, evaluate_predictions
    from acz.foundation.errors import SpecError

    reading = given_reading(sampling, verify, on_bad_record, workers, segments)
    if predictions is None and labels is None and classes is None:
        evaluation = evaluate(
            target,
            backend=backend,
            device=device,
            precision=precision,
            data=data,
            split=split,
            batch_size=batch_size,
            reading=reading,
            threads=threads,
            processes=processes,
            engine=engine,
            address=address,
            resources=given_amounts(resources),
            retries=retries,
        )
    elif predictions is None or labels is None:
        raise SpecError("--predictions FILE and --labels DATA need each other, and --classes needs both")
    elif target or backend or data or sampling or precision or device != "CPU":
        raise SpecError(
            "--predictions evaluates a file; leave out the model, --data, --sampling, --backend, --precision and --device"
        )
    else:
        reading |= {} if classes is None else {"classes": classes}
        evaluation = evaluate_predictions(predictions, labels, split=split, reading=reading)
    print_result(evaluation, as_json)
