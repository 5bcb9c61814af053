"""The commands `acz data videos` and `acz data features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, Threads, print_json, print_result, print_text
from acz.foundation.processes.environment import configure_process, cores


def extractor_names(incomplete: str) -> list[str]:
    """Complete the name of an extractor."""
    from acz.api.completion import complete_extractor

    return complete_extractor(incomplete)


Files = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the networks and matrices that the features need.",
        show_default="the current folder; that of a YAML file",
    ),
]


def videos_command(
    paths: Annotated[list[Path], typer.Argument(help="Video files, and folders that are searched for them.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    features: Annotated[
        str,
        typer.Option(
            help="The extractor of features: a name that 'acz data features' lists, or a YAML file.",
            autocompletion=extractor_names,
        ),
    ] = "efficientnet_lite0",
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns file and label, and perhaps split. Several labels: a line each, or with |.",
            show_default="each folder inside a folder is a class",
        ),
    ] = None,
    files: Files = None,
    hold_out: Annotated[
        float,
        typer.Option(min=0, max=1, help="The share of the videos, by the hash of their content, that validate."),
    ] = 0.2,
    fps: Annotated[float | None, typer.Option(help="Frames a second.", show_default="that of the features")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Seconds that are read of a video.", show_default="that of the features, 300")
    ] = None,
    shards: Annotated[
        bool, typer.Option("--shards", help="Write shards of YouTube-8M, of features that are its bytes.")
    ] = False,
    on_bad_video: Annotated[
        str, typer.Option(help="fail: stop at the first file that can't be read. skip: leave out such files.")
    ] = "fail",
    time_limit: Annotated[float, typer.Option(help="Seconds that the decoding of a file may take.")] = 600.0,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Make a data set of video files: decode them, and store the features of their frames and sound.

    After an interruption, the same command resumes. Files that are stored are not decoded again, also when others are
    added.
    """
    configure_process(threads)
    from acz.api.data.videos import make_videos

    made = make_videos(
        paths,
        out,
        features=features,
        labels=labels,
        files=files,
        hold_out=hold_out,
        fps=fps,
        seconds=seconds,
        shards=shards,
        on_bad_video=on_bad_video,
        time_limit=time_limit,
        threads=threads,
    )
    print_result(made, as_json)


def features_command(
    preset: Annotated[
        str | None,
        typer.Option(
            help="The extractor to check: a name, or a YAML file.",
            show_default="list all",
            autocompletion=extractor_names,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check the files that the extractor needs. The exit code is 1 if one is not right."
        ),
    ] = False,
    files: Files = None,
    as_json: Json = False,
) -> None:
    """List the extractors of features, or check the files that one needs: right file, wrong file, or missing."""
    from acz.api.data.videos import check_features, list_features
    from acz.foundation.errors import SpecError

    if preset is None:
        if check or files is not None:
            raise SpecError("--check and --files need --preset NAME, as in --preset youtube8m --check")
        known = list_features()
        if as_json:
            print_json(known)
        else:
            for name, about in known.items():
                print_text(f"{name}: {about}")
        return
    checked = check_features(preset, files)
    print_result(checked, as_json)
    if check and not checked.complete:
        raise typer.Exit(1)


def clips_command(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    count: Annotated[int, typer.Option(min=1, help="Number of clips; the ten digits take turns.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The seed of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Make small video files to try things with: moving digits on noise, with a tone for each digit.

    Each digit has a folder. After an interruption, the same command resumes.
    """
    from acz.api.data.videos import make_clips

    paths = make_clips(out, count, seed=seed)
    if as_json:
        print_json({"folder": str(out), "videos": len(paths)})
    else:
        print(f"{out}: {len(paths):,} videos; 'acz data videos {out} --out DIR' makes a data set of them")
