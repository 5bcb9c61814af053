"""The process of one rank, where several share a call of the API."""

from __future__ import annotations

import sys
from pathlib import Path

from acz.foundation.processes.environment import configure_process


def main(call: str, threads: str) -> None:
    """Make the call that a file holds. The process that started this one wrote it."""
    configure_process(int(threads))
    from acz.api.results import answer_call

    sys.exit(answer_call(Path(call)))


if __name__ == "__main__":
    main(*sys.argv[1:3])
