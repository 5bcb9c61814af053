"""Keras' own files: a whole model as .keras."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.spec import Spec
from acz_tensorflow.model import Model, build, dump_parameters


def save_native(model: Model, path: Path) -> None:
    model.save(path)


def read_native(path: Path) -> dict[str, Array]:
    """A .keras file of a model of this zoo. Only its spec and its weights are taken: no class that its configuration names is made."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    if config.get("registered_name") != "acz>Model":
        raise DataError("it holds another model than one of acz")
    settings = config["config"]
    if replaced := sorted(settings.get("replaced", ())):
        raise DataError(f"its layer '{replaced[0]}' is replaced by another than the spec's")
    model = build(Spec.from_dict(settings["spec"]), "CPU", keras.DTypePolicy(settings["dtype"]).variable_dtype)
    model.load_weights(path)
    return dump_parameters(model)
