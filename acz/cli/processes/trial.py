"""The process of one trial of a sweep."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from acz.foundation.errors import DataError
from acz.foundation.files.locks import wait_for_folder


def _follow() -> None:
    """Stop this process, as Ctrl-C does, when the sweep closes the pipe or dies."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Read the job of the trial from standard input, and run its command."""
    from acz.cli import main as command_line

    with open(0, "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()
    if not line:
        return
    job = json.loads(line)
    threading.Thread(target=_follow, daemon=True).start()
    folder = Path(job["folder"])
    try:
        wait_for_folder(folder, job["grace"])
    except DataError as error:
        sys.exit(f"acz: {error}")
    sys.argv = ["acz", *(job["resume"] if (folder / "run.json").is_file() else job["start"])]
    command_line()


if __name__ == "__main__":
    main()
