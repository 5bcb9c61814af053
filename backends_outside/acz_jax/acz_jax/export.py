"""A model as StableHLO, by jax.export."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.export
import numpy as np
from jax import Array as Tensor

from acz.backend.signature import OUTPUT, ports
from acz_jax.base import Call
from acz_jax.model import Model

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""The platforms that one file serves."""


def export(model: Model, path: Path, metadata: Mapping[str, str], masks: str = "bool") -> None:
    """Write the file. The texts are a zip file behind the model, which jax.export.deserialize does not read."""
    inputs = ports(model.spec, masks)
    parameters = {name: np.asarray(value) for name, value in model.parameters.items()}

    def deployed(**given: Tensor) -> dict[str, Tensor]:
        fed = {port.key: given[port.name] for port in inputs}
        return {OUTPUT: model.finish(model.logits(parameters, fed, Call()))}

    framed = [name for name, entry in model.spec.inputs.items() if entry.has_frames]
    videos, *frames = jax.export.symbolic_shape(", ".join(["videos", *(f"frames_{n}" for n in range(len(framed)))]))
    sides = dict(zip(framed, frames, strict=True))
    shapes = {}
    for port in inputs:
        name = port.key.removesuffix(".mask")
        shape = (videos, sides[name], *port.shape[2:]) if name in sides else (videos, *port.shape[1:])
        shapes[port.name] = jax.ShapeDtypeStruct(shape, port.dtype)
    with without_places():
        exported = jax.export.export(jax.jit(deployed), platforms=PLATFORMS)(**shapes)
    path.write_bytes(exported.serialize())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("acz.json"), json.dumps(dict(metadata)) + "\n")


@contextmanager
def without_places() -> Iterator[None]:
    """JAX writes no files and lines of source into what it lowers while this is open."""
    setting = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, setting)
    jax.config.update(setting, 0)
    try:
        yield
    finally:
        jax.config.update(setting, before)
