"""Texts of strangers, such as the ids of videos: UTF-8, with any other bytes kept as they are."""

from __future__ import annotations

OTHER_BYTES = "surrogateescape"
"""The treatment of bytes that are no UTF-8: each becomes a lone surrogate, which becomes the same byte again."""


def decode_text(content: bytes) -> str:
    """Decode UTF-8; `encode_text` gives the same bytes back, whatever they are."""
    return content.decode("utf-8", OTHER_BYTES)


def encode_text(text: str) -> bytes:
    """Encode as UTF-8, and what `decode_text` kept of other bytes as these bytes."""
    return text.encode("utf-8", OTHER_BYTES)


def is_utf8(text: str) -> bool:
    """Tell whether a text holds no bytes other than UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
