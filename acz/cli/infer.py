"""The commands `acz infer` and `acz ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import (
    Address,
    ClassNames,
    Device,
    Engine,
    Json,
    OldLabels,
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
    print_json,
    print_result,
    run_folders,
)
from acz.foundation.processes.environment import configure_process, cores

Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="The format: jsonl, npz, youtube8m-csv or segments-csv.", show_default="by the name of --out"
    ),
]


def infer_command(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="The folder of a run, a checkpoint, or an exported artefact.",
            show_default="the latest run",
            autocompletion=run_folders,
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set, or a feature_*.pkl.", show_default="that of the run")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The file to write: .jsonl, .npz or .csv; with --video .html, .jsonl or .npz.")
    ] = Path("predictions.jsonl"),
    video: Annotated[
        Path | None,
        typer.Option(help="Tag this video file, or each of this folder, in place of a data set.", show_default=False),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(help="With --video: the folder of the networks that the features need.", show_default=False),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="With --video FOLDER: tag also what arrives there, until Ctrl-C.")
    ] = False,
    window: Annotated[float, typer.Option(help="With --video: seconds of the window that slides over it.")] = 5.0,
    kind: Format = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Number of best labels of each video.", show_default="50; 20 in a CSV"),
    ] = None,
    class_names: ClassNames = None,
    labels: OldLabels = None,
    only_classes: Annotated[
        Path | None,
        typer.Option(
            help="Predict only the classes that this file lists, one a line, as segment_label_ids.csv does.",
            show_default="all classes",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="The split. Of YouTube-8M `test` is the validation shards, or else the test shards.")
    ] = "test",
    backend: Annotated[
        str | None,
        typer.Option(
            help="A backend: torch, tensorflow, paddle, mindspore or numpy. An artefact runs in its own runtime.",
            show_default="that of the run, or the first installed",
        ),
    ] = None,
    device: Device = "CPU",
    precision: PrecisionOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of videos in a batch.")] = 256,
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
    """Predict the labels of every video, in order, with a checkpoint in any backend or an artefact in its own runtime.

    After an interruption, the same command resumes.
    """
    configure_process(threads or cores())
    if watch and video is None:
        from acz.foundation.errors import SpecError

        raise SpecError("--watch needs --video FOLDER")
    if video is not None:
        from acz.api.data.tagging import infer_video, watch_videos
        from acz.foundation.errors import SpecError

        if data is not None or kind is not None or processes is not None or engine != "local":
            raise SpecError("--video takes no --data, --format, --processes and --engine")
        options: dict[str, Any] = {
            "files": files,
            "window": window,
            "top_k": top_k or 5,
            "class_names": class_names or labels,
            "backend": backend,
            "device": device,
            "threads": threads,
        }
        if watch:
            watch_videos(target, video, out, **options)
        else:
            print_result(infer_video(target, video, out, **options), as_json)
        return
    from acz.api.inference import infer

    inferred = infer(
        target,
        out,
        data=data,
        split=split,
        top_k=top_k,
        class_names=class_names or labels,
        only_classes=only_classes,
        format=kind,
        backend=backend,
        device=device,
        precision=precision,
        batch_size=batch_size,
        reading=given_reading(sampling, verify, on_bad_record, workers, segments),
        threads=threads,
        processes=processes,
        engine=engine,
        address=address,
        resources=given_amounts(resources),
        retries=retries,
    )
    print_result(inferred, as_json)


def ensemble_command(
    files: Annotated[
        list[Path], typer.Argument(help="Files of predictions, npz, JSON lines or CSV, of the same videos.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write: .npz, .jsonl or .csv.")],
    weights: Annotated[
        str | None,
        typer.Option(help="The weight of each file, with commas between them.", show_default="equal weights"),
    ] = None,
    kind: Format = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of best labels of each video.",
            show_default="as many as the file that lists most; at most 20 in a CSV",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Average predictions of several models, from files of `acz infer`.

    The score of a label is the weighted mean of its scores in the files. A file that does not list the label counts as
    0, so files should list equally many, and more than you want in the end.
    """
    from acz.api.inference import average_predictions
    from acz.foundation.errors import SpecError

    try:
        numbers = [float(word) for word in weights.split(",")] if weights else None
    except ValueError:
        raise SpecError(f"--weights must be numbers with commas between them, got '{weights}'") from None
    videos = average_predictions(files, out, weights=numbers, top_k=top_k, format=kind)
    if as_json:
        print_json({"out": str(out), "examples": videos, "files": [str(path) for path in files]})
    else:
        print(f"{out}: the mean of {len(files)} files, {videos:,} videos")
