"""NeXtVLAD and the gates of its kin: the reference against sums written out; padded frames; files of eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from acz.foundation.errors import SpecError
from acz.model.layers import LAYERS, Call
from acz.model.layers.dense import ReverseWhitening
from acz.model.layers.experts import MixtureOfExperts
from acz.model.layers.gating import ContextGating, SqueezeExcitation
from acz.model.layers.pooling import GatedBag
from acz.model.layers.vlad import NeXtVLAD
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.zoo.config import load_config
from tests.checkpoint_cases import cases
from tests.conftest import Answer

VIDEOS, FRAMES, FEATURES = 3, 5, 4


def drawn(layer: Any, shape: tuple[int, ...], source: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters of a layer; variances are positive."""
    values = {name: source.standard_normal(p.shape) for name, p in layer.parameters(shape).items()}
    return {name: np.abs(v) + 0.5 if name.endswith("running_variance") else v for name, v in values.items()}


def normalized(p: dict[str, np.ndarray], x: np.ndarray, epsilon: float = 1e-5) -> np.ndarray:
    scale = p["norm.weight"] / np.sqrt(p["norm.running_variance"] + epsilon)
    return np.asarray((x - p["norm.running_mean"]) * scale + p["norm.bias"])


def test_nextvlad_written_out(source: np.random.Generator) -> None:
    layer = NeXtVLAD(clusters=3, groups=2)
    p = drawn(layer, (FRAMES, FEATURES), source)
    x = source.standard_normal((VIDEOS, FRAMES, FEATURES))
    mask = np.arange(FRAMES) < np.array([[5], [2], [0]])
    output = layer.reference(x, p, Call(mask=mask))
    for video in range(VIDEOS):
        sums = np.zeros((4, 3))
        for frame in x[video][mask[video]]:
            wide = frame @ p["expansion.weight"] + p["expansion.bias"]
            alpha = special.expit(wide @ p["attention.weight"] + p["attention.bias"])
            scores = normalized(p, wide @ p["assignment.weight"])
            for g in range(2):
                shares = special.softmax(scores[3 * g : 3 * g + 3])
                for k in range(3):
                    sums[:, k] += alpha[g] * shares[k] * (wide[4 * g : 4 * g + 4] - p["centres"][:, k])
        lengths = np.linalg.norm(sums, axis=0)
        expected = sums / np.where(lengths > 0, lengths, 1)
        np.testing.assert_allclose(output[video], expected.reshape(-1), rtol=1e-10, atol=1e-14)


def test_padded_frames_enter_no_statistic_and_no_sum(source: np.random.Generator) -> None:
    layer = NeXtVLAD(clusters=2, groups=4)
    p = drawn(layer, (FRAMES, FEATURES), source)
    x = source.standard_normal((VIDEOS, FRAMES, FEATURES))
    mask = np.arange(FRAMES) < np.array([[3], [3], [3]])
    short, long = Call(training=True), Call(training=True, mask=mask)
    np.testing.assert_allclose(
        layer.reference(x[:, :3], p, short), layer.reference(np.where(mask[:, :, None], x, 9.0), p, long), rtol=1e-12
    )
    assert short.updated is not None
    assert long.updated is not None
    for name, value in short.updated.items():
        np.testing.assert_allclose(long.updated[name], value, rtol=1e-12)


def test_squeeze_and_excitation_written_out(source: np.random.Generator) -> None:
    layer = SqueezeExcitation(reduction=3)
    p = drawn(layer, (7,), source)
    assert p["squeeze.weight"].shape == (7, 2), "7 // 3"
    x = source.standard_normal((VIDEOS, 7))
    hidden = np.maximum(normalized(p, x @ p["squeeze.weight"]), 0)
    np.testing.assert_allclose(
        layer.reference(x, p, Call()), x * special.expit(hidden @ p["excite.weight"]), rtol=1e-12
    )


def test_no_feature_has_a_part_in_its_own_gate(source: np.random.Generator) -> None:
    layer = ContextGating(remove_diagonal=True)
    p = drawn(layer, (FEATURES,), source)
    x = source.standard_normal((VIDEOS, FEATURES))
    for feature in range(FEATURES):
        others = x.copy()
        others[:, feature] = 0
        gate = special.expit(others @ p["weight"][:, feature] + p["bias"][feature])
        np.testing.assert_allclose(layer.reference(x, p, Call())[:, feature], x[:, feature] * gate, rtol=1e-12)


