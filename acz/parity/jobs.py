"""What a worker does for the comparison, through the seam alone. Each job takes a backend, arguments and arrays.

Arrays come by `group/name`: `parameters/<path>`, `<batch>/inputs/<name>`, `<batch>/labels`, `<batch>/dropout/<path>`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.model.optimizer import Adam
from acz.model.spec import Spec
from acz.reference.samples import Batch

Answer = tuple[Any, dict[str, Array]]


def pack(name: str, batch: Batch) -> dict[str, Array]:
    """A batch as a job's arrays."""
    found = {f"{name}/inputs/{key}": value for key, value in batch.inputs.items()}
    found |= {f"{name}/dropout/{key}": value for key, value in batch.dropout.items()}
    return found | {f"{name}/labels": batch.labels}


def group(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays under a prefix, by the rest of their names."""
    return {key[len(prefix) + 1 :]: value for key, value in arrays.items() if key.startswith(prefix + "/")}


def _floats(values: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    return {key: value.astype(dtype) if value.dtype.kind == "f" else value for key, value in values.items()}


def _model(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    spec = Spec.from_dict(arguments["spec"])
    model = backend.build(spec, "CPU", arguments["dtype"])
    backend.load_parameters(model, _floats(group(arrays, "parameters"), arguments["dtype"]))
    return model


def outputs(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """Every recorded value of each run `{name, batch, training}`, and the statistics after it in training."""
    spec = Spec.from_dict(arguments["spec"])
    model = _model(backend, arguments, arrays)
    start = _floats(group(arrays, "parameters"), arguments["dtype"])
    found: dict[str, Array] = {}
    for run in arguments["runs"]:
        backend.load_parameters(model, start)
        values = backend.forward(
            model,
            _floats(group(arrays, f"{run['batch']}/inputs"), arguments["dtype"]),
            run["training"],
            group(arrays, f"{run['batch']}/dropout"),
            list(spec.recordable),
        )
        in_order = [
            *spec.recordable,
            "logits",
            "output",
        ]  # so that the first to leave its bound is the first to go wrong
        found |= {f"{run['name']}/{path}": values[path] for path in in_order}
        if run["training"] and spec.statistics:
            after = backend.dump_parameters(model)
            found |= {f"{run['name']}/updated.{path}": after[path] for path in spec.statistics}
    return None, found


def gradients(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """The loss and every gradient of each run `{name, batch, training}`."""
    model = _model(backend, arguments, arrays)
    start = _floats(group(arrays, "parameters"), arguments["dtype"])
    found: dict[str, Array] = {}
    for run in arguments["runs"]:
        backend.load_parameters(model, start)
        batch = _floats(group(arrays, run["batch"]), arguments["dtype"])
        loss, values = backend.loss_and_gradients(
            model,
            group(batch, "inputs"),
            batch["labels"],
            arguments["loss"],
            group(batch, "dropout"),
            run["training"],
        )
        found[f"{run['name']}/loss"] = np.array(loss)
        found |= {f"{run['name']}/{path}": value for path, value in values.items()}
    return None, found


def _steps(backend: Any, trainer: Any, arguments: Mapping[str, Any], arrays: Any, numbers: range) -> list[float]:
    losses = []
    for step in numbers:
        batch = _floats(group(arrays, f"step{step}"), arguments["dtype"])
        loss, _ = backend.training_step(
            trainer, group(batch, "inputs"), batch["labels"], group(batch, "dropout"), arguments["rates"][step]
        )
        losses.append(float(loss))
    return losses


def training(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """`steps` steps of Adam over batches `step0` ..: each loss, and the parameters after the last.

    With a `path`, a checkpoint is saved there before the last `rest` steps, and what it holds is in the answer, as `resume` gives it.
    """
    model = _model(backend, arguments, arrays)
    trainer = backend.start_training(model, Adam(**arguments["adam"]), arguments["loss"])
    first = arguments["steps"] - arguments["rest"]
    losses = _steps(backend, trainer, arguments, arrays, range(first))
    found: dict[str, Array] = {}
    if "path" in arguments:
        spec = Spec.from_dict(arguments["spec"])
        save_checkpoint(arguments["path"], spec, backend.dump_parameters(model), backend.dump_optimizer(trainer))
        found = _state(backend, model, trainer, arguments, arrays)
    losses += _steps(backend, trainer, arguments, arrays, range(first, arguments["steps"]))
    found["losses"] = np.array(losses)
    return None, found | {f"parameters/{p}": v for p, v in backend.dump_parameters(model).items()}


def resume(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """Load the checkpoint of each writer, at `paths`, and go on from it for `rest` steps: arrays by `writer/`."""
    model = backend.build(Spec.from_dict(arguments["spec"]), "CPU", arguments["dtype"])
    trainer = backend.start_training(model, Adam(**arguments["adam"]), arguments["loss"])
    found: dict[str, Array] = {}
    for writer, path in arguments["paths"].items():
        checkpoint = load_checkpoint(Path(path))
        backend.load_parameters(model, checkpoint.parameters)
        backend.load_optimizer(trainer, checkpoint.optimizer)
        state = _state(backend, model, trainer, arguments, arrays)
        rest = range(arguments["steps"] - arguments["rest"], arguments["steps"])
        state["losses"] = np.array(_steps(backend, trainer, arguments, arrays, rest))
        found |= {f"{writer}/{name}": value for name, value in state.items()}
    return None, found


def _state(backend: Any, model: Any, trainer: Any, arguments: Mapping[str, Any], arrays: Any) -> dict[str, Array]:
    """What a trainer holds, as it is dumped again, and an output."""
    found = {f"loaded/{path}": value for path, value in backend.dump_parameters(model).items()}
    found |= {f"optimizer/{name}": value for name, value in backend.dump_optimizer(trainer).items()}
    found["output"] = backend.forward(model, _floats(group(arrays, "step0/inputs"), arguments["dtype"]))["output"]
    return found


def die(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """End this process by a signal, as a crash does; `segmentation` reads address 0."""
    if arguments["how"] == "segmentation":
        import ctypes

        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return None, {}
