"""The inputs of a call of a native module, by acz.backend.inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from acz import InputError, load_spec
from acz.backend.inputs import CallInputs

X = np.zeros((3, 5, 50), np.float32)
MASK = np.ones((3, 5), np.uint8)


@pytest.fixture
def one_input() -> CallInputs:
    return inputs_of("flash_mnist/attention_cluster:tiny", {"model.inputs.features.features": 50})


def inputs_of(name: str, overrides: dict[str, Any] | None = None) -> CallInputs:
    return CallInputs(load_spec(name, overrides), lambda value: isinstance(value, np.ndarray), np.shape)


def test_three_ways_to_call_mean_the_same(one_input: CallInputs) -> None:
    assert set(one_input.gather(X, {})) == {"features"}
    assert set(one_input.gather({"features": X}, {})) == {"features"}
    assert set(one_input.gather(None, {"features": X, "features_mask": None})) == {"features"}
    for given, named in (
        ({"features": X, "features.mask": MASK}, {}),
        ({"features": X, "features_mask": MASK}, {}),
        (None, {"features": X, "features_mask": MASK}),
    ):
        arrays = one_input.gather(given, named)
        assert arrays["features"] is X
        assert arrays["features.mask"] is MASK


@pytest.mark.parametrize(
    ("given", "named", "message"),
    [
        (None, {}, "the input 'features' is missing; call it as module"),
        ({"featuers": X}, {}, "did you mean 'features'"),
        (X, {"features_mask": MASK}, "by position or by name"),
        ([X], {}, "must be an array of the framework, not list"),
        ({"features": None}, {}, "must be an array"),
        ({"features": X, "features.mask": MASK, "features_mask": MASK}, {}, "given twice"),
        ({"features": X[0]}, {}, "must have the shape"),
        ({"features": X[:, :, :49]}, {}, "videos, frames, 50"),
        ({"features": X, "features.mask": MASK[:1, :1]}, {}, "must have the shape"),
        ({"features": X, "features.mask": MASK[:, :, None]}, {}, "must have the shape"),
        ({"features": X, "features.mask": MASK.T}, {}, "must have the shape"),
        ({"features.mask": MASK}, {}, "is missing"),
    ],
)
def test_another_call_is_one_clear_error(one_input: CallInputs, given: Any, named: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        one_input.gather(given, named)
    assert issubclass(InputError, TypeError)


def test_a_model_of_several_inputs_takes_names_only() -> None:
    inputs = inputs_of("flash_mnist/multimodal:tiny")
    with pytest.raises(InputError, match=r"has 3 inputs; call it as module\("):
        inputs.gather(X, {})
    arrays = {
        name: np.zeros((2 + (name == "audio"), 4, entry.features), np.float32) for name, entry in inputs.inputs.items()
    }
    with pytest.raises(InputError, match="videos"):
        inputs.gather(arrays, {})


def test_a_side_that_is_not_known_is_compared_with_nothing() -> None:
    spec = load_spec("flash_mnist/attention_cluster:tiny", {"model.inputs.features.features": 50})
    shapes = {"x": (None, -1, 50), "mask": (3, "frames")}
    inputs = CallInputs(spec, lambda value: value in shapes, lambda value: shapes[value])
    assert inputs.gather({"features": "x", "features_mask": "mask"}, {}) == {"features": "x", "features.mask": "mask"}
