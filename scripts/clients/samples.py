"""A model's samples: a checkpoint, inputs by the artefact's names, and the reference's outputs with their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acz.api.exchange import export
from acz.backend.signature import ports
from acz.exchange.artefacts.formats import formats
from acz.exchange.artefacts.verify import batches
from acz.foundation.arrays import Array
from acz.model.checkpoint import save_checkpoint
from acz.model.losses import checking_loss
from acz.model.spec import Spec
from acz.reference import execution
from acz.reference.bounds import MARGIN, difference, perturbed
from acz.reference.samples import Case
from acz.zoo.config import load_config
from clients.catalog import CHECKPOINT, Client

UNITS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""One unit in the last place of a number near 1, by precision."""
MASK = "_mask"


@dataclass(frozen=True)
class Sample:
    """One batch."""

    inputs: Mapping[str, Array]
    expected: Array
    """The reference's output, in float64."""
    bounds: Mapping[str, float]
    """By precision: as `acz.reference.bounds.float32_bound` has it, with the precision's unit."""

    @property
    def has_padding(self) -> bool:
        """True where a frame is not valid."""
        return any(not value.all() for name, value in self.inputs.items() if name.endswith(MASK))

    def without_masks(self) -> dict[str, Array]:
        """The inputs of an artefact without mask inputs."""
        return {name: value for name, value in self.inputs.items() if not name.endswith(MASK)}


class Model:
    """A model of the zoo with the values that parity takes, in a folder of its own.

    Args:
        name: a name in the zoo, with its form and variant.
        build: the folder of all models.
    """

    def __init__(self, name: str, build: Path) -> None:
        self.name = name
        self.folder = build / name.replace("/", "-").replace(":", "-")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "model.safetensors"
        self.exported: dict[tuple[str, str], Path | Exception] = {}
        spec = load_config(name).spec
        case = Case(name, spec, checking_loss(spec).name)
        values = {path: value.astype(np.float32) for path, value in case.parameters.items()}
        save_checkpoint(self.checkpoint, spec, values)
        self.samples = make_samples(spec, values)
        arrays = {}
        for batch, sample in self.samples.items():
            arrays |= {f"{batch}/input/{port}": value for port, value in sample.inputs.items()}
            arrays |= {f"{batch}/output": sample.expected}
            arrays |= {f"{batch}/bound/{kind}": np.float64(bound) for kind, bound in sample.bounds.items()}
        np.savez(self.folder / "samples.npz", **arrays)

    def artefact(self, client: Client) -> Path:
        """Give the path of what a client is given; it is exported once. Raises what `acz.export` raises."""
        if client.format == CHECKPOINT:
            return self.checkpoint
        key = (client.format, client.masks)
        if key not in self.exported:
            try:
                self.exported[key] = self._export(client)
            except Exception as error:
                self.exported[key] = error
        artefact = self.exported[key]
        if isinstance(artefact, Exception):
            raise artefact
        return artefact

    def _export(self, client: Client) -> Path:
        suffixes = {name: maker.suffix for name, maker in formats().items()}
        out = self.folder / f"masks-{client.masks}" / f"{client.format}{suffixes.get(client.format, '')}"
        out.parent.mkdir(exist_ok=True)
        return export(self.checkpoint, client.format, out=out, masks=client.masks).path


def make_samples(spec: Spec, parameters: Mapping[str, Array]) -> dict[str, Sample]:
    """Samples by the batch's name: four videos, one and seven, padded frames with garbage in them, zeros, huge values."""
    wide = {path: value.astype(np.float64) for path, value in parameters.items()}
    changed = {precision: perturbed(wide, unit / 2) for precision, unit in UNITS.items()}
    keys = {port.name: port.key for port in ports(spec)}
    samples = {}
    for name, inputs in batches(spec).items():
        given = {keys[port]: value for port, value in inputs.items()}
        with np.errstate(all="ignore"):
            exact = execution.forward(spec, wide, given)["output"]
            narrow = execution.forward(spec, parameters, given)["output"]
            moved = {kind: execution.forward(spec, values, given)["output"] for kind, values in changed.items()}
        own = {kind: difference(output, exact) for kind, output in moved.items()}
        own["float32"] = max(own["float32"], difference(narrow, exact))
        bounds = {kind: MARGIN * max(own[kind], unit) for kind, unit in UNITS.items()}
        samples[name] = Sample(inputs, exact, bounds)
    return samples
