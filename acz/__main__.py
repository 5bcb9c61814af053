"""`python -m acz`, and what the command `acz` runs."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """The command line. Ctrl-C while it is still being imported is one line too, and its exit code stays what it is."""
    try:
        from acz.cli import main as run

        run()
    except KeyboardInterrupt:
        print("acz: interrupted", file=sys.stderr)
        _leave()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave()
        raise
    finally:
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # all is done but Python's own end, which Ctrl-C would make look like a crash


def _leave() -> None:
    """Exit at once: a Ctrl-C that went through `exec`, as in the making of a dataclass, has Python end by the signal later on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
