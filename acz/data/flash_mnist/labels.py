"""Labels of Flash-MNIST in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.data.base import label_in_words

FLASH = "Flash-MNIST"
"""The name that a manifest of Flash-MNIST gives as its origin."""


def digits_of(label: int) -> list[int]:
    """The digits that a label stands for: bit d says that digit d is shown."""
    return [digit for digit in range(10) if label >> digit & 1]


def set_in_words(label: Any) -> str:
    """A label for a reader, as the set of its digits. A label of several classes is written as in any data set."""
    return label_in_words(label) if np.ndim(label) else "{" + ", ".join(map(str, digits_of(int(label)))) + "}"
