"""A folder belongs to one conversion or synthesis: what was asked for is written into it first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acz.data.features import write_json
from acz.errors import DataError

SETTINGS = "settings.json"


def claim(folder: Path, asked: dict[str, Any]) -> None:
    """Take a folder. Raises DataError where it was made with other settings, or holds other files."""
    path = folder / SETTINGS
    if path.is_file():
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            held = None
        asked = json.loads(json.dumps(asked))
        different = [key for key in asked if not isinstance(held, dict) or held.get(key) != asked[key]]
        if different:
            raise DataError(
                f"{folder} was begun with other settings ({', '.join(different)}); choose another --out, or remove it"
            )
        return
    if any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise DataError(f"{folder} holds other files; choose another --out")
    write_json(path, asked)
