"""Networks in the files of frameworks make the features of videos: frozen graphs, exported programs, TorchScript."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.data.videos.networks import open_network
from acz.foundation.errors import DataError, SpecError
from acz.foundation.progress import Progress
from parity_tests.conftest import require
from tests.video_cases import make_clip

pytestmark = pytest.mark.slow

SIDE, WIDTH, BLOCK = 299, 2048, 23
FROZEN = """
import sys, numpy as np, tensorflow as tf
weights = np.load(sys.argv[1])
with tf.Graph().as_default() as graph:
    file = tf.compat.v1.placeholder(tf.string, [], name="DecodeJpeg/contents")
    decoded = tf.cast(tf.image.decode_jpeg(file, channels=3), tf.float32)
    resized = tf.image.resize(decoded[None], [299, 299])
    frames = tf.multiply(tf.ensure_shape(resized, [1, 299, 299, 3]) - 128.0, 1 / 128, name="Mul")
    pooled = tf.transpose(tf.nn.avg_pool2d(frames, 23, 23, "VALID"), [0, 3, 1, 2])
    product = tf.matmul(tf.reshape(pooled, [1, 507]), tf.constant(weights))
    tf.reshape(product, [1, 2048], name="pool_3/_reshape")
    tf.nn.softmax(product, name="softmax")
open(sys.argv[2], "wb").write(graph.as_graph_def().SerializeToString())
"""
PYTORCH = """
import sys, numpy as np, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.from_numpy(np.load(sys.argv[1])))
    def forward(self, frames):
        blocks = torch.nn.functional.avg_pool2d(frames.permute(0, 3, 1, 2), 23)
        return blocks.reshape(blocks.shape[0], -1) @ self.weights
class Named(Net):
    def forward(self, *, frames):
        return {"features": super().forward(frames), "frames": frames.mean((1, 2))}
example = torch.zeros(2, 299, 299, 3)
rows = torch.export.Dim("rows")
torch.export.save(torch.export.export(Net(), (example,), dynamic_shapes=({0: rows},)), sys.argv[2] + "/any.pt2")
torch.export.save(torch.export.export(Named(), (), {"frames": example}), sys.argv[2] + "/named.pt2")
torch.jit.trace(Net(), example).save(sys.argv[2] + "/script.pt")
torch.save(Net().state_dict(), sys.argv[2] + "/weights.pt")
"""


def python(code: str, *words: object) -> None:
    """Run code in a process of its own: a framework is alone in its process."""
    subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.npy"
    np.save(path, np.random.default_rng(8).normal(0, 0.02, (3 * 13 * 13, WIDTH)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def frozen(weights: Path) -> Path:
    """A graph with the names of Inception's, and its shapes of one frame; it begins with a JPEG file."""
    require("tensorflow")
    python(FROZEN, weights, weights.with_name("classify_image_graph_def.pb"))
    return weights.with_name("classify_image_graph_def.pb")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(9).normal(0, 1, (5, SIDE, SIDE, 3)).astype(np.float32)


def expected(frames: np.ndarray, weights: Path) -> np.ndarray:
    blocks = frames.astype(np.float64).transpose(0, 3, 1, 2).reshape(len(frames), 3, 13, BLOCK, 13, BLOCK)
    return np.asarray(blocks.mean(axis=(3, 5)).reshape(len(frames), -1) @ np.load(weights))


def test_a_frozen_graph_is_fed_at_any_value(frozen: Path, weights: Path, frames: np.ndarray, tmp_path: Path) -> None:
    network = open_network(frozen.name, frozen.parent, 1, input="Mul:0", output="pool_3/_reshape")
    assert network.shape == (1, SIDE, SIDE, 3)
    np.testing.assert_allclose(network.run(frames, 16), expected(frames, weights), rtol=0, atol=1e-5)
    with pytest.raises(DataError, match=r"name its output: it has pool_3/_reshape, softmax"):
        open_network(frozen.name, frozen.parent, 1, input="Mul:0")
    with pytest.raises(DataError, match="it has no input 'Multiply:0'"):
        open_network(frozen.name, frozen.parent, 1, input="Multiply:0", output="softmax")
    (tmp_path / "other.pb").write_bytes(b"no graph")
    with pytest.raises(DataError, match="tensorflow can't load it"):
        open_network("other.pb", tmp_path, 1)


def test_files_of_pytorch_are_run(weights: Path, frames: np.ndarray, tmp_path: Path) -> None:
    require("torch")
    python(PYTORCH, weights, tmp_path)
    for name, shape, output in (
        ("any.pt2", (None, SIDE, SIDE, 3), None),
        ("named.pt2", (2, SIDE, SIDE, 3), "features"),  # the last of five frames is computed beside zeros
        ("script.pt", (), None),
    ):
        network = open_network(name, tmp_path, 1, output=output)
        assert network.shape == shape
        np.testing.assert_allclose(network.run(frames, 3), expected(frames, weights), rtol=0, atol=1e-5)
    for name, given, words in (
        ("any.pt2", {"input": "frames"}, "a file of PyTorch has one input; leave out input"),
        ("weights.pt", {}, "torch can't load it"),
    ):
        with pytest.raises(DataError, match=words):
            open_network(name, tmp_path, 1, **given)
    for name, words in (
        ("named.pt2", "it has no output 'pool'; it has features, frames"),
        ("script.pt", "its outputs have no names; leave out output"),
    ):
        with pytest.raises(DataError, match=words):
            open_network(name, tmp_path, 1, output="pool").run(frames, 2)
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(SpecError, match="an ONNX file has one input"):
        open_network("x.onnx", tmp_path, 1, input="frames")


def test_a_frozen_graph_takes_the_place_of_the_preset_s_onnx_file(frozen: Path, tmp_path: Path) -> None:
    verdicts = {file["name"]: file["verdict"] for file in acz.check_features("youtube8m", frozen.parent).files}
    assert verdicts["classify_image_graph_def.pb"] == "right"
    assert "inception-2015-12-05.onnx" not in verdicts
    missing = acz.check_features("youtube8m", tmp_path).files
    assert missing[0]["name"] == "inception-2015-12-05.onnx"
    assert "or take classify_image_graph_def.pb" in missing[0]["reason"]
    assert not [file for file in missing if file["name"].endswith(".pb")]


def test_a_data_set_is_made_with_a_frozen_graph(frozen: Path, weights: Path, tmp_path: Path) -> None:
    settings = frozen.with_name("frozen.yaml")
    names = f"network: {frozen.name}, input: Mul:0, output: pool_3/_reshape:0"
    settings.write_text(f"about: a graph\nrgb: {{{names}, size: [299, 299], layout: nhwc}}\n")
    pixels = np.random.default_rng(3).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    clip = make_clip(tmp_path / "clip.mkv", pixels, ("-c:v", "ffv1", "-pix_fmt", "bgr0"), None, rate=1)
    acz.make_videos([clip], tmp_path / "out", features=str(settings), hold_out=0, progress=Progress())
    features = acz.open_data(tmp_path / "out", "train").take(np.array([0]), ["rgb"]).inputs["rgb"][0]
    np.testing.assert_allclose(features, expected(pixels.astype(np.float32), weights), rtol=1e-4, atol=1e-3)
