"""A model as a SavedModel."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow import Tensor

from acz.backend.signature import OUTPUT, ports
from acz.foundation.errors import SpecError
from acz_tensorflow.base import Call
from acz_tensorflow.model import Model


class Deployed(tf.Module):
    """A model under its artefact's names: keyword arguments in, a dictionary out."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.ports = ports(model.spec)
        self.state = {path: variable.value for path, variable in model.state.items()}

        def forward(**inputs: Tensor) -> dict[str, Tensor]:
            fed = {port.key: inputs[port.name] for port in self.ports}
            return {OUTPUT: model.finish(model.logits(fed, Call()))}

        self.forward = tf.function(forward, autograph=False)


def export(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    deployed = Deployed(model)
    for port in deployed.ports:
        if not re.fullmatch(r"[A-Za-z]\w*", port.name, re.ASCII):
            raise SpecError(f"a SavedModel can't have an input '{port.name}': ASCII, a letter first; rename it")
    specs = {port.name: tf.TensorSpec(port.shape, port.dtype, port.name) for port in deployed.ports}
    signature = deployed.forward.get_concrete_function(**specs)
    tf.saved_model.save(deployed, str(path), signatures={"serving_default": signature})
    extra = path / "assets.extra"  # where the format keeps what is not for the runtime
    extra.mkdir()
    (extra / "acz.json").write_text(json.dumps(dict(metadata)) + "\n")
