"""metrics.jsonl: written line by line, read back, taken back to a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.foundation.files.atomic import name_in_errors, write_text_atomically
from acz.training.tensorboard import FOLDER, Events


class Log:
    """metrics.jsonl, one JSON object a line, and the TensorBoard events beside it.

    Lines after the checkpoint that a run goes on from are taken back first, from both. Raises OSError.
    """

    def __init__(self, path: Path, keep_until_step: int) -> None:
        self.path = path
        kept = [line for line in read_log(path) if line["step"] <= keep_until_step] if path.is_file() else []
        write_text_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self.events = Events(path.parent / FOLDER, kept)
        self.file = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        with name_in_errors(self.path):
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
        with name_in_errors(self.path.parent / FOLDER):
            self.events.write(line)

    def sync(self) -> None:
        """Have the lines on disk: before the checkpoint that counts on them."""
        with name_in_errors(self.path):
            os.fsync(self.file.fileno())
        with name_in_errors(self.path.parent / FOLDER):
            self.events.sync()

    def close(self) -> None:
        with name_in_errors(self.path.parent / FOLDER):
            self.events.close()
        with name_in_errors(self.path):
            self.file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; one that was cut off, or is no record, is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines
