"""Every layer by its type, the name that a YAML file gives it."""

from __future__ import annotations

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import Activation, LogSoftmax, Softmax
from acz.model.layers.attention import AttentionCluster
from acz.model.layers.base import Call, Layer, Parameter
from acz.model.layers.circulant import CirculantDense
from acz.model.layers.dense import Dense, Rescale, ReverseWhitening
from acz.model.layers.dropout import Dropout
from acz.model.layers.experts import MixtureOfExperts
from acz.model.layers.gating import ContextGating, DeepContextGating, SqueezeExcitation
from acz.model.layers.image import Conv2d, Flatten, MaxPool2d
from acz.model.layers.normalize import BatchNorm, L2Normalize
from acz.model.layers.pooling import FramePool, GatedBag
from acz.model.layers.vlad import LightVLAD, NetFV, NetVLAD, NeXtVLAD

LAYERS: dict[str, type[Layer]] = {
    layer.model_fields["type"].default: layer
    for layer in (
        Dense,
        CirculantDense,
        Rescale,
        ReverseWhitening,
        Activation,
        Softmax,
        LogSoftmax,
        Dropout,
        BatchNorm,
        L2Normalize,
        Conv2d,
        MaxPool2d,
        Flatten,
        AttentionCluster,
        FramePool,
        GatedBag,
        ContextGating,
        DeepContextGating,
        SqueezeExcitation,
        MixtureOfExperts,
        NetVLAD,
        LightVLAD,
        NetFV,
        NeXtVLAD,
    )
}
"""Maps each type to its layer. This is the only list of layers that is kept by hand."""

__all__ = ["LAYERS", "Array", "Call", "Layer", "Parameter", "Shape"]
