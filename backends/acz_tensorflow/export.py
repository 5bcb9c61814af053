"""A model as a SavedModel."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from acz.backend.inputs import MASK
from acz.backend.signature import OUTPUT, ports
from acz.foundation.errors import SpecError
from acz_tensorflow.base import Call
from acz_tensorflow.model import Model


class Deployed(tf.Module):
    """A model under its artefact's names: keyword arguments in, a dictionary out.

    `serve` is the same for Keras' TFSMLayer, which gives one argument by position: a dictionary of the inputs, with all
    masks or without any, or the one input of a model. It stands under the signature's name, too, as TFSMLayer looks for
    attributes first.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.ports = ports(model.spec)
        self.state = {path: variable.value for path, variable in model.state.items()}

        def forward(**inputs: Tensor) -> dict[str, Tensor]:
            fed = {port.key: inputs[port.name] for port in self.ports}
            return {OUTPUT: model.finish(model.logits(fed, Call()))}

        def serve(inputs: Any) -> dict[str, Tensor]:
            given = dict(inputs) if isinstance(inputs, Mapping) else {self.ports[0].name: inputs}
            for port in self.ports:
                if port.name not in given:  # the mask of the input before it
                    given[port.name] = tf.fill(tf.shape(given[port.key.removesuffix(MASK)])[:2], True)
            return self.forward(**given)

        self.forward = tf.function(forward, autograph=False)
        self.serve = self.serving_default = tf.function(serve, autograph=False)

    def trace(self) -> Any:
        """Trace every way of call. Returns the signature."""
        specs = {port.name: tf.TensorSpec(port.shape, port.dtype, port.name) for port in self.ports}
        signature = self.forward.get_concrete_function(**specs)
        plain = {port.name: specs[port.name] for port in self.ports if not port.key.endswith(MASK)}
        for given in ([specs] if plain != specs else []) + [plain] + ([*plain.values()] if len(plain) == 1 else []):
            self.serve.get_concrete_function(given)
        return signature


def export(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    deployed = Deployed(model)
    for port in deployed.ports:
        if not re.fullmatch(r"[A-Za-z]\w*", port.name, re.ASCII):
            raise SpecError(f"a SavedModel can't have an input '{port.name}': ASCII, a letter first; rename it")
    tf.saved_model.save(deployed, str(path), signatures={"serving_default": deployed.trace()})
    extra = path / "assets.extra"  # where the format keeps what is not for the runtime
    extra.mkdir()
    (extra / "acz.json").write_text(json.dumps(dict(metadata)) + "\n")
