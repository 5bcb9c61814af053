"""Versions, devices and threads of TensorFlow."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"  # the user's settings of Keras may name another framework
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # or the first process takes all of a GPU's memory

import keras
import tensorflow as tf

from acz.backend.devices import split_device
from acz.foundation.errors import MissingError


def versions() -> dict[str, str]:
    found = {"tensorflow": tf.__version__, "keras": keras.__version__}
    cuda = tf.sysconfig.get_build_info().get("cuda_version")
    return found | {"cuda": cuda} if cuda else found


def devices() -> list[str]:
    return ["CPU", *(f"GPU:{n}" for n in range(len(tf.config.list_physical_devices("GPU"))))]


def capabilities() -> dict[str, str]:
    return {
        "devices": "CPU, GPU" if tf.test.is_built_with_gpu_support() else "CPU",
        "training": "graph (tf.function), TensorFlow's Adam kernel",
        "float64": "everything",
    }


def set_threads(count: int) -> None:
    config = tf.config.threading
    if {config.get_intra_op_parallelism_threads(), config.get_inter_op_parallelism_threads()} == {count}:
        return
    try:
        config.set_intra_op_parallelism_threads(count)
        config.set_inter_op_parallelism_threads(count)
    except RuntimeError:
        raise MissingError(
            f"TensorFlow computes with {config.get_intra_op_parallelism_threads() or 'all'} threads in this process and "
            f"can't change that after its first operation; start another process for {count}"
        ) from None


def native_device(device: str) -> str:
    """`GPU:1` to /GPU:1, or to its place among the devices that TensorFlow may use in this process."""
    kind, number = split_device(device)
    visible = [int(device.name.rpartition(":")[2]) for device in tf.config.get_visible_devices(kind)]
    return f"/{kind}:{visible.index(number) if number in visible else number}"
