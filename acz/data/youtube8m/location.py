"""The files of a YouTube-8M data set: which shards lie at a location, and which belong to a split."""

from __future__ import annotations

import filecmp
import glob
import json
import os
import re
from pathlib import Path
from typing import Any

from acz.data.absent import READ_NAMES, SETTINGS, contents_in_words
from acz.data.base import Location
from acz.data.folder import read_manifest, read_origin
from acz.foundation.errors import DataError

SHARD = re.compile(r"(?!\.)(.*\.tfrecords?(-\d+-of-\d+)?(\.gz)?|(train|valid|test).*\.pkl)", re.DOTALL | re.IGNORECASE)
"""Names of shards, as the official download, TensorFlow Datasets and others end them, and of the pickles that
PaddlePaddle's converter makes of shards."""
WORDS = {"train": r"train", "validate": r"valid(ate|ation)?|(val|eval|dev)(?![a-z])", "test": r"test"}
"""The words by which names tell the splits."""
PREFIXES = {"train": ("train",), "test": ("validate", "test")}
"""The words that each split reads; the first one that some shard has counts."""
NUMBERED = re.compile(r"(.*)-(\d{1,9})-of-(\d{1,9})(?:\.gz)?", re.DOTALL)
"""Names of shards that say their number and how many there are."""
HEAD = 4096
"""The first bytes of shards of one size, by which they are told apart."""
DEEPEST = 3
"""Folders below a location in which shards are looked for."""
CONVERTED = "youtube-8m"
"""The name that the manifest of a converted folder gives as its origin."""
SYNTHETIC = "synthetic YouTube-8M"
"""The name that the settings of a synthesis give."""


def shards_at(location: Location) -> list[Path]:
    """The shards of a folder, a glob, a file or a list of these, sorted; the list may be empty.

    Where a folder holds no shard itself, those in its folders count, as in the official layout: frame/train/, and so on.

    Raises:
        DataError: The folders below hold shards of frames and shards of videos.
    """
    if not isinstance(location, (str, Path)):
        return sorted({shard for part in location for shard in shards_at(part)})
    path = Path(location)
    if path.is_dir():
        return _named_shards(list(path.iterdir())) or _shards_below(path)
    if path.is_file() or not glob.has_magic(str(location)):
        return _named_shards([path])
    return _named_shards([Path(name) for name in glob.glob(str(location))])


def shown_location(location: Location) -> str:
    """A location in a message."""
    return str(location) if isinstance(location, (str, Path)) else ", ".join(map(str, location))


def no_shards(location: Location) -> DataError:
    """The error for a location without shards: what is there, and which names are read."""
    parts = [location] if isinstance(location, (str, Path)) else list(location)
    first = next((part for part in parts if not Path(part).is_dir()), parts[0])
    about = contents_in_words(first) if len(parts) == 1 else f"{first}: {contents_in_words(first)}"
    return DataError(f"{shown_location(location)}: no shards are there: {about}; read are {READ_NAMES}")


def _named_shards(candidates: list[Path]) -> list[Path]:
    # a link to a file that is gone counts as a shard: whoever opens it learns that it can't be read
    return sorted(
        file.absolute() for file in candidates if SHARD.fullmatch(file.name) and (file.is_file() or file.is_symlink())
    )


def _shards_below(folder: Path) -> list[Path]:
    shards: list[Path] = []
    for depth in range(1, DEEPEST + 1):
        shards += _named_shards([path for path in folder.glob("*/" * depth + "*") if path.suffix != ".pkl"])
    levels = {part.lower() for path in shards for part in path.relative_to(folder.absolute()).parts[:-1]}
    if {"frame", "video"} <= levels:
        raise DataError(f"{folder}: holds shards of frames and shards of videos; name its folder frame or video")
    return sorted(path for path in shards if not path.relative_to(folder.absolute()).parts[0].startswith("."))


def word_of(shard: Path, root: Path) -> str | None:
    """The split that names tell: the beginning of the shard's name, a word in it, or a folder between `root` and it."""
    name = shard.name.lower()
    folders = shard.relative_to(root).parts[-2::-1] if shard.is_relative_to(root) else ()
    for word, pattern in WORDS.items():
        if re.match(pattern, name):
            return word
    for word, pattern in WORDS.items():
        if re.search(rf"[-_.]({pattern})[-_.]", name) or any(re.fullmatch(pattern, part.lower()) for part in folders):
            return word
    return None


def words_of(location: Location, shards: list[Path]) -> list[str | None]:
    """The split of each shard of a location, as `word_of` tells it."""
    alone = isinstance(location, (str, Path)) and Path(location).is_dir()
    root = Path(str(location)).absolute() if alone else Path(os.path.commonpath([path.parent for path in shards]))
    return [word_of(path, root) for path in shards]


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


