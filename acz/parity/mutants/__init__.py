"""Backends that are wrong in one way each: the comparison must catch every one of them.

`acz parity-check --mutant NAME` runs with one; parity_tests and tests demand that it fails.
"""

from __future__ import annotations

from acz.parity.mutants import layers, outputs, promises, training
from acz.parity.mutants.base import Mutant

MUTANTS: dict[str, Mutant] = {
    mutant.__name__: mutant for part in (outputs, layers, training, promises) for mutant in part.MUTANTS
}
