"""metrics.jsonl: it is written line by line, read, and shortened to a checkpoint."""

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

    Both first lose the lines after the checkpoint from which a run resumes.

    Args:
        path: metrics.jsonl.
        keep_until_step: the step of the checkpoint.

    Raises:
        OSError: a file cannot be written.
    """

    def __init__(self, path: Path, keep_until_step: int) -> None:
        self.path = path
        lines = [line for line in read_log(path) if line["step"] <= keep_until_step] if path.is_file() else []
        write_text_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))
        self.events = Events(path.parent / FOLDER, lines)
        self.file = path.open("a", encoding="utf-8")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line to both files. Raises OSError."""
        with name_in_errors(self.path):
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
        with name_in_errors(self.path.parent / FOLDER):
            self.events.write(line)

    def sync(self) -> None:
        """Force the lines to disk, before the checkpoint that relies on them. Raises OSError."""
        with name_in_errors(self.path):
            os.fsync(self.file.fileno())
        with name_in_errors(self.path.parent / FOLDER):
            self.events.sync()

    def close(self) -> None:
        """Close both files. Raises OSError."""
        with name_in_errors(self.path.parent / FOLDER):
            self.events.close()
        with name_in_errors(self.path):
            self.file.close()


class NoLog(Log):
    """The log of a process that writes none."""

    def __init__(self) -> None:
        pass

    def write(self, line: Mapping[str, Any]) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics file. Lines that are cut off, or not a record, are left out."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines
