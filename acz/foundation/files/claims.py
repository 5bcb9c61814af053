"""A folder that belongs to one task: the settings are written into it first, and compared when the task is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_json


def claim_folder(folder: Path, name: str, settings: Mapping[str, Any]) -> None:
    """Take a folder for a task, or find that it is the task's already. Only while the folder is locked.

    Args:
        folder: The folder; it may be missing.
        name: The file in it that holds the settings.
        settings: Everything that determines what the task writes, as JSON knows it.

    Raises:
        DataError: The folder was begun with other settings, or holds other files.
    """
    path = folder / name
    if not path.is_file():
        if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise DataError(f"{folder} holds other files; choose another --out")
        write_json(path, settings)
        return
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(former, dict):
            raise ValueError("it is not a mapping")
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}; remove {folder} and start again") from None
    wanted = json.loads(json.dumps(settings))
    changes = [
        f"{key} was {former.get(key)}, is {wanted.get(key)}"
        for key in {**wanted, **former}
        if key not in former or key not in wanted or former[key] != wanted[key]
    ]
    if changes:
        raise DataError(
            f"{folder} was begun with other settings ({', '.join(changes)}); "
            "finish it with those, choose another --out, or remove it"
        )
