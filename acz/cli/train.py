"""`acz train` and `acz eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.common import Backend, Device, Json, Set, Threads, default_backend, print_json
from acz.process import cores, prepare

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
    as_json: Json = False,
) -> None:
    """Train a model; evaluates after each epoch and keeps the best checkpoint by top-1.

    With nothing given it trains the attention cluster on scikit-learn's digits, and makes that data set first.
    """
    prepare(threads or cores())
    from acz.backend import check_device, find_backend
    from acz.config import load_config, parse_overrides
    from acz.errors import DataError, SpecError
    from acz.runs import latest_run, new_run_folder, read_run
    from acz.train import new_run, resumed_run, train

    if resume:
        if assignments or config:
            raise SpecError(
                "--resume goes on with the run's own configuration; leave out CONFIG and --set, or start anew"
            )
        folder = out or latest_run()
        if threads is None:
            prepare(int(read_run(folder)["threads"]))
        run = resumed_run(folder, backend, device, data, threads)
        check_device(find_backend(run.backend), run.device)
    else:
        chosen = load_config(config or DEFAULT, parse_overrides(assignments or []))
        name = default_backend(backend)
        check_device(find_backend(name), device or "CPU")
        where = data or (Path(chosen.data.folder) if chosen.data else None)
        if where is None:
            raise DataError(f"{chosen.name} names no data; give a folder with --data")
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
        print(f"best top-1 {best['top1']:.4f} at epoch {best['epoch']}; {result['folder']}/best.safetensors")


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
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Evaluate a run's best checkpoint, or any checkpoint, on any backend: top-1, top-5, loss."""
    prepare(threads)
    from acz.backend import build, find_backend
    from acz.config import load_config
    from acz.data.features import Split
    from acz.errors import DataError
    from acz.evaluate import evaluate
    from acz.losses import OF_OUTPUT
    from acz.progress import progress
    from acz.runs import open_checkpoint

    checkpoint, path, run = open_checkpoint(target)
    name = backend or (run["backend"] if run else default_backend(None))
    where = data or (Path(run["data"]) if run else None)
    if where is None:
        raise DataError(f"{path} says nothing of data; give a folder with --data")
    recipe = load_config(run["config"]).recipe if run else None
    loss = (recipe and recipe.loss) or OF_OUTPUT.get(checkpoint.spec.output)
    examples = Split(where, split)
    examples.require(checkpoint.spec)
    found = find_backend(name)
    found.set_threads(threads)
    model = build(checkpoint.spec, name, checkpoint.parameters, device)
    done = 0
    with progress() as shown:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            shown(f"evaluating on {name}", done, len(examples))

        figures: dict[str, Any] = evaluate(found, model, checkpoint.spec, examples, loss, batch_size, advance)
    about = {"checkpoint": str(path), "spec_hash": checkpoint.spec.hash, "backend": name, "split": split}
    if as_json:
        print_json({**about, **figures})
        return
    loss_text = f"  loss {figures['loss']:.4f}" if "loss" in figures else ""
    print(
        f"{path} on {name}, {split}: top-1 {figures['top1']:.4f}  top-5 {figures['top5']:.4f}{loss_text}  "
        f"({figures['examples']:,.0f} videos)"
    )
