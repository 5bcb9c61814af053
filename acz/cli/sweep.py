"""`acz sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, Set, given_overrides, print_json, print_table
from acz.foundation.processes.environment import configure_process


def sweep_command(
    file: Annotated[str, typer.Argument(help="A sweep's YAML file, or one of the zoo: flash_mnist_table.")],
    out: Annotated[Path | None, typer.Option(help="The sweep's folder.", show_default="runs/NAME")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data set, for all trials.", show_default="the configurations'")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="Of trials that name none.", show_default="the file's, or the first installed"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Of trials that name none; never replaced in silence.", show_default="CPU")
    ] = None,
    assignments: Set = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at a time on this machine.", show_default="a core each on the CPU, else 1"),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of each trial on the CPU; the last bits of its figures depend on it.")
    ] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray: a task of a Ray cluster for each trial.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a running Ray cluster: HOST:PORT or auto.", show_default="one on this machine is started"
        ),
    ] = None,
    resources: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="What a trial takes of a Ray node: CPU=2, GPU=1; may be repeated.",
            show_default="CPU: as many as --threads",
        ),
    ] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Tries again of a trial whose Ray worker was lost.", show_default="3")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the trials, and run none.")] = False,
    as_json: Json = False,
) -> None:
    """Train every trial of a grid or list of overrides, each in a process of its own; one CSV and one page tell the results.

    The same command resumes a sweep that was interrupted or killed: what is done is kept, the rest resumes from its last checkpoint.
    """
    configure_process(threads)
    from acz.api.studies import plan_sweep, sweep
    from acz.foundation.errors import CheckFailed

    overrides = given_overrides(assignments)
    if dry_run:
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
        resources=_amounts(resources or []),
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
        lines = [f"  {name}: {words}" for name, words in done.failed.items()]
        raise CheckFailed(
            f"{len(lines)} of {len(done.trials)} trials failed; logs are in {done.folder / 'logs'}, "
            "run the same command again to try them again:\n" + "\n".join(lines)
        )


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _amounts(words: list[str]) -> dict[str, float]:
    """`["GPU=1"]` to {"GPU": 1.0}. Raises SpecError."""
    from acz.foundation.errors import SpecError

    found = {}
    for word in words:
        name, equals, amount = word.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            equals = ""
        if not name or not equals or not 0 <= found[name] < float("inf"):
            raise SpecError(f"--resources needs NAME=N, got '{word}'; for example --resources GPU=1")
    return found
