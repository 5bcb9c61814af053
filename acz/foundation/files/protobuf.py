"""Protocol-buffer messages built at run time, and varints."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A number below 2^63 as the wire format has it: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes(found) + bytes([number])
