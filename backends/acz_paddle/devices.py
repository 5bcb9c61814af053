"""Versions, devices and threads of PaddlePaddle."""

from __future__ import annotations

import os
from pathlib import Path

import paddle
from paddle.base import core

from acz.backend.devices import split_device

ASCEND = "npu"
"""PaddlePaddle's name of an Ascend, which a plugin brings."""


def _name_processor() -> None:
    """Tell MKL that an AMD processor has AVX2.

    PaddlePaddle brings MKL of 2019, which reads this before its first product, and computes with SSE, a third as fast,
    on every processor whose maker is not Intel.
    """
    description = Path("/proc/cpuinfo")
    words = description.read_text(errors="replace").split() if description.exists() else []
    if "AuthenticAMD" in words and "avx2" in words:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")


_name_processor()


def versions() -> dict[str, str]:
    found = {"paddle": paddle.__version__}
    return found | {"cuda": paddle.version.cuda()} if paddle.is_compiled_with_cuda() else found


def devices() -> list[str]:
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    ascends = [name for name in paddle.device.get_available_custom_device() if name.startswith(ASCEND)]
    return ["CPU", *(f"GPU:{n}" for n in range(gpus)), *(f"Ascend:{n}" for n in range(len(ascends)))]


def capabilities() -> dict[str, str]:
    able = ["CPU"]
    if paddle.is_compiled_with_cuda():
        able.append("GPU")
    if ASCEND in paddle.device.get_all_custom_device_type():
        able.append("Ascend")
    return {"devices": ", ".join(able), "training": "eager, Adam's own kernel", "float64": "everything"}


def set_threads(count: int) -> None:
    core.set_num_threads(count)


def device_name(place: core.Place) -> str:
    """CUDAPlace(1) to `GPU:1`."""
    if place.is_gpu_place():
        return f"GPU:{place.gpu_device_id()}"
    return f"Ascend:{place.custom_device_id()}" if place.is_custom_place() else "CPU"


def native_device(device: str) -> core.Place:
    """`GPU:1` to CUDAPlace(1)."""
    kind, number = split_device(device)
    if kind == "CPU":
        return paddle.CPUPlace()
    return paddle.CUDAPlace(number) if kind == "GPU" else paddle.CustomPlace(ASCEND, number)