def _refuse_copies(shards: list[Path]) -> None:
    """Raise DataError where two shards of a split have the same content. Only those of one size are opened."""
    by_size: dict[int, list[Path]] = {}
    for path in shards:
        by_size.setdefault(path.stat().st_size if path.is_file() else 0, []).append(path)
    for size, alike in by_size.items():
        seen: dict[bytes, list[Path]] = {}
        for path in alike if size and len(alike) > 1 else ():
            with path.open("rb") as file:
                others = seen.setdefault(file.read(HEAD), [])
            for first in others:
                if filecmp.cmp(first, path, shallow=False):
                    raise DataError(f"{first} and {path.name} are the same shard; remove one")
            others.append(path)


def missing_shards(shards: list[Path]) -> dict[str, int]:
    """The first shard that is not there of each numbered set, and how many are not.

    Names such as NAME-00000-of-00002 say how many shards there are.
    """
    sets = {(path.parent, match[1], match[3]) for path in shards if (match := NUMBERED.fullmatch(path.name))}
    missing = {}
    for folder, name, total in sorted(sets):
        beside = (NUMBERED.fullmatch(path.name) for path in folder.iterdir())
        numbers = {int(match[2]) for match in beside if match and (match[1], match[3]) == (name, total)}
        count = int(total) - len(numbers)
        if count > 0:
            first = next(number for number in range(int(total)) if number not in numbers)
            missing[f"{folder / name}-{first:0{len(total)}d}-of-{total}"] = count
    return missing


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

    The split `test` has the validation shards, or else the test shards. Shards whose names tell no split
    belong to every split. Raises DataError where no shard belongs to it, or one is there twice.
    """
    shards = shards_at(location)
    shown = shown_location(location)
    if not shards:
        raise no_shards(location)
    refuse_repeated(shards)
    words = words_of(location, shards)
    prefixes = PREFIXES.get(name, (name,))
    for wanted in (*prefixes, None):
        if chosen := [path for path, word in zip(shards, words, strict=True) if word == wanted]:
            _refuse_copies(chosen)
            return chosen
    raise DataError(
        f"{shown}: {len(shards)} shards, from {shards[0].name} on, and none begins with {' or '.join(prefixes)}, "
        f"as those of the split '{name}' do; give a folder or a glob that has both splits, or another --split"
    )


def name_in_files(location: Location, shard: Path) -> str | None:
    """The split that names tell of one shard of a location."""
    shards = shards_at(location)
    return words_of(location, shards)[shards.index(shard)]


def converted_split(folder: Path, name: str) -> str:
    """The name of a split in a converted folder: that of `test` is validate, where there is one, as it is of shards."""
    names = read_manifest(folder).splits
    return next((prefix for prefix in PREFIXES.get(name, ()) if prefix in names), name)


def shards_by_split(location: Location) -> dict[str, list[Path]]:
    """The shards of each split by its word: train, validate or test.

    Shards whose names tell no split belong to `test`.

    Raises DataError where a shard is there twice.
    """
    shards = shards_at(location)
    refuse_repeated(shards)
    splits: dict[str, list[Path]] = {word: [] for word in WORDS}
    for path, word in zip(shards, words_of(location, shards) if shards else [], strict=True):
        splits[word or "test"].append(path)
    for chosen in splits.values():
        _refuse_copies(chosen)
    return {word: chosen for word, chosen in splits.items() if chosen}


def names_of_before(splits: dict[str, list[Path]], folder: Path) -> dict[str, list[Path]]:
    """The splits by the names under which an older version began to convert them in a folder.

    Without test shards, it gave the validation shards the name `test`. Other folders change nothing.
    """
    older = {"test" if word == "validate" else word: shards for word, shards in splits.items()}
    begun = read_settings(folder).get("shards")
    return older if begun == {word: [path.name for path in shards] for word, shards in older.items()} else splits


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that a folder was made with; empty where it does not say."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def count_classes(location: Location) -> int | None:
    """The number of classes of a folder that was converted or synthesized here, or of a glob or shards in one.

    None where the files do not say, or say several numbers. Raises DataError where the manifest of a converted folder is damaged.
    """
    if not isinstance(location, (str, Path)):
        counts = {count_classes(part) for part in location}
        return counts.pop() if len(counts) == 1 else None
    path = Path(location)
    if is_converted(path):
        origin = read_manifest(path).made.get("reading")
    else:
        origin = read_settings(path if path.is_dir() else path.parent)
        origin = origin if origin.get("what") == SYNTHETIC else None
    classes = origin.get("classes") if isinstance(origin, dict) else None
    return classes if isinstance(classes, int) else None
