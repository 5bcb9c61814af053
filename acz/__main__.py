"""The start of `acz` and of `python -m acz`."""

from __future__ import annotations

import signal
import sys

from acz.foundation.processes import environment
from acz.foundation.processes.environment import end_process

INTERRUPTED = 130


def main() -> None:
    """Run the command line. Ctrl-C is one line and exit code 130, also while modules are being imported."""
    try:
        from acz.cli import main as run

        run()
    except KeyboardInterrupt:
        print("acz: interrupted", file=sys.stderr)
        end_process(INTERRUPTED)
    except SystemExit as end:
        code = end.code or 0
        # a Ctrl-C inside `exec`, as in the making of a dataclass, would otherwise end Python by the signal later
        if code == INTERRUPTED or (environment.at_once and isinstance(code, int)):
            end_process(int(code))
        raise
    finally:
        # only Python's own exit is left: a Ctrl-C in it would look like a crash
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
