"""The data of a run, opened once for a whole report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from acz.data.base import Data, Description
from acz.foundation.errors import AczError


@dataclass(frozen=True)
class RunData:
    """The data that a run was evaluated on."""

    location: Path
    split: Data
    description: Description


OpenedData: TypeAlias = "Mapping[str, RunData | AczError]"
"""By the label of a run: its data, or the error that opening them raised."""
