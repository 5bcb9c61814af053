"""Exact derivatives of the reference, by complex steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.model.layers.base import multiply
from acz.model.losses import LOSSES
from acz.model.spec import Spec
from acz.reference.execution import run
from acz.reference.traced import Traced, sweep


def loss(
    spec: Spec,
    parameters: Mapping[str, Array],
    inputs: Mapping[str, Array],
    labels: Array,
    kind: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
    known: Mapping[str, Array] | None = None,
    products: Callable[[str, Array, Array, str], Array] = multiply,
) -> Array:
    """The loss of one batch, a number."""
    result = run(spec, parameters, inputs, training, False, dropout, known, False, products)
    return LOSSES[kind].reference(result.logits, result.output, labels)


def layers_unaffected_by(spec: Spec, parameter: str) -> list[str]:
    """Paths of the layers whose output does not depend on a parameter: those before its own, and other streams'."""
    layers = [placed.path for placed in spec.layout]  # the streams', then the trunk's
    stream, name = parameter.split(".")[:2]
    own = layers.index(f"{stream}.{name}")
    return [path for i, path in enumerate(layers) if i < own or path.partition(".")[0] not in (stream, "trunk")]


def gradient(
    spec: Spec,
    parameters: Mapping[str, Array],
    inputs: Mapping[str, Array],
    labels: Array,
    kind: str,
    paths: list[str],
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> dict[str, Array]:
    """Derivatives of the loss, exact to rounding, by complex steps: f'(x) = Im f(x + ih) / h, with a tiny h.

    It takes one run for each number, so it is for small models. Layers that a parameter does not affect run once.

    Args:
        paths: parameters by path, or inputs by name.

    Returns:
        A gradient for each path, in the precision of its numbers.

    Source: Squire and Trapp 1998, Using Complex Variables to Estimate Derivatives of Real Functions.
    """
    tiny = 1e-30
    gradients = {}
    outputs = run(spec, parameters, inputs, training, True, dropout).recorded
    for path in paths:
        value = np.asarray(parameters[path] if path in parameters else inputs[path])
        wide = np.complex128 if value.dtype == np.float64 else np.complex64
        slot = np.array(value, dtype=wide, order="C")
        changed: dict[str, Array] = {path: slot}
        parameters_now = {**parameters, **changed} if path in parameters else parameters
        inputs_now = inputs if path in parameters else {**inputs, **changed}
        known = {layer: outputs[layer] for layer in layers_unaffected_by(spec, path)} if path in parameters else {}
        out = np.zeros(value.size, value.dtype)
        flat = slot.reshape(-1)
        for index in range(value.size):
            flat[index] += 1j * tiny
            stepped = loss(spec, parameters_now, inputs_now, labels, kind, dropout, training, known)
            out[index] = stepped.imag / tiny
            flat[index] = flat[index].real
        gradients[path] = out.reshape(value.shape)
    return gradients


def swept_gradient(
    spec: Spec,
    parameters: Mapping[str, Array],
    inputs: Mapping[str, Array],
    labels: Array,
    kind: str,
    paths: list[str],
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
    products: Callable[[str, Array, Array, str], Array] = multiply,
    scale: float = 1.0,
) -> tuple[Array, dict[str, Array]]:
    """The loss, and its gradients by one sweep backwards, in which products may round what comes back.

    Args:
        paths: parameters by path, or inputs by name.
        products: what multiplies; see acz.reference.products.
        scale: the factor of the loss before the sweep; the gradients have it.
    """
    traced: dict[str, Any] = {path: Traced(parameters[path] if path in parameters else inputs[path]) for path in paths}
    own = {path: traced.get(path, value) for path, value in parameters.items()}
    fed = {name: traced.get(name, value) for name, value in inputs.items()}
    value: Any = loss(spec, own, fed, labels, kind, dropout, training, None, products)
    gradients = sweep(value * value.dtype.type(scale), [traced[path] for path in paths])
    return value.value, dict(zip(paths, gradients, strict=True))
