"""Texts of strangers, such as the ids of videos: UTF-8, with any other bytes kept as they are."""

from __future__ import annotations

import sys

import numpy as np

from acz.foundation.arrays import Array

OTHER_BYTES = "surrogateescape"
"""The treatment of bytes that are no UTF-8: each becomes a lone surrogate, which becomes the same byte again."""


def decode_text(content: bytes) -> str:
    """Decode UTF-8; `encode_text` gives the same bytes back, whatever they are."""
    return content.decode("utf-8", OTHER_BYTES)


def encode_text(text: str) -> bytes:
    """Encode as UTF-8, and what `decode_text` kept of other bytes as these bytes."""
    return text.encode("utf-8", OTHER_BYTES)


def texts_of(array: Array) -> list[str]:
    """The texts of an array of a file. Raises ValueError where one has a number that is not a character."""
    if array.dtype.itemsize and array.size:
        points = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if points.max() > sys.maxunicode:
            raise ValueError(f"a text has the number {points.max():,}, which is not a character")
    return [str(text) for text in array.tolist()]


def is_utf8(text: str) -> bool:
    """Tell whether a text holds no bytes other than UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
