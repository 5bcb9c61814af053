"""`acz train` and `acz eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Backend, Json, OnBadRecord, Sampling, Set, Verify, Workers, given_settings, print_json
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
    from acz.api.reading import require_youtube8m
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
            from acz.api.datasets import make

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
