"""The start of `acz` and of `python -m acz`."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line. Ctrl-C is one line and exit code 130, also while modules are being imported."""
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
        # only Python's own exit is left: a Ctrl-C in it would look like a crash
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave() -> None:
    """Exit at once.

    A Ctrl-C inside `exec`, as in the making of a dataclass, would otherwise end Python by the signal later.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
