"""A model in Paddle's inference format: a folder with model.json and model.pdiparams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import paddle
from paddle import Tensor, nn
from paddle.static import InputSpec

from acz.backend.signature import OUTPUT, ports
from acz_paddle.model import Model, named_by_path


class Deployed(nn.Layer):
    """A model whose inputs come in its artefact's order."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model, self.ports = model, ports(model.spec)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        logits = self.model.logits({port.key: inputs[number] for number, port in enumerate(self.ports)})
        return self.model.finish(logits)


def export(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    deployed = Deployed(model)
    deployed.eval()
    inputs = [InputSpec(list(port.shape), port.dtype, port.name) for port in deployed.ports]
    unread = set(model.spec.inputs) - {stream.input for stream in model.spec.streams.values()}
    with named_by_path(model):
        paddle.jit.save(deployed, str(path / "model"), [inputs], skip_prune_program=bool(unread))
    name_output(path / "model.json")
    (path / "acz.json").write_text(json.dumps(dict(metadata)) + "\n")


def name_output(program: Path) -> None:
    """Give the program's one output its name; PaddlePaddle calls it fetch_name_0."""
    tree = json.loads(program.read_text())
    operations = tree["program"]["regions"][0]["blocks"][0]["ops"]
    (fetch,) = (one for one in operations if one["#"].endswith(".fetch"))
    (name,) = (one for one in fetch["A"] if one["N"] == "name")
    name["AT"]["D"] = OUTPUT
    program.write_text(json.dumps(tree, separators=(",", ":")))
