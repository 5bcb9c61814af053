"""The commands `acz data youtube8m ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from acz.cli.options import ClassNames, Json, OldVocabulary, print_json, print_table

youtube8m = typer.Typer(no_args_is_help=True, help="YouTube-8M: show, verify, convert or synthesize its shards.")

Shards = Annotated[list[str], typer.Argument(help="Shards (.tfrecord, .tfrecord.gz), globs, or folders of shards.")]
Classes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="The labels are 0 .. classes - 1.",
        show_default="as in a synthesized folder, else the official 3862",
    ),
]
Unlabelled = Annotated[bool, typer.Option("--unlabelled", help="Accept videos without labels, as in the test shards.")]
OnBadRecord = Annotated[str, typer.Option(help="fail: stop at the first bad record. skip: leave out bad records.")]


@youtube8m.command("show")
def show(
    shards: Shards,
    videos: Annotated[int, typer.Option(min=0, help="Number of videos to list.")] = 5,
    class_names: ClassNames = None,
    vocabulary: OldVocabulary = None,
    classes: Classes = None,
    as_json: Json = False,
) -> None:
    """Count videos, frames and labels, and list the first videos."""
    from acz.api.data.youtube8m import describe_youtube8m

    about = describe_youtube8m(
        shards, classes=classes, unlabelled=True, videos=videos, class_names=class_names or vocabulary
    )
    if as_json:
        print_json(about)
        return
    frames, labels = about["frames"], about["labels"]
    print(f"{about['videos']:,} videos in {about['shards']:,} shards, {about['level']} level")
    print(f"features: {', '.join(f'{name} {width}' for name, width in about['features'].items())}")
    if about["level"] == "frame":
        print(f"frames a video: {frames['fewest']:,} .. {frames['most']:,}, {frames['mean']:,} on average")
    print(f"labels: {labels['a_video']} a video, {labels['classes']:,} classes; the most frequent:")
    print_table(["label", "videos"], [[name, f"{count:,}"] for name, count in about["frequent"][:10]], right={1})
    if about["first"]:
        print()
        rows = [[v["id"], str(v["frames"]), ", ".join(v["labels"]) or "none"] for v in about["first"]]
        print_table(["id", "frames", "labels"], rows, right={1})
    _print_defects(about)


@youtube8m.command("verify")
def verify(
    shards: Shards,
    classes: Classes = None,
    unlabelled: Unlabelled = False,
    as_json: Json = False,
) -> None:
    """Compare every checksum and read every record. The exit code is 1 if a record is bad."""
    from acz.api.data.youtube8m import describe_youtube8m

    about = describe_youtube8m(shards, classes=classes, unlabelled=unlabelled)
    bad = sum(about["defects"].values())
    if as_json:
        print_json({key: about[key] for key in ("shards", "level", "videos", "defects", "named")} | {"whole": not bad})
    else:
        print(f"{about['shards']:,} shards, {about['videos']:,} good videos, {bad:,} bad records")
        _print_defects(about)
    if bad:
        raise typer.Exit(1)


@youtube8m.command("convert")
def convert(
    shards: Shards,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    on_bad_record: OnBadRecord = "fail",
    verify: Annotated[str, typer.Option(help="The checksums to compare: first (of each shard), all or none.")] = "all",
    classes: Classes = None,
    unlabelled: Unlabelled = False,
    as_json: Json = False,
) -> None:
    """Convert shards of frames or of videos to memory-mapped arrays, which are read without parsing.

    After an interruption, the same command resumes.
    """
    from acz.api.data.youtube8m import convert_youtube8m

    count = convert_youtube8m(
        shards, out, on_bad_record=on_bad_record, verify=verify, classes=classes, unlabelled=unlabelled
    )
    if as_json:
        print_json({"folder": str(out), "videos": count})
    else:
        print(f"{out}: {count:,} videos; --data {out} reads them")


@youtube8m.command("synthesize")
def synthesize(
    videos: Annotated[int, typer.Option(min=1, help="Number of training videos.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    validation: Annotated[
        int | None, typer.Option(min=1, help="Number of validation videos.", show_default="a tenth")
    ] = None,
    test: Annotated[int, typer.Option(min=0, help="Number of test videos, which have no labels.")] = 0,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Number of training shards.", show_default="one for 500 videos")
    ] = None,
    level: Annotated[
        Literal["frame", "video"],
        typer.Option(
            help="frame: frames. video: the means over each video's frames, for models of video-level shards."
        ),
    ] = "frame",
    frames: Annotated[tuple[int, int], typer.Option(help="The fewest and the most frames of a video.")] = (40, 120),
    classes: Annotated[int, typer.Option(min=1, help="The labels are 0 .. classes - 1.")] = 3862,
    segments: Annotated[
        bool, typer.Option("--segments", help="Rate segments of five frames, as the shards of the challenge of 2019.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Write shards in the official format.

    Few frames of a video show its labels, so that models can learn.
    """
    from acz.api.data.youtube8m import synthesize_youtube8m

    size = synthesize_youtube8m(
        out,
        videos,
        validation=validation,
        test=test,
        shards=shards,
        level=level,
        segments=segments,
        frames=frames,
        classes=classes,
        seed=seed,
    )
    tested = validation or max(videos // 10, 1)
    if as_json:
        print_json({"folder": str(out), "videos": videos, "validation": tested, "test": test, "bytes": size})
    else:
        unlabelled = f" and {test:,} test videos without labels" if test else ""
        print(f"{out}: {videos:,} training and {tested:,} validation videos{unlabelled}, {size / 1e6:,.0f} MB")


def _print_defects(about: dict[str, Any]) -> None:
    from acz.api.data.youtube8m import cut_videos

    for line in cut_videos(about):
        print(line)
    if about["defects"]:
        print()
        print_table(
            ["defect", "records"], [[kind, f"{n:,}"] for kind, n in sorted(about["defects"].items())], right={1}
        )
        print("\n".join(about["named"]))
