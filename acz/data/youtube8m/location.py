"""The files of a YouTube-8M data set: which shards lie at a location, and which belong to a split."""

from __future__ import annotations

import glob
import json
import re
from pathlib import Path
from typing import Any

from acz.data.base import Location
from acz.data.folder import read_manifest, read_origin
from acz.foundation.errors import DataError

SHARD = re.compile(r"(?!\.)(.*\.tfrecord(\.gz)?|(train|validate|test).*\.pkl)", re.DOTALL)
"""Names of shards, and of the pickles that PaddlePaddle's converter makes of them."""
PREFIXES = {"train": ("train",), "test": ("validate", "test")}
"""The beginnings of the file names of each split; the first one that some file has counts."""
CONVERTED = "youtube-8m"
"""The name that the manifest of a converted folder gives as its origin."""
SETTINGS = "settings.json"
SYNTHETIC = "synthetic YouTube-8M"
"""The name that the settings of a synthesis give."""


def shards_at(location: Location) -> list[Path]:
    """The shards of a folder, a glob, a file or a list of these, sorted; the list may be empty."""
    if not isinstance(location, (str, Path)):
        return sorted({shard for part in location for shard in shards_at(part)})
    path = Path(location)
    if path.is_dir():
        candidates = list(path.iterdir())
    elif path.is_file() or not glob.has_magic(str(location)):
        candidates = [path]
    else:
        candidates = [Path(name) for name in glob.glob(str(location))]
    # a link to a file that is gone counts as a shard: whoever opens it learns that it can't be read
    return sorted(
        file.absolute() for file in candidates if SHARD.fullmatch(file.name) and (file.is_file() or file.is_symlink())
    )


def refuse_repeated(shards: list[Path]) -> None:
    """Raise DataError where a shard is there twice: plain and packed, or under two names."""
    for first, other in repeated(shards):
        raise DataError(f"{first} and {other.name} are the same shard; remove one, or give a glob that has one of them")


def repeated(shards: list[Path]) -> list[tuple[Path, Path]]:
    """The pairs of shards that are one shard twice."""
    seen: dict[Path, Path] = {}
    pairs = []
    for path in shards:
        real = path.resolve()
        first = seen.setdefault(real.with_name(real.name.removesuffix(".gz")), path)
        if first is not path:
            pairs.append((first, path))
    return pairs


def is_converted(location: Location) -> bool:
    """Say whether this is a folder that `acz data youtube8m convert` made.

    Raises DataError where its manifest is damaged.
    """
    return isinstance(location, (str, Path)) and read_origin(Path(location)).get("what") == CONVERTED


def recognises(location: Location) -> bool:
    """Say whether the files at a location are YouTube-8M, and not another data set."""
    if not isinstance(location, (str, Path)):
        return True
    path = Path(location)
    if (path / "manifest.json").is_file():
        return is_converted(path)
    return bool(shards_at(location)) or (glob.has_magic(str(location)) and not path.exists())


def split_of(location: Location, name: str) -> list[Path]:
    """The shards of a split.

    Names of `train` begin with train; those of `test` with validate, or with test where no name begins with validate.
    Shards whose names begin with none of these words belong to every split. Raises DataError where no shard belongs to it.
    """
    shards = shards_at(location)
    shown = str(location) if isinstance(location, (str, Path)) else ", ".join(map(str, location))
    refuse_repeated(shards)
    if not shards:
        raise DataError(f"{shown}: no shards (*.tfrecord, *.tfrecord.gz) are there")
    prefixes = PREFIXES.get(name, (name,))
    for prefix in prefixes:
        if chosen := [path for path in shards if path.name.startswith(prefix)]:
            return chosen
    known = tuple(prefix for several in PREFIXES.values() for prefix in several)
    if chosen := [path for path in shards if not path.name.startswith(known)]:
        return chosen
    raise DataError(
        f"{shown}: {len(shards)} shards, from {shards[0].name} on, and none begins with {' or '.join(prefixes)}, "
        f"as those of the split '{name}' do; give a folder or a glob that has both splits, or another --split"
    )


def converted_split(folder: Path, name: str) -> str:
    """The name of a split in a converted folder: that of `test` is validate, where there is one, as it is of shards."""
    names = read_manifest(folder).splits
    return next((prefix for prefix in PREFIXES.get(name, ()) if prefix in names), name)


def shards_by_split(shards: list[Path]) -> dict[str, list[Path]]:
    """The shards of each split, by the word that their names begin with. Shards without such a word belong to `test`."""
    words = [prefix for several in PREFIXES.values() for prefix in several]
    splits: dict[str, list[Path]] = {word: [] for word in words}
    for path in shards:
        splits[next((word for word in words if path.name.startswith(word)), "test")].append(path)
    return {word: chosen for word, chosen in splits.items() if chosen}


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that a folder was made with; empty where it does not say."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def count_classes(location: Location) -> int | None:
    """The number of classes of a folder that was converted or synthesized here, or of a glob or a shard in one.

    None where the files do not say. Raises DataError where the manifest of a converted folder is damaged.
    """
    if not isinstance(location, (str, Path)):
        return None
    path = Path(location)
    if is_converted(path):
        origin = read_manifest(path).made.get("reading")
    else:
        origin = read_settings(path if path.is_dir() else path.parent)
        origin = origin if origin.get("what") == SYNTHETIC else None
    classes = origin.get("classes") if isinstance(origin, dict) else None
    return classes if isinstance(classes, int) else None
