"""The words about data that are not there: what lies at a location instead, and which names are read."""

from __future__ import annotations

import glob
from pathlib import Path

from acz.foundation.errors import DataError, nearest

READ_NAMES = "*.tfrecord, *.tfrecords, *.tfrecord.gz, NAME-train.tfrecord-00000-of-00001, or PaddlePaddle's train*.pkl"
"""The names of YouTube-8M's shards that are read, for messages."""
BUILDING = "building.json"
"""The settings of a build of Flash-MNIST, in its folder."""
SETTINGS = "settings.json"
"""The settings of a conversion or a synthesis, in its folder."""
MOST_LISTED = 5
"""Names of a folder that a message lists."""


def no_data_set(folder: Path) -> DataError:
    """The error for a folder without a manifest."""
    begun = next((place for place in (folder, folder.parent) if (place / BUILDING).is_file()), None)
    if begun:
        advice = f"'acz data flash-mnist --out {begun}' with the options of before resumes what was interrupted"
    elif (folder / SETTINGS).is_file():
        advice = "the same 'acz data youtube8m convert' or 'synthesize' as before resumes what was interrupted"
    else:
        advice = (
            f"read are a folder with manifest.json, feature_train*.pkl and feature_test*.pkl, and shards: {READ_NAMES}; "
            "'acz data from-arrays' makes a folder of your own features (docs/your-own-features.md)"
        )
    return DataError(f"{folder} holds no finished data set: {contents_in_words(folder)}; {advice}")


def contents_in_words(location: str | Path) -> str:
    """The things that lie at a location without data, or beside a location that is not there."""
    path = Path(location)
    if path.is_dir():
        return f"it holds {_names(path)}"
    if path.exists():
        return "it is a file of another kind"
    if glob.has_magic(str(location)):
        parent = next(parent for parent in path.parents if not glob.has_magic(str(parent)))
        return f"nothing there matches; {parent} {_holds(parent)}"
    parent = path.parent
    near = nearest(path.name, _entries(parent)) if parent.is_dir() else ""
    hint = near if near.startswith("did you mean") else f"{parent} {_holds(parent)}"
    return f"there is no such folder or file; {hint}"


def _holds(folder: Path) -> str:
    return f"holds {_names(folder)}" if folder.is_dir() else "is not there either"


def _entries(folder: Path) -> list[str]:
    """The names in a folder that are not hidden; those of folders end in a slash."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [f"{path.name}/" if path.is_dir() else path.name for path in entries if not path.name.startswith(".")]


def _names(folder: Path) -> str:
    """The first names in a folder, and the number of the others."""
    names = _entries(folder)
    more = f" and {len(names) - MOST_LISTED:,} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more if names else "nothing"
