"""Saves the native module with Keras' own saver and loads it. $CLIENT_OPTION is `keras`, the whole model, or `weights.h5`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy.typing as npt
import tensorflow as tf

import acz
from acz.backend.signature import ports

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by an artefact's input names to arrays by output name."""
    checkpoint = acz.load_checkpoint(path)
    saved = acz.build(checkpoint.spec, "tensorflow", checkpoint.parameters)
    if os.environ["CLIENT_OPTION"] == "keras":
        saved.save("model.keras")
        model = keras.saving.load_model("model.keras")
    else:
        saved.save_weights("model.weights.h5")
        model = acz.build(checkpoint.spec, "tensorflow")
        model.load_weights("model.weights.h5")

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        output = model({port.key: tf.constant(inputs[port.name]) for port in ports(checkpoint.spec)})
        return {"output": output.numpy()}

    return run, {}
