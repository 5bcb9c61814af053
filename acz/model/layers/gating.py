"""Gates: context gating (Miech, Laptev and Sivic 2017, "Learnable pooling with Context Gating for video classification"),
and squeeze-and-excitation (Hu, Shen and Sun 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import sigmoid
from acz.model.layers.base import Call, Layer, Parameter, Role, WeightInitial, bias_initial, weight_initial
from acz.model.layers.normalize import BatchNormSettings, batch_norm_parameters


class ContextGating(Layer):
    """y = x * sigmoid(batch_norm(x W)), or x * sigmoid(x W + b) without `norm` (equation 1), over the last axis.

    With `remove_diagonal` the diagonal of W counts as 0: no feature has a part in its own gate. Behind a mixture of
    experts this layer gates the probabilities of the classes.

    Parameters: weight (features, features); norm.* or bias (features).
    """

    type: Literal["context_gating"] = "context_gating"
    norm: BatchNormSettings | None = None
    """Batch normalisation of the gates, in place of a bias."""
    remove_diagonal: bool = False
    """Let no feature have a part in its own gate."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        features = shape[-1]
        parameters = {"weight": Parameter((features, features), weight_initial(self.initializer, features, features))}
        if self.norm:
            return parameters | {f"norm.{name}": p for name, p in batch_norm_parameters(features).items()}
        return parameters | {"bias": Parameter((features,), bias_initial(self.initializer, features))}

    def output_shape(self, shape: Shape) -> Shape:
        return vectors(shape, self.type)

    def recorded(self) -> tuple[str, ...]:
        return ("gates",)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return of_probabilities

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        weight = p["weight"] * (1 - np.eye(x.shape[-1])) if self.remove_diagonal else p["weight"]
        g = call.product(x, weight.astype(p["weight"].dtype))  # (videos, ..., features)
        g = sigmoid(self.norm.normalize(g, p, call, prefix="norm.") if self.norm else g + p["bias"])
        call.record("gates", g)
        return x * g


class DeepContextGating(Layer):
    """Context gating through a wider layer, `expansion` times the features, over the last axis.

    h = dropout(batch_norm(max(x W1, 0))), y = x * sigmoid(batch_norm(h W2)). Source: pomonam/AttentionCluster, where
    `expansion` is called filter.

    Parameters: hidden.weight (features, expansion * features), hidden_norm.* (expansion * features), gate.weight
    (expansion * features, features), gate_norm.* (features). Without dropout hidden_norm.bias is fixed: it adds a
    constant to every video, and the second batch norm subtracts it.
    """

    type: Literal["deep_context_gating"] = "deep_context_gating"
    expansion: int = Field(default=2, gt=0, le=2**10)
    """The width of the hidden layer, in times the features."""
    norm: BatchNormSettings = BatchNormSettings()
    """Both batch normalisations."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of the hidden layer that is dropped in training."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        features, wide = shape[-1], self.expansion * shape[-1]
        hidden_bias: Role = "trained" if self.dropout else "fixed"
        return {
            "hidden.weight": Parameter((features, wide), weight_initial(self.initializer, features, wide)),
            **{f"hidden_norm.{name}": p for name, p in batch_norm_parameters(wide, hidden_bias).items()},
            "gate.weight": Parameter((wide, features), weight_initial(self.initializer, wide, features)),
            **{f"gate_norm.{name}": p for name, p in batch_norm_parameters(features).items()},
        }

    def output_shape(self, shape: Shape) -> Shape:
        return vectors(shape, self.type)

    def dropout_masks(self, shape: Shape) -> dict[str, tuple[Shape, float]]:
        return {"dropout": ((*shape[:-1], self.expansion * shape[-1]), self.dropout)} if self.dropout else {}

    def recorded(self) -> tuple[str, ...]:
        return ("gates",)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return of_probabilities

    def has_kinks(self) -> bool:
        return True

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        h = np.maximum(call.product(x, p["hidden.weight"]), 0)  # (videos, ..., expansion * features)
        h = self.norm.normalize(h, p, call, prefix="hidden_norm.")
        h = call.dropped(h, self.dropout, "dropout")
        g = sigmoid(
            self.norm.normalize(call.product(h, p["gate.weight"]), p, call, prefix="gate_norm.")
        )  # (videos, ..., features)
        call.record("gates", g)
        return x * g


class SqueezeExcitation(Layer):
    """Gates through a narrow layer, of features / `reduction` values, over the last axis.

    y = x * sigmoid(max(batch_norm(x W1), 0) W2). Neither product has a bias.

    Parameters: squeeze.weight (features, features // reduction), norm.* (features // reduction), excite.weight
    (features // reduction, features).

    Source: Hu, Shen and Sun 2018, Squeeze-and-Excitation Networks; in NeXtVLAD Lin, Xiao and Fan 2018, section 3.3, and
    linrongc/youtube-8m, which has no batch norm behind W2.
    """

    type: Literal["squeeze_excitation"] = "squeeze_excitation"
    reduction: int = Field(default=8, gt=0, le=2**16)
    """The features are this many times the narrow layer's values."""
    norm: BatchNormSettings = BatchNormSettings()
    """Batch normalisation of the narrow layer."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        features, narrow = shape[-1], shape[-1] // self.reduction
        return {
            "squeeze.weight": Parameter((features, narrow), weight_initial(self.initializer, features, narrow)),
            **{f"norm.{name}": p for name, p in batch_norm_parameters(narrow).items()},
            "excite.weight": Parameter((narrow, features), weight_initial(self.initializer, narrow, features)),
        }

    def output_shape(self, shape: Shape) -> Shape:
        if self.reduction > shape[-1]:
            raise ValueError(f"{shape[-1]} features can't be reduced by {self.reduction}; take a smaller reduction")
        return vectors(shape, self.type)

    def recorded(self) -> tuple[str, ...]:
        return ("gates",)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return of_probabilities

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        h = np.maximum(self.norm.normalize(call.product(x, p["squeeze.weight"]), p, call, prefix="norm."), 0)
        g = sigmoid(call.product(h, p["excite.weight"]))  # (videos, ..., features)
        call.record("gates", g)
        return x * g


def vectors(shape: Shape, kind: str) -> Shape:
    """Give the shape itself, (features) or (frames, features).

    Raises:
        ValueError: it is the shape of an image.
    """
    if len(shape) > 2:
        raise ValueError(f"{kind} needs (features) or (frames, features), got {shape}")
    return shape
