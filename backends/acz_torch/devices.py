"""Versions, devices and threads of PyTorch."""

from __future__ import annotations

import torch

from acz.backend.devices import split_device


def versions() -> dict[str, str]:
    found = {"torch": torch.__version__}
    return found | {"cuda": torch.version.cuda} if torch.version.cuda else found


def devices() -> list[str]:
    return ["CPU", *(f"GPU:{n}" for n in range(torch.cuda.device_count()))]


def capabilities() -> dict[str, str]:
    return {
        "devices": "CPU, GPU" if torch.version.cuda or torch.version.hip else "CPU",
        "training": "eager, fused Adam",
        "float64": "everything",
    }


def set_threads(count: int) -> None:
    torch.set_num_threads(count)


def native_device(device: str) -> torch.device:
    """`GPU:1` to cuda:1."""
    kind, number = split_device(device)
    return torch.device("cpu") if kind == "CPU" else torch.device("cuda", number)
