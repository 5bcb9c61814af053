"""`acz sweep`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, Set, print_json, print_table
from acz.foundation.processes.environment import cores, prepare


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

    The same command goes on with a sweep that was interrupted or killed: what is done is kept, what is not goes on from its last checkpoint.
    """
    prepare(threads)
    from acz.backend.registry import default_backend
    from acz.foundation.errors import CheckFailed, SpecError, nearest
    from acz.foundation.progress import progress
    from acz.studies.sweeps.cluster import run_on_ray
    from acz.studies.sweeps.file import expand, find_sweep, read_sweep
    from acz.studies.sweeps.local import run_here
    from acz.studies.sweeps.run import check_unchanged, plan, sweep
    from acz.zoo.config import parse_overrides

    if engine not in ("local", "ray"):
        raise SpecError(f"there is no engine '{engine}'; {nearest(engine, ['local', 'ray'])}")
    if engine == "local" and (address or resources or retries is not None):
        raise SpecError("--address, --resources and --retries are Ray's; add --engine ray, or leave them out")
    if engine == "ray" and jobs is not None:
        raise SpecError("--jobs is of this machine; on Ray, --resources CPU=N says how many trials a node takes")
    path = find_sweep(file)
    read = read_sweep(path)
    chosen = read.model_copy(update={"backend": backend or read.backend, "device": device or read.device})
    trials = expand(chosen, path.parent, default_backend, parse_overrides(assignments or []))
    folder = out or Path("runs") / path.stem
    plans = plan(trials, folder, data, threads)
    if dry_run:
        check_unchanged(plans, folder, threads)
        if as_json:
            print_json(
                [
                    {"trial": p.trial.name, "state": p.state, "command": ["acz", *p.job.first], "folder": p.job.folder}
                    for p in plans
                ]
            )
            return
        rows = [
            [p.trial.name, p.trial.base, p.trial.backend, f"{p.trial.config.spec.parameter_count:,}", p.state]
            for p in plans
        ]
        print_table(["trial", "configuration", "backend", "parameters", "state"], rows, right={3})
        return
    if engine == "ray":
        asked = {"CPU": float(threads), **_amounts(resources or [])}
        run = partial(run_on_ray, address, asked, 3 if retries is None else retries)
    else:
        on_cpu = all(trial.device == "CPU" for trial in trials)
        run = partial(run_here, jobs or (max(1, cores() // threads) if on_cpu else 1))
    with progress() as shown:
        done = sweep(path.stem, plans, folder, threads, run, shown)
    if as_json:
        print_json(done)
    else:
        rows = [
            [row["trial"], row["status"], *(_number(row[name]) for name in ("best_top1", "best_gap", "best_epoch"))]
            for row in done["trials"]
        ]
        print_table(["trial", "status", "best top-1", "best GAP", "at epoch"], rows, right={2, 3, 4})
        print(f"{done['csv']}" + (f", {done['report']}" if done["report"] else ""))
    if done["failed"]:
        lines = [f"  {name}: {words}" for name, words in done["failed"].items()]
        raise CheckFailed(
            f"{len(lines)} of {len(plans)} trials failed; logs are in {folder / 'logs'}, the same command tries them again:\n"
            + "\n".join(lines)
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
