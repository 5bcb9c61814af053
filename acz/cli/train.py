"""The command `acz train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import (
    Address,
    Backend,
    Engine,
    Json,
    OnBadRecord,
    PrecisionOption,
    Processes,
    Resources,
    Retries,
    Sampling,
    Segments,
    Set,
    Verify,
    Workers,
    given_amounts,
    given_overrides,
    given_reading,
    model_names,
    print_result,
    run_folders,
)
from acz.foundation.processes.environment import configure_process, cores

DEFAULT = "flash_mnist/attention_cluster_sets, or with --from the checkpoint's"


def train_command(
    config: Annotated[
        str | None,
        typer.Argument(
            help="A name from 'acz models', or a YAML file.", show_default=DEFAULT, autocompletion=model_names
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            help="Start from the weights of a checkpoint, a run's folder, or a file that 'acz convert' wrote.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="With --from: accept a parameter that is missing there, left over, or of another shape. Wildcards work. "
            "May be repeated.",
        ),
    ] = None,
    backend: Backend = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="CPU, GPU, GPU:1, Ascend, Ascend:3 and so on. A missing device is an error.", show_default="CPU"
        ),
    ] = None,
    precision: PrecisionOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set.", show_default="that of the configuration")
    ] = None,
    assignments: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the run.", show_default="a new one under runs/", autocompletion=run_folders),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run in --out, or the latest run. The backend and the data may change, and with --set: "
            "train.epochs, train.early_stopping, train.checkpoint_steps, data.reading.workers (--workers) and "
            "data.reading.verify (--verify).",
        ),
    ] = False,
    resume_if_begun: Annotated[
        bool,
        typer.Option(
            "--resume-if-begun",
            help="Resume the run in --out if it is there and has the same settings, else begin it: for launchers that start "
            "the command again.",
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of CPU threads, of all processes together; with --engine ray of each.",
            show_default="all cores; with --engine ray 1; with --resume, those of the run",
        ),
    ] = None,
    processes: Processes = None,
    engine: Engine = "local",
    address: Address = None,
    resources: Resources = None,
    retries: Retries = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what to type on each host to train there with --processes each, and stop."
        ),
    ] = False,
    hosts: Annotated[
        str | None,
        typer.Option(help="With --dry-run: names of the hosts, with commas between them.", show_default="this host"),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="With --dry-run: a free port of the first host.", show_default="29500")
    ] = None,
    sampling: Sampling = None,
    verify: Verify = None,
    on_bad_record: OnBadRecord = None,
    workers: Workers = None,
    segments: Segments = None,
    as_json: Json = False,
) -> None:
    """Train a model, evaluate it after each epoch, and keep the best checkpoint.

    GAP decides which checkpoint is the best where videos have several labels, else top-1. Without arguments the command
    makes a small data set of scikit-learn's digits and trains the attention cluster on it.
    """
    configure_process(threads or cores())
    from acz.api import training
    from acz.foundation.errors import SpecError

    if dry_run:
        if engine != "local":
            raise SpecError("--dry-run prints what to type where there is no Ray cluster; leave out --engine")
        plan = training.plan_launch(
            _typed_words(("--processes", "--hosts", "--port"), ("--dry-run", "--json")),
            hosts=hosts.split(",") if hosts is not None else training.HERE,
            processes=processes or 1,
            backend=backend,
            device=device or "CPU",
            port=port or training.PORT,
        )
        print_result(plan, as_json)
        return
    if hosts is not None or port is not None:
        raise SpecError("--hosts and --port are for --dry-run, which prints what to type on each host")
    reading = given_reading(sampling, verify, on_bad_record, workers, segments)
    shared: dict[str, Any] = {
        "backend": backend,
        "device": device,
        "data": data,
        "threads": threads,
        "processes": processes,
        "engine": engine,
        "address": address,
        "resources": given_amounts(resources),
        "retries": retries,
    }
    changes = given_overrides(assignments) | ({"train.precision": precision} if precision else {})
    if not resume:
        trained = training.train(
            config,
            start_from=start_from,
            allow=allow or [],
            out=out,
            overrides=changes,
            reading=reading,
            resume_if_begun=resume_if_begun,
            **shared,
        )
    elif config or start_from or allow:
        raise SpecError(
            "--resume uses the model and the weights of the run; leave out CONFIG, --from and --allow, or start a new run"
        )
    else:
        if threads is None:
            configure_process(training.threads_of(out))
        overrides = changes | {f"data.reading.{name}": value for name, value in reading.items()}
        trained = training.resume(out, overrides=overrides, **shared)
    print_result(trained, as_json)


def _typed_words(with_value: tuple[str, ...], alone: tuple[str, ...]) -> list[str]:
    """The words of this command as they were typed, without some options."""
    words: list[str] = []
    typed = iter(sys.argv[1:])
    for word in typed:
        if word in with_value:
            next(typed, None)
        elif word not in alone and not word.startswith(tuple(f"{name}=" for name in with_value)):
            words.append(word)
    return words
