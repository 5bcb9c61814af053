"""A folder belongs to one conversion or synthesis: what was asked for is written into it first, and read again later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acz.data.features import read_manifest
from acz.data.youtube8m.where import is_converted
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_json

SETTINGS = "settings.json"
SYNTHETIC = "synthetic YouTube-8M"
"""What the settings of a synthesis say of themselves."""


def _read(folder: Path) -> dict[str, Any]:
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
        about = _read(where if where.is_dir() else where.parent)
        about = about if about.get("what") == SYNTHETIC else None
    classes = about.get("classes") if isinstance(about, dict) else None
    return classes if isinstance(classes, int) else None


def claim(folder: Path, asked: dict[str, Any]) -> None:
    """Take a folder. Raises DataError where it was made with other settings, or holds other files."""
    path = folder / SETTINGS
    if path.is_file():
        held, asked = _read(folder), json.loads(json.dumps(asked))
        different = [key for key in asked if key not in held or held[key] != asked[key]]
        if different:
            raise DataError(
                f"{folder} was begun with other settings ({', '.join(different)}); choose another --out, or remove it"
            )
        return
    if any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise DataError(f"{folder} holds other files; choose another --out")
    write_json(path, asked)
