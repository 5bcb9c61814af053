"""`acz data youtube8m ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import Json, print_json, print_table

youtube8m = typer.Typer(no_args_is_help=True, help="YouTube-8M: look at its shards, check, convert or imitate them.")

Shards = Annotated[list[str], typer.Argument(help="Shards (.tfrecord, .tfrecord.gz), globs, or folders of them.")]
Classes = Annotated[int, typer.Option(min=1, help="Labels are 0 .. classes - 1.")]
Unlabelled = Annotated[
    bool, typer.Option("--unlabelled", help="Videos without labels are no defect (the test shards).")
]
OnBadRecord = Annotated[str, typer.Option(help="fail: stop at the first bad record; skip: leave bad ones out.")]


@youtube8m.command("show")
def show(
    shards: Shards,
    videos: Annotated[int, typer.Option(min=0, help="How many videos to list.")] = 5,
    vocabulary: Annotated[
        Path | None, typer.Option(help="The official vocabulary.csv: names of the labels.", show_default=False)
    ] = None,
    classes: Classes = 3862,
    as_json: Json = False,
) -> None:
    """Count videos, frames and labels, and list the first videos."""
    from acz.data.vocabulary import read_labels

    about = _look(shards, classes, True, videos, read_labels(vocabulary) if vocabulary else None)
    if as_json:
        print_json(about)
        return
    frames, labels = about["frames"], about["labels"]
    print(f"{about['videos']:,} videos in {about['shards']:,} shards, {about['level']} level")
    if about["level"] == "frame":
        print(f"frames a video: {frames['fewest']:,} .. {frames['most']:,}, {frames['mean']:,} on average")
    print(f"labels: {labels['a_video']} a video, {labels['classes']:,} classes; the most frequent:")
    print_table(["label", "videos"], [[name, f"{count:,}"] for name, count in about["frequent"][:10]], right={1})
    if about["first"]:
        print()
        rows = [[one["id"], str(one["frames"]), ", ".join(one["labels"]) or "none"] for one in about["first"]]
        print_table(["id", "frames", "labels"], rows, right={1})
    _print_defects(about)


@youtube8m.command("verify")
def verify(
    shards: Shards,
    classes: Classes = 3862,
    unlabelled: Unlabelled = False,
    as_json: Json = False,
) -> None:
    """Compare every checksum and read every record; exit code 1 if any is bad."""
    about = _look(shards, classes, unlabelled)
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
    verify: Annotated[str, typer.Option(help="Checksums to compare: first (of each shard), all or none.")] = "all",
    classes: Classes = 3862,
    unlabelled: Unlabelled = False,
    as_json: Json = False,
) -> None:
    """Convert frame-level shards to memory-mapped arrays, which are read without parsing. Interrupted, the same command goes on."""
    from acz.data.youtube8m.dataset import open_records
    from acz.data.youtube8m.location import shards_at
    from acz.data.youtube8m.making.convert import convert as write
    from acz.data.youtube8m.settings import Reading
    from acz.foundation.errors import DataError
    from acz.foundation.progress import progress
    from acz.foundation.settings import validate

    given = {"on_bad_record": on_bad_record, "verify": verify, "classes": classes, "unlabelled": unlabelled}
    reading = validate(Reading, given, "options")
    found = [path for path in shards_at(shards) if path.suffix != ".pkl"]
    train = [path for path in found if path.name.startswith("train")]
    splits = {"train": train, "test": [path for path in found if path not in train]}
    sources = {split: open_records(paths, reading) for split, paths in splits.items() if paths}
    if not sources or any(source.criteria.level != "frame" for source in sources.values()):
        raise DataError(f"{', '.join(shards)}: no frame-level shards (*.tfrecord, *.tfrecord.gz) are there")
    about = {"shards": {split: [path.name for path in paths] for split, paths in splits.items()}, "reading": given}
    with progress() as shown:
        count = write(sources, out, about, lambda done, total: shown("converting", done, total))
    if as_json:
        print_json({"folder": str(out), "videos": count})
    else:
        print(f"{out}: {count:,} videos; --data {out} reads them")


@youtube8m.command("synthesize")
def synthesize(
    videos: Annotated[int, typer.Option(min=1, help="Training videos.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    validation: Annotated[int | None, typer.Option(min=1, help="Validation videos.", show_default="a tenth")] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Training shards.", show_default="one for 500 videos")
    ] = None,
    frames: Annotated[tuple[int, int], typer.Option(help="Fewest and most frames of a video.")] = (40, 120),
    classes: Annotated[int, typer.Option(min=1, help="Labels are 0 .. classes - 1.")] = 3862,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
    as_json: Json = False,
) -> None:
    """Write frame-level shards in the official format whose labels can be learnt from the few frames that show them."""
    from acz.data.youtube8m.making.synthesize import Synthesis
    from acz.data.youtube8m.making.synthesize import synthesize as write
    from acz.foundation.progress import progress

    tested = validation or max(videos // 10, 1)
    asked = Synthesis(videos, tested, shards or -(-videos // 500), -(-tested // 500), seed, frames, classes)
    with progress() as shown:
        size = write(asked, out, lambda done, total: shown("writing videos", done, total))
    if as_json:
        print_json({"folder": str(out), "videos": videos, "validation": tested, "bytes": size})
    else:
        print(f"{out}: {videos:,} training and {tested:,} validation videos, {size / 1e6:,.0f} MB")


def _look(
    shards: list[str], classes: int, unlabelled: bool, videos: int = 0, names: list[str] | None = None
) -> dict[str, Any]:
    """Read all of some shards."""
    from acz.data.youtube8m.location import shards_at
    from acz.data.youtube8m.shards.summary import criteria_for, look_at
    from acz.foundation.errors import DataError
    from acz.foundation.progress import progress

    paths = [path for path in shards_at(shards) if path.suffix != ".pkl"]
    if not paths:
        raise DataError(f"{', '.join(shards)}: no shards (*.tfrecord, *.tfrecord.gz) are there")
    with progress() as shown:
        return look_at(
            paths,
            criteria_for(paths, classes, unlabelled),
            videos,
            names,
            lambda done, total: shown("reading every record", done // 2**20, total // 2**20, "MiB"),
        )


def _print_defects(about: dict[str, Any]) -> None:
    from acz.data.youtube8m.shards.check import CUT

    if about[CUT]:
        print(f"{about[CUT]:,} videos have {CUT}, and are cut")
    if about["defects"]:
        print()
        print_table(
            ["defect", "records"], [[kind, f"{n:,}"] for kind, n in sorted(about["defects"].items())], right={1}
        )
        print("\n".join(about["named"]))
