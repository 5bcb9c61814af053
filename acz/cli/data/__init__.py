"""The commands `acz data ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.data.arrays import from_arrays
from acz.cli.data.videos import clips_command, features_command, videos_command
from acz.cli.data.youtube8m import youtube8m
from acz.cli.options import (
    Backend,
    Device,
    Json,
    Sampling,
    Threads,
    backend_names,
    given_reading,
    print_json,
    run_folders,
)
from acz.foundation.processes.environment import configure_process, cores

data = typer.Typer(no_args_is_help=True, help="Make and check data sets.")
data.add_typer(youtube8m, name="youtube8m")
data.command("from-arrays")(from_arrays)
data.command("videos")(videos_command)
data.command("clips")(clips_command)
data.command("features")(features_command)


@data.command("flash-mnist")
def flash_mnist(
    mnist: Annotated[
        Path | None, typer.Option(help="Folder with the four IDX files of MNIST, gzipped or not.", show_default=False)
    ] = None,
    digits: Annotated[
        bool,
        typer.Option("--digits", help="Use the 1,797 digits of scikit-learn. This is the default without --mnist."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write.", show_default="data/flash-mnist, or data/flash-digits")
    ] = None,
    backend: Backend = None,
    device: Device = "CPU",
    videos_per_label: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of training videos of each of the 1,024 labels.", show_default="100; 20 of digits"
        ),
    ] = None,
    test_videos_per_label: Annotated[
        int | None, typer.Option(min=1, help="Number of test videos of each label.", show_default="10; 2 of digits")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of epochs of the extractor.", show_default="that of its configuration; 10 of digits"
        ),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL or CHECKPOINT",
            help="The model to train as the extractor, a name or a YAML file; or a checkpoint to use, and train none.",
            show_default="flash_mnist/extractor",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of everything random.")] = 0,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Make Flash-MNIST: train the frame extractor, build the videos, and store their features.

    After an interruption, the same command resumes.
    """
    configure_process(threads)
    from acz.api.data.flash_mnist import make_flash_mnist
    from acz.api.datasets import describe_data
    from acz.foundation.errors import SpecError

    if mnist is not None and digits:
        raise SpecError("--mnist and --digits are two sources of images; give only one")
    folder = make_flash_mnist(
        out,
        mnist,
        backend,
        device=device,
        videos_per_label=videos_per_label,
        test_videos_per_label=test_videos_per_label,
        epochs=epochs,
        extractor=extractor,
        seed=seed,
        threads=threads,
    )
    if as_json:
        print_json({"folder": str(folder), **describe_data(folder)})


@data.command("verify")
def verify_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a data set.")], as_json: Json = False
) -> None:
    """Compare every file of a data set with the hash in its manifest."""
    from acz.api.datasets import verify_data

    total = verify_data(folder)
    if as_json:
        print_json({"folder": str(folder), "examples": total, "whole": True})
    else:
        print(f"{folder}: {total:,} examples, every file is what was written")


@data.command("show")
def show_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a data set.")],
    video: Annotated[int, typer.Option(min=0, help="The number of the video in its split, from 0.")] = 0,
    split: Annotated[str, typer.Option(help="The split of the data set.")] = "test",
    out: Annotated[Path, typer.Option(help="The PNG file to write.")] = Path("strip.png"),
    run: Annotated[
        Path | None,
        typer.Option(
            help="The folder of a run, or a checkpoint: draws also the attention of its units.",
            show_default=False,
            autocompletion=run_folders,
        ),
    ] = None,
    mnist: Annotated[
        Path | None, typer.Option(help="Folder with the four IDX files of MNIST, if the videos were made from them.")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="The backend that computes the attention.", autocompletion=backend_names)
    ] = "numpy",
    sampling: Sampling = None,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Draw a video: its frames as a strip with its label, or its features.

    With --run the drawing also shows the attention of every unit.
    """
    configure_process(threads)
    from acz.api.datasets import show_video

    reading = given_reading(sampling)
    about = show_video(
        folder, video, split=split, out=out, run=run, mnist=mnist, backend=backend, reading=reading, threads=threads
    )
    if as_json:
        print_json(about)
    else:
        predicted = f", predicted {about['predicted']}" if about["predicted"] else ""
        print(f"{out}: video {video} of {split}, {about['label']}{predicted}")
