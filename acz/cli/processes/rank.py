"""The process of one rank, where several share a call of the API."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from acz.foundation.processes.environment import configure_process, end_process


def main(call: str, threads: str) -> None:
    """Make the call that a file holds. The process that started this one wrote it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored,
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # and Ray blocks it
    configure_process(int(threads))
    from acz.api.results import answer_call

    end_process(answer_call(Path(call)))


if __name__ == "__main__":
    main(*sys.argv[1:3])
