"""The baselines of `acz bench` in PyTorch: the published loop over units, and the machine's own rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acz.foundation.arrays import Array
from acz.model.layers.vlad import SoftAssignment
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz_torch.model import Model, load_parameters, to_device

Work = Callable[[], object]


class LoopOverUnits(nn.Module):
    """Attention cluster and classifier as the published code has them: a linear score each, then one unit after the other."""

    def __init__(self, frames: int, features: int, units: int, classes: int) -> None:
        super().__init__()
        self.units = units
        self.scores = nn.Conv1d(features, units, 1)
        self.alpha, self.beta = (nn.Parameter(torch.randn(units) * units**-0.25) for _ in range(2))
        self.classifier = nn.Linear(units * features, classes)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.scores(x.transpose(1, 2))  # (videos, units, frames)
        found = []
        for unit in range(self.units):
            weights = torch.softmax(scores[:, unit], 1).unsqueeze(2)
            v = self.alpha[unit] * (weights * x).sum(1) + self.beta[unit]  # (videos, features)
            found.append(v / v.norm(dim=1, keepdim=True) / self.units**0.5)
        return self.classifier(F.dropout(torch.cat(found, 1), 0.5, self.training))


def loop_over_units(spec: Spec, inputs: Mapping[str, Array], labels: Array) -> dict[str, Work]:
    """The loop's training `step`, with PyTorch's plain Adam, and its `forward` pass."""
    x, answers = torch.from_numpy(inputs["features"]), torch.from_numpy(labels)
    units = spec.parameters["features.attention.alpha"].size
    model = LoopOverUnits(x.shape[1], x.shape[2], units, spec.width)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)

    def step() -> float:
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), answers)
        loss.backward()
        optimizer.step()
        return loss.item()

    def forward() -> Tensor:
        model.eval()
        with torch.inference_mode():
            return torch.softmax(model(x), -1)

    return {"step": step, "forward": forward}


def rates(rows: int, inputs: int, outputs: int, copied: int) -> dict[str, Work]:
    """The three `products` of a dense layer's training step, and the `copy` of `copied` float32 numbers."""
    x, weight, gradient = torch.randn(rows, inputs), torch.randn(inputs, outputs), torch.randn(rows, outputs)
    source = torch.randn(copied)
    target = torch.empty_like(source)
    return {
        "products": lambda: (x @ weight, gradient @ weight.t(), x.t() @ gradient),
        "copy": lambda: target.copy_(source),
    }


def products(spec: Spec, videos: int) -> list[Work]:
    """The matrix products of one training step, bare, into memory that is there: of every weight the output, the weight's gradient
    and, unless it reads the model's input, the input's; of an aggregation by clusters the sums, and the gradient of the shares."""
    found: list[Work] = []

    def product(one: Tensor, other: Tensor) -> None:
        out = one @ other
        found.append(partial(torch.matmul, one, other, out=out))

    for placed in spec.layout:
        read = {f"{name}.{next(iter(stream.layers))}" for name, stream in spec.streams.items()}
        frames = placed.input_shape[0] if len(placed.input_shape) == 2 else 1
        for name, parameter in placed.parameters.items():
            if not name.endswith("weight") or len(parameter.shape) != 2:
                continue
            inputs, outputs = parameter.shape
            x, y, weight = (
                torch.randn(shape)
                for shape in ((videos * frames, inputs), (videos * frames, outputs), (inputs, outputs))
            )
            product(x, weight)
            product(x.t(), y)
            if placed.path not in read:
                product(y, weight.t())
        if isinstance(placed.layer, SoftAssignment):
            features, clusters = placed.input_shape[1], placed.layer.clusters
            shares, sums = torch.rand(videos, frames, clusters), torch.randn(videos, features, clusters)
            for x in (torch.randn(videos, frames, features) for _ in range(placed.output_shape[0] // sums[0].numel())):
                product(x.transpose(1, 2), shares)
                product(x, sums)
    return found


def bare_step(spec: Spec, videos: int) -> dict[str, Work]:
    """The bare parts of a training step: the `products` of matrices, and `Adam`."""
    bare = products(spec, videos)
    weights = [nn.Parameter(torch.randn(spec.parameters[path].shape)) for path in spec.trained]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = torch.optim.Adam(weights, lr=1e-3, fused=True)
    return {"products": lambda: [work() for work in bare], "Adam": optimizer.step}


def bare_layer(spec: Spec, inputs: Mapping[str, Array], labels: Array) -> dict[str, Work]:
    """A model's `layer`, forward and backward from the gradient `labels` of its logits, without loss and optimiser."""
    model = Model(spec, torch.device("cpu"), torch.float32).train()
    load_parameters(model, initial_parameters(spec))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fed, gradient = to_device(model, inputs), torch.from_numpy(labels)
    return {"layer": lambda: torch.autograd.grad(model.logits(fed), trained, gradient)}
