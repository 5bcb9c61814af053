"""A spec as a framework's own module."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.backend.devices import check_device, check_precision
from acz.backend.protocol import Backend, Parameters
from acz.backend.registry import check_names
from acz.model.parameters import check_parameters, initial_parameters
from acz.model.precision import Precision
from acz.model.spec import Spec


def build_model(
    backend: Backend,
    spec: Spec,
    parameters: Parameters | None = None,
    device: str = "CPU",
    precision: Precision = Precision.FLOAT32,
    seed: int = 0,
    logits: bool = False,
) -> Any:
    """A backend's own module of a spec, with parameters, in the mode that the framework's own modules start in.

    Args:
        parameters: arrays by path, in any float type; by default the spec's initial values for `seed`, which are the same in
            every backend.
        logits: let a call of the module give the trunk's last values, which losses take, and not the spec's output.

    Raises:
        MissingError: the device is not here, or the backend has no such precision on it.
        SpecError: a backend reserves a name of the spec, or the parameters are not the spec's.
    """
    check_names(spec)
    check_device(backend, device)
    check_precision(backend.NAME, precision, device)
    if parameters is None:
        parameters = initial_parameters(spec, seed, precision.storage)
    check_parameters(spec, parameters)
    model = backend.build(spec, device, precision.value)
    backend.load_parameters(model, {path: np.asarray(value, precision.storage) for path, value in parameters.items()})
    if logits:
        model.returns_logits = True
    return model
