"""Settings of this process: threads, which the frameworks read when they are imported, and memory."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
at_once = False
"""True where this process ends without taking Python down first, because a framework's threads would abort in that."""


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def configure_process(threads: int) -> None:
    """Set the number of threads for the libraries that read it at import, and let glibc keep large blocks of memory.

    Threads that wait give up their core. Spinning gains nothing on a machine of one's own; on a shared machine a step
    of the frame extractor takes 110 ms with spinning and 20 ms without.

    By default glibc returns every freed block above 32 MB to the system, and gets its pages again at the next use. That
    takes up to half of the time of a forward pass on many frames.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux":
        import ctypes

        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):
            return  # another C library
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def end_process(code: int) -> NoReturn:
    """End this process at once, with all output written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
