"""Free ports of this host."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
TRIES = 100


def free_port(count: int = 1, address: str = LOOPBACK) -> int:
    """The first of `count` neighbouring ports that nobody listens at.

    Another program may take them before they are used.

    Raises:
        OSError: all are taken, or the address is not one of this host.
    """
    for attempt in range(TRIES):
        first = random.SystemRandom().randrange(20000, 32000 - count)  # below the ports that systems give to clients
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind((address, port))
            except OSError:
                if attempt == TRIES - 1:
                    raise
                continue
        return first
    raise AssertionError("unreachable")