def test_a_bag_gated_by_its_maximum(source: np.random.Generator) -> None:
    layer = GatedBag(hidden=2)
    p = drawn(layer, (FRAMES, FEATURES), source)
    x = source.random((VIDEOS, FRAMES, FEATURES))
    for video, output in zip(x, layer.reference(x, p, Call()), strict=True):
        largest = video.max(axis=0) / np.linalg.norm(video.max(axis=0))
        gates = special.expit(normalized(p, largest @ p["squeeze.weight"] @ p["excite.weight"]))
        gated = gates * video.sum(axis=0)
        np.testing.assert_allclose(output, gated / np.linalg.norm(gated), rtol=1e-12)
    none = layer.reference(x, p, Call(mask=np.zeros((VIDEOS, FRAMES), dtype=bool)))
    assert not none.any(), "a video without a valid frame gives zeros"


def test_scales_come_from_a_file_and_then_from_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "eigenvals.npy"
    np.save(file, np.array([[4.0], [9.0], [1.0], [7.0], [8.0]], np.float32))
    layers = {"unwhiten": {"type": "reverse_whitening", "eigenvalues": str(file)}}
    tree: dict[str, Any] = {
        "inputs": {"x": {"shape": [3]}},
        "streams": {"x": {"input": "x", "layers": layers}},
        "trunk": {"logits": {"type": "dense", "units": 2}},
    }
    spec = Spec.from_dict(tree)
    np.testing.assert_allclose(initial_parameters(spec)["x.unwhiten.scale"], [2.0001, 3.0001, 1.0001])
    assert "x.unwhiten.scale" not in spec.trained
    layers["unwhiten"] = {"type": "reverse_whitening"}
    assert Spec.from_dict(tree).hash == spec.hash, "the numbers are parameters, the file is not a part of the function"
    assert (initial_parameters(Spec.from_dict(tree))["x.unwhiten.scale"] == 1).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read as a .npy file"),
        (b"text", "can't be read as a .npy file"),
        (np.ones(2), "must hold at least 3 numbers of floating point, none below 0; it holds 2 of float64"),
        (-np.ones(3), "none below 0"),
        (np.ones(3, int), "it holds 3 of int64"),
        (np.full(3, np.nan), "none below 0"),
    ],
)
def test_a_file_that_holds_no_eigenvalues(tmp_path: Path, content: Any, words: str) -> None:
    file = tmp_path / "eigenvals.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.save(file, content)
    layer = ReverseWhitening(eigenvalues=str(file))
    start = layer.parameters((3,))["scale"]
    with pytest.raises(SpecError, match=words) as error:
        start.initial(np.random.default_rng(0), (3,))
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (NeXtVLAD(clusters=2, groups=3), (5, 4), "3 groups must divide 2 times 4 features, which is 8"),
        (NeXtVLAD(clusters=2), (4,), "nextvlad needs"),
        (NeXtVLAD(clusters=2**20), (300, 1024), "are too many"),
        (SqueezeExcitation(), (4,), "4 features can't be reduced by 8"),
        (SqueezeExcitation(reduction=2), (1, 4, 4), "squeeze_excitation needs"),
        (GatedBag(hidden=2), (4,), "gated_bag needs"),
        (ReverseWhitening(), (1, 4, 4), "reverse_whitening needs"),
        (
            MixtureOfExperts.model_validate({"classes": 5, "input_gating": {"remove_diagonal": True}}),
            (4,),
            "at least as many features as classes, got 4 and 5",
        ),
    ],
)
def test_shapes_that_a_layer_does_not_take(layer: Any, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        layer.output_shape(shape)


def test_circulant_experts_have_no_low_rank() -> None:
    with pytest.raises(ValueError, match="circulant matrices have no low_rank and no input_gating"):
        LAYERS["mixture_of_experts"](type="mixture_of_experts", classes=2, circulant={}, low_rank=1)


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    spec = load_config("youtube8m/nextvlad").spec
    assert sum(spec.parameters[path].size for path in spec.trained) == 88_889_378


def test_a_checkpoint_without_its_eigenvalues_is_refused(acz: Callable[..., Answer], tmp_path: Path) -> None:
    file = next(case.file for case in cases() if case.system == "linrongc")
    words = (
        "hold no eigenvalues; name its file yt8m_pca/eigenvals.npy: --set model.streams.rgb.layers.unwhiten.eigenvalues"
    )
    for model in ((), ("--from", "linrongc", "--model", "youtube8m/nextvlad")):
        answer = acz("convert", file, *model, "--out", tmp_path / "out.safetensors")
        assert answer.code == 2, answer.out
        assert words in answer.err


def test_paddles_weights_belong_to_its_form(acz: Callable[..., Answer], tmp_path: Path) -> None:
    """Its batch norms have another epsilon, which no shape shows."""
    case = next(case for case in cases() if case.system == "paddle-nextvlad")
    sizes = [word for key, value in case.overrides.items() for word in ("--set", f"{key}={value}")]
    answer = acz("convert", case.file, "--model", "youtube8m/nextvlad", *sizes, "--out", tmp_path / "out.safetensors")
    assert answer.code == 2
    assert "another formula: rgb.nextvlad: PaddlePaddle's batch norm has epsilon 1e-5" in answer.err
