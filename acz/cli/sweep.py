"""The command `acz sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import (
    Address,
    Json,
    Set,
    backend_names,
    given_amounts,
    given_overrides,
    print_json,
    print_table,
)
from acz.foundation.processes.environment import configure_process


def sweep_command(
    file: Annotated[str, typer.Argument(help="The YAML file of a sweep, or a sweep of the zoo: flash_mnist_table.")],
    out: Annotated[Path | None, typer.Option(help="The folder of the sweep.", show_default="runs/NAME")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data set, for all trials.", show_default="that of each configuration"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="The backend of trials that name none.",
            show_default="that of the file, or the first installed",
            autocompletion=backend_names,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="The device of trials that name none. A missing device is an error.", show_default="CPU"),
    ] = None,
    assignments: Set = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of trials at a time on this machine.",
            show_default="one for each core on the CPU, else 1",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Number of CPU threads of each trial. The last bits of its figures depend on it.")
    ] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray: each trial is a task of a Ray cluster.")] = "local",
    address: Address = None,
    resources: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="The resources of a Ray node that a trial takes: CPU=2, GPU=1. May be repeated.",
            show_default="as many CPUs as --threads",
        ),
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(min=0, help="Number of further tries of a trial whose Ray worker was lost.", show_default="3"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check that each trial fits its data, list the trials, and run none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train every trial of a grid or list of overrides, each in its own process. Write a CSV and a page of results.

    After an interruption or a kill, the same command resumes. It keeps finished trials and resumes the others from
    their last checkpoints.
    """
    configure_process(threads)
    from acz.api.sweeps import plan_sweep, require_engine, sweep
    from acz.foundation.errors import CheckFailed

    overrides = given_overrides(assignments)
    amounts = given_amounts(resources)
    if dry_run:
        require_engine(engine, jobs, address, amounts, retries)
        planned = plan_sweep(
            file, out=out, data=data, backend=backend, device=device, overrides=overrides, threads=threads
        )
        if as_json:
            print_json([trial.to_json() for trial in planned])
            return
        rows = [[trial.name, trial.config, trial.backend, f"{trial.parameters:,}", trial.state] for trial in planned]
        print_table(["trial", "configuration", "backend", "parameters", "state"], rows, right={3})
        return
    done = sweep(
        file,
        out=out,
        data=data,
        backend=backend,
        device=device,
        overrides=overrides,
        jobs=jobs,
        threads=threads,
        engine=engine,
        address=address,
        resources=amounts,
        retries=retries,
    )
    if as_json:
        print_json(done.to_json())
    else:
        rows = [
            [
                str(row["trial"]),
                str(row["status"]),
                *(_number(row[name]) for name in ("best_top1", "best_gap", "best_epoch")),
            ]
            for row in done.trials
        ]
        print_table(["trial", "status", "best top-1", "best GAP", "at epoch"], rows, right={2, 3, 4})
        print(done)
    if done.failed:
        lines = [f"  {name}: {message}" for name, message in done.failed.items()]
        raise CheckFailed(
            f"{len(lines)} of {len(done.trials)} trials failed; logs are in {done.folder / 'logs'}, "
            "run the same command again to retry them:\n" + "\n".join(lines)
        )


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
