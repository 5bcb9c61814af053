"""Where the files of a YouTube-8M data set are."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from acz.data.folder import read_manifest
from acz.foundation.errors import DataError

Location: TypeAlias = "Path | str | Sequence[Path | str]"
SHARD = re.compile(r"(?!\.)(.*\.tfrecord(\.gz)?|(train|validate|test).*\.pkl)", re.DOTALL)
"""Names of shards, and of the pickles that PaddlePaddle's converter makes of them."""
PREFIXES = {"train": ("train",), "test": ("validate", "test")}
"""How the names of a split's files begin; the first of these that there is."""
CONVERTED = "youtube-8m"
"""What the manifest of a converted folder says of itself."""


def shards_at(where: Location) -> list[Path]:
    """The shards of a folder, a glob, a file or a list of these, sorted; none where there are none."""
    if not isinstance(where, (str, Path)):
        return sorted({shard for one in where for shard in shards_at(one)})
    path = Path(where)
    if path.is_dir():
        found = list(path.iterdir())
    elif path.is_file() or not glob.has_magic(str(where)):
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(str(where))]
    return sorted(one.absolute() for one in found if SHARD.fullmatch(one.name) and one.is_file())


def is_converted(where: Location) -> bool:
    """Whether this is a folder that `acz data youtube8m convert` made. Raises DataError where its manifest is damaged."""
    if not isinstance(where, (str, Path)) or not (Path(where) / "manifest.json").is_file():
        return False
    return read_manifest(Path(where)).made.get("what") == CONVERTED


def is_youtube8m(where: Location) -> bool:
    """Whether this is YouTube-8M, and not another data set."""
    if not isinstance(where, (str, Path)):
        return True
    path = Path(where)
    if (path / "manifest.json").is_file():
        return is_converted(path)
    return bool(shards_at(where)) or (glob.has_magic(str(where)) and not path.exists())


def split_of(where: Location, name: str) -> list[Path]:
    """The shards of a split: those of `train` begin with train; those of `test` with validate, or with test where none does.

    Shards whose names begin in no such way belong to whatever is asked for. Raises DataError where there are none.
    """
    found = shards_at(where)
    shown = str(where) if isinstance(where, (str, Path)) else ", ".join(map(str, where))
    if not found:
        raise DataError(f"{shown}: no shards (*.tfrecord, *.tfrecord.gz) are there")
    prefixes = PREFIXES.get(name, (name,))
    for prefix in prefixes:
        if chosen := [path for path in found if path.name.startswith(prefix)]:
            return chosen
    known = tuple(prefix for several in PREFIXES.values() for prefix in several)
    if chosen := [path for path in found if not path.name.startswith(known)]:
        return chosen
    raise DataError(
        f"{shown}: {len(found)} shards, from {found[0].name} on, and none begins with {' or '.join(prefixes)}, as those of "
        f"the split '{name}' do; give a folder or a glob that has both splits, or another --split"
    )


SETTINGS = "settings.json"


SYNTHETIC = "synthetic YouTube-8M"
"""What the settings of a synthesis say of themselves."""


def read_settings(folder: Path) -> dict[str, Any]:
    """What was asked for; empty where a folder does not say."""
    try:
        held = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def classes_of(where: Path) -> int | None:
    """How many classes a folder that was converted or synthesized here has, or that of a glob or a shard; none where it does not say.

    Raises DataError where the manifest of a converted one is damaged.
    """
    if is_converted(where):
        about = read_manifest(where).made.get("reading")
    else:
        about = read_settings(where if where.is_dir() else where.parent)
        about = about if about.get("what") == SYNTHETIC else None
    classes = about.get("classes") if isinstance(about, dict) else None
    return classes if isinstance(classes, int) else None
