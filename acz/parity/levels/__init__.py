"""The levels of parity, one a file. Each compares backends with the NumPy reference."""

from __future__ import annotations

from acz.parity.levels.base import Level
from acz.parity.levels.checkpoints import Checkpoints
from acz.parity.levels.exports import Exports
from acz.parity.levels.gradients import Gradients
from acz.parity.levels.outputs import Outputs
from acz.parity.levels.processes import Processes
from acz.parity.levels.promises import Promises
from acz.parity.levels.training import Training

LEVELS: list[Level] = [Outputs(), Gradients(), Training(), Checkpoints(), Exports(), Processes(), Promises()]
"""In the order in which they run."""
TITLES = {level.number: level.title for level in LEVELS}
