"""A model as a SavedModel, and as a file of LiteRT."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from acz.backend.inputs import MASK
from acz.backend.signature import OUTPUT, ports
from acz.foundation.errors import SpecError
from acz_tensorflow import circulant
from acz_tensorflow.base import Call
from acz_tensorflow.model import Model

LARGEST = 2**31 - 2**24
"""Bytes of float32 weights that LiteRT's converter takes: it reads a protobuf message, and the graph is in it too."""


class Deployed(tf.Module):
    """A model under its artefact's names: keyword arguments in, a dictionary out.

    `serve` is the same for Keras' TFSMLayer, which gives one argument by position: a dictionary of the inputs, with all
    masks or without any, or the one input of a model. It stands under the signature's name, too, as TFSMLayer looks for
    attributes first.
    """

    def __init__(self, model: Model, masks: str = "bool") -> None:
        super().__init__()
        self.ports = ports(model.spec, masks)
        self.state = {path: variable.value for path, variable in model.state.items()}

        def forward(**inputs: Tensor) -> dict[str, Tensor]:
            fed = {port.key: inputs[port.name] for port in self.ports}
            for port in self.ports:
                if port.is_mask:
                    fed[port.key] = of_the_frames(fed[port.key.removesuffix(".mask")], fed[port.key])
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


def export(model: Model, path: Path, metadata: Mapping[str, str], masks: str = "bool") -> None:
    deployed = Deployed(model, masks)
    for port in deployed.ports:
        if not re.fullmatch(r"[A-Za-z]\w*", port.name, re.ASCII):
            raise SpecError(f"a SavedModel can't have an input '{port.name}': ASCII, a letter first; rename it")
    tf.saved_model.save(deployed, str(path), signatures={"serving_default": deployed.trace()})
    extra = path / "assets.extra"  # where the format keeps what is not for the runtime
    extra.mkdir()
    (extra / "acz.json").write_text(json.dumps(dict(metadata)) + "\n")


def export_tflite(
    model: Model, path: Path, metadata: Mapping[str, str], weights: str = "float32", masks: str = "bool"
) -> None:
    """As `export`, for LiteRT. The texts are a zip file behind the model, as LiteRT's own tools put what goes with one."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved-model"
        with explicit_matrices() as numbers:
            export(model, saved, {}, masks)
        size = sum(numbers, model.spec.parameter_count) * 4
        if size > LARGEST:
            raise SpecError(
                f"the weights take {size / 2**30:.1f} GiB, and LiteRT's converter takes at most 2; "
                f"export the model as saved-model, paddle or pt2. Largest: {model.spec.largest_parameter}"
            )
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        if weights != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weights == "float16":
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("acz.json"), json.dumps(dict(metadata)) + "\n")


def of_the_frames(x: Tensor, mask: Tensor) -> Tensor:
    """The mask as booleans, (videos, frames); no graph that runs it takes one of another shape than the frames of x.

    A comparison of shapes would not survive LiteRT's converter. Side by side, the two must have equal sides, and
    nothing is broadcast.
    """
    numbers = tf.expand_dims(tf.cast(mask, tf.float32), 2)
    return tf.concat([tf.cast(x[:, :, :1], tf.float32), numbers], 2)[:, :, 1] > 0.0


@contextmanager
def explicit_matrices() -> Iterator[list[int]]:
    """Circulant products take the explicit matrix, as a constant, while this is open; gives the matrices' sizes.

    LiteRT has no Fourier transform back, and would make the matrix again in every call.
    """
    before, numbers = (circulant.FFT_COST, circulant.explicit), []

    def constant(*arguments: Any, **settings: Any) -> Tensor:
        with tf.init_scope():
            matrix = before[1](*arguments, **settings).numpy()
        numbers.append(matrix.size)
        return tf.constant(matrix)

    circulant.FFT_COST, circulant.explicit = None, constant
    try:
        yield numbers
    finally:
        circulant.FFT_COST, circulant.explicit = before
