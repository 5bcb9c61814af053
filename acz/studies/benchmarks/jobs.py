"""What a worker does for a benchmark: holds prepared work under a name, and times it when asked, so that workers can take turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator
from acz.model.losses import choose_loss
from acz.model.optimizer import Adam
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.reference.samples import Case

Answer = tuple[Any, dict[str, Array]]

HELD: dict[str, Callable[[], object]] = {}
"""Prepared work by name; each call waits until its result is there."""


def numbers(spec: Spec, videos: int, loss: str | None = None) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    """Inputs in the types that data come in, labels (of the loss that belongs to the model's output, or `loss`) and dropout masks."""
    batch = Case("bench", spec, loss or choose_loss(None, spec).name).batch("plain", videos=videos)
    inputs = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in batch.inputs.items()}
    return inputs, batch.labels, batch.dropout


def model(backend: Any, spec: Spec, device: str) -> Any:
    built = backend.build(spec, device, "float32")
    backend.load_parameters(built, initial_parameters(spec, 0, np.dtype(np.float32)))
    return built


def hold_step(backend: Any, arguments: Mapping[str, Any], arrays: Any) -> Answer:
    """Hold one training step of `spec` at `videos` a batch: the backend's own, compiled where it compiles, on one batch."""
    spec = Spec.from_dict(arguments["spec"])
    inputs, labels, masks = numbers(spec, arguments["videos"])
    optimizer = Adam(learning_rate=1e-3, weight_decay=1e-4)
    trainer = backend.start_training(
        model(backend, spec, arguments.get("device", "CPU")), optimizer, choose_loss(None, spec).name
    )
    HELD[arguments["name"]] = lambda: float(backend.training_step(trainer, inputs, labels, masks, 1e-3)[0])
    return None, {}


def hold_forward(backend: Any, arguments: Mapping[str, Any], arrays: Any) -> Answer:
    """Hold an evaluation of `spec` on `videos`."""
    spec = Spec.from_dict(arguments["spec"])
    inputs, _, _ = numbers(spec, arguments["videos"])
    built = model(backend, spec, arguments.get("device", "CPU"))
    HELD[arguments["name"]] = lambda: backend.forward(built, inputs)["output"]
    return None, {}


def hold_gradients(backend: Any, arguments: Mapping[str, Any], arrays: Any) -> Answer:
    """Hold the forward and backward pass of sum(logits * labels) on `videos`, with the gradients of parameters and inputs."""
    spec = Spec.from_dict(arguments["spec"])
    inputs, labels, masks = numbers(spec, arguments["videos"], "projection")
    built = model(backend, spec, arguments.get("device", "CPU"))
    HELD[arguments["name"]] = lambda: backend.loss_and_gradients(built, inputs, labels, "projection", masks)[0]
    return None, {}


def clock(backend: Any, arguments: Mapping[str, Any], arrays: Any) -> Answer:
    """Seconds of each of up to `repeats` calls of the held work, for `seconds` at most, after one call that is not counted."""
    work = HELD[arguments["name"]]
    work()
    spent: list[float] = []
    while len(spent) < arguments["repeats"] and sum(spent) < arguments["seconds"]:
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return spent, {}


def release(backend: Any, arguments: Mapping[str, Any], arrays: Any) -> Answer:
    """Let go of everything held; gives the largest resident size of this process so far, in MiB."""
    import resource

    HELD.clear()
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, {}


def random_features(videos: int, frames: int, features: int) -> Array:
    """float32 (videos, frames, features)."""
    return generator(0, "bench").standard_normal((videos, frames, features)).astype(np.float32)
