"""Labels of Flash-MNIST in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.data.base import label_in_words
from acz.foundation.arrays import Array

FLASH = "Flash-MNIST"
"""The name that a manifest of Flash-MNIST gives as its origin."""


def digits_of(label: int) -> list[int]:
    """The digits that a label stands for: bit d says that digit d is shown."""
    return [digit for digit in range(10) if label >> digit & 1]


def as_zeros_and_ones(labels: Array) -> Array:
    """Sets of digits (videos) as a class for each digit, uint8 (videos, 10): bit d says that digit d is shown."""
    return (labels[:, None] >> np.arange(10) & 1).astype(np.uint8)


def as_set(label: Any) -> int:
    """A label as the number of a set; it may be zeros and ones by digit."""
    return int(np.dot(label, 1 << np.arange(10)) if np.ndim(label) else label)


def set_in_words(label: Any) -> str:
    """A label for a reader, as the set of its digits. A label of several classes is written as in any data set."""
    return label_in_words(label) if np.ndim(label) else "{" + ", ".join(map(str, digits_of(int(label)))) + "}"
