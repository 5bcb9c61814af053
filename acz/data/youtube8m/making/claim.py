"""A folder belongs to one conversion or synthesis: what was asked for is written into it first, and read again later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acz.data.youtube8m.location import SETTINGS, read_settings
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_json


def claim(folder: Path, asked: dict[str, Any]) -> None:
    """Take a folder. Raises DataError where it was made with other settings, or holds other files."""
    path = folder / SETTINGS
    if path.is_file():
        held, asked = read_settings(folder), json.loads(json.dumps(asked))
        different = [key for key in asked if key not in held or held[key] != asked[key]]
        if different:
            raise DataError(
                f"{folder} was begun with other settings ({', '.join(different)}); choose another --out, or remove it"
            )
        return
    if any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise DataError(f"{folder} holds other files; choose another --out")
    write_json(path, asked)
