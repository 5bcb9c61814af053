"""The reference: every layer and model in NumPy, in the plainest form; what backends are compared with."""

from __future__ import annotations

from acz.reference.execution import forward

__all__ = ["forward"]
