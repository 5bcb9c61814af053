"""The vocabulary: every layer by the name that a YAML file gives it."""

from __future__ import annotations

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import Activation, LogSoftmax, Softmax
from acz.model.layers.attention import AttentionCluster
from acz.model.layers.base import Call, Layer, Parameter
from acz.model.layers.circulant import CirculantDense
from acz.model.layers.dense import Dense, Rescale
from acz.model.layers.dropout import Dropout
from acz.model.layers.experts import MixtureOfExperts
from acz.model.layers.gating import ContextGating, DeepContextGating
from acz.model.layers.image import Conv2d, Flatten, MaxPool2d
from acz.model.layers.normalize import BatchNorm, L2Normalize
from acz.model.layers.pooling import FramePool
from acz.model.layers.vlad import LightVLAD, NetFV, NetVLAD

LAYERS: dict[str, type[Layer]] = {
    "dense": Dense,
    "circulant_dense": CirculantDense,
    "rescale": Rescale,
    "activation": Activation,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "dropout": Dropout,
    "batch_norm": BatchNorm,
    "l2_normalize": L2Normalize,
    "conv2d": Conv2d,
    "max_pool2d": MaxPool2d,
    "flatten": Flatten,
    "attention_cluster": AttentionCluster,
    "frame_pool": FramePool,
    "context_gating": ContextGating,
    "deep_context_gating": DeepContextGating,
    "mixture_of_experts": MixtureOfExperts,
    "netvlad": NetVLAD,
    "light_vlad": LightVLAD,
    "net_fv": NetFV,
}

__all__ = ["LAYERS", "Array", "Call", "Layer", "Parameter", "Shape"]
