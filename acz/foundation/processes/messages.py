"""Messages over a connection: a header in JSON, and bytes."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

LARGEST = 2**32
"""Bytes of a message, at most."""
LARGEST_HEADER = 2**20


def send(connection: socket.socket, header: Mapping[str, Any], payload: bytes = b"") -> None:
    """Send a message. Raises OSError where the connection is gone."""
    text = json.dumps({**header, "size": len(payload)}).encode()
    connection.sendall(len(text).to_bytes(4, "big") + text + payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """One message. Raises EOFError where the connection ended, and ValueError for what is no message."""
    length = int.from_bytes(_read(connection, 4), "big")
    if length > LARGEST_HEADER:
        raise ValueError("no message of acz")
    header = json.loads(_read(connection, length))
    if not 0 <= header["size"] <= LARGEST:
        raise ValueError("no message of acz")
    return header, _read(connection, header["size"])


def _read(connection: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = connection.recv(min(count, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
