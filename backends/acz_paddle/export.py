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

    def __init__(self, model: Model, masks: str = "bool") -> None:
        super().__init__()
        self.model, self.ports = model, ports(model.spec, masks)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        fed = {port.key: inputs[number] for number, port in enumerate(self.ports)}
        for port in self.ports:
            if port.is_mask:
                fed[port.key] = of_the_frames(fed[port.key.removesuffix(".mask")], fed[port.key])
        return self.model.finish(self.model.logits(fed))


def export(model: Model, path: Path, metadata: Mapping[str, str], masks: str = "bool") -> None:
    deployed = Deployed(model, masks)
    deployed.eval()
    inputs = [InputSpec(list(port.shape), port.dtype, port.name) for port in deployed.ports]
    unread = set(model.spec.inputs) - {stream.input for stream in model.spec.streams.values()}
    with named_by_path(model):
        paddle.jit.save(deployed, str(path / "model"), [inputs], skip_prune_program=bool(unread))
    name_output(path / "model.json")
    (path / "acz.json").write_text(json.dumps(dict(metadata)) + "\n")


def of_the_frames(x: Tensor, mask: Tensor) -> Tensor:
    """The mask as booleans, (videos, frames); the program refuses one of another shape than the frames of x.

    Side by side, the two must have equal sides, and nothing is broadcast.
    """
    numbers = paddle.unsqueeze(paddle.cast(mask, "float32"), 2)
    return paddle.concat([paddle.cast(x[:, :, :1], "float32"), numbers], 2)[:, :, 1] != 0.0


def name_output(program: Path) -> None:
    """Give the program's one output its name; PaddlePaddle calls it fetch_name_0."""
    tree = json.loads(program.read_text())
    operations = tree["program"]["regions"][0]["blocks"][0]["ops"]
    (fetch,) = (one for one in operations if one["#"].endswith(".fetch"))
    (name,) = (one for one in fetch["A"] if one["N"] == "name")
    name["AT"]["D"] = OUTPUT
    program.write_text(json.dumps(tree, separators=(",", ":")))
