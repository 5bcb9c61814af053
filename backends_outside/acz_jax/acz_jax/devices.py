"""Versions, devices and threads of JAX."""

from __future__ import annotations

import os

import jax
import jaxlib

from acz.backend.devices import split_device
from acz.foundation.errors import MissingError

PLATFORMS = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}
"""Kinds of device by JAX's name."""
THREADS: dict[str, int] = {}
"""The count of threads that was set, as `CPU`."""


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}


def devices() -> list[str]:
    here = ["CPU"]
    for platform in ("gpu", "tpu"):
        try:
            here += [f"{PLATFORMS[platform]}:{n}" for n in range(len(jax.devices(platform)))]
        except RuntimeError:  # JAX's word for a platform that is not here
            continue
    return here


def capabilities() -> dict[str, str]:
    return {"devices": "CPU, GPU, TPU", "training": "compiled steps", "float64": "everything"}


def set_threads(count: int) -> None:
    """Make XLA's pool of threads, once: XLA reads its size from the environment when it first looks for devices."""
    if THREADS.setdefault("CPU", count) != count:
        raise MissingError(f"JAX computes with {THREADS['CPU']} threads; another count needs another process")
    before = os.environ.get("NPROC")
    os.environ["NPROC"] = str(count)
    try:
        jax.devices("cpu")
    finally:
        if before is None:
            del os.environ["NPROC"]
        else:
            os.environ["NPROC"] = before


def native_device(device: str) -> jax.Device:
    """`GPU:1` to JAX's object."""
    kind, number = split_device(device)
    return jax.devices(kind.lower())[number]
