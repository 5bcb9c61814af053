"""What holds of any backend, described and found: tables, formats, devices, reserved names."""

from __future__ import annotations

import pytest

from acz.backend.native_layers import native_layers, native_losses
from acz.model.layers import LAYERS


def test_a_layer_or_loss_that_an_adapter_lacks_is_an_error_when_it_is_imported() -> None:
    whole = {layer.__name__: layer for layer in LAYERS.values()}
    assert native_layers({"__name__": "acz_x.layers", **whole}) == LAYERS
    del whole["NetVLAD"]
    with pytest.raises(ImportError, match=r"acz_x.layers must define NetVLAD:"):
        native_layers({"__name__": "acz_x.layers", **whole})
    with pytest.raises(ImportError, match=r"acz_x.training must define softmax_cross_entropy, .*projection:"):
        native_losses({"__name__": "acz_x.training", "hinge": len})
