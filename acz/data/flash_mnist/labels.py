"""Labels of Flash-MNIST in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

FLASH = "Flash-MNIST"


def is_flash_mnist(made: Mapping[str, Any]) -> bool:
    """Whether a manifest's `made` is that of Flash-MNIST's videos."""
    return made.get("what") == FLASH


def digits_of(label: int) -> list[int]:
    """The digits that a label of Flash-MNIST stands for: bit d says that digit d is shown."""
    return [digit for digit in range(10) if label >> digit & 1]


def in_words(label: Any, made: Mapping[str, Any]) -> str:
    """A label, or a predicted class, for a reader: the set of digits, a class's number, or the numbers of several."""
    if np.ndim(label):
        return ", ".join(map(str, np.flatnonzero(label))) or "none"
    if not is_flash_mnist(made):
        return f"class {int(label)}"
    return "{" + ", ".join(map(str, digits_of(int(label)))) + "}"
