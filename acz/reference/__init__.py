"""The reference: every layer and model in NumPy, in the plainest form; what backends are compared with."""

from __future__ import annotations

from acz.backend.info import BackendInfo
from acz.reference.execution import forward

INFO = BackendInfo(
    name="numpy",
    module="acz.reference.numpy_backend",
    framework="numpy",
    distributions=("numpy",),
    install="acz",
    low_precisions=dict.fromkeys(("tf32", "bfloat16", "float16"), "operands are rounded, products are float32's"),
    exclusive=False,
    order=0,
)

__all__ = ["INFO", "forward"]
