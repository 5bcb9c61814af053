"""A spec as the framework's own module."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.backend.devices import check_device
from acz.backend.protocol import Parameters
from acz.backend.registry import check_names, find_backend
from acz.model.parameters import check_parameters, initial_parameters
from acz.model.spec import Spec


def build(
    spec: Spec,
    backend: str,
    parameters: Parameters | None = None,
    device: str = "CPU",
    dtype: str = "float32",
    seed: int = 0,
) -> Any:
    """The framework's own module of a spec: torch.nn.Module, keras.Model, paddle.nn.Layer or mindspore.nn.Cell.

    Its parameters carry the spec's paths as names and the spec's layouts. Without `parameters` it starts from the spec's initial
    values for `seed`, the same in every backend.

    Raises MissingError (backend or device), SpecError (a name that a backend reserves, or parameters that are not the spec's).
    """
    check_names(spec)
    found = find_backend(backend)
    check_device(found, device)
    if parameters is None:
        parameters = initial_parameters(spec, seed, np.dtype(dtype))
    check_parameters(spec, parameters)
    model = found.build(spec, device, dtype)
    found.load_parameters(model, {path: np.asarray(value, dtype) for path, value in parameters.items()})
    return model
