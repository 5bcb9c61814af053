"""Drawings of models, strips of videos, and the attention under them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from acz.data.base import Description
from acz.data.flash_mnist.build import Settings
from acz.data.flash_mnist.digits import load_digits
from acz.data.flash_mnist.labels import digits_of
from acz.data.flash_mnist.videos import LABELS, Frames
from acz.data.folder import Split, write_manifest, write_shard
from acz.foundation.errors import DataError
from acz.foundation.installation import install_command
from acz.model.checkpoint import save_checkpoint
from acz.model.drawing import draw, shape_text
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity import cases
from acz.reference import execution, numpy_backend
from acz.studies.reports.attention import add_attention, compute_attention, take_video
from acz.studies.reports.strip import draw_strip
from acz.zoo.catalog import config_names
from acz.zoo.config import load_config
from tests.conftest import TINY, Answer

SVG = "{http://www.w3.org/2000/svg}"
SMALL = yaml.safe_load((Path(cases.__file__).parent / "layers.yaml").read_text())
MODELS = {name: load_config(name).spec for name in config_names() if not name.endswith(("small", "few_steps"))} | {
    name: Spec.from_dict(tree) for name, tree in SMALL.items()
}


@pytest.mark.parametrize("name", MODELS)
def test_a_drawing_shows_every_layer_with_its_shape_and_parameters(name: str) -> None:
    spec = MODELS[name]
    root = ElementTree.fromstring(draw(spec, name, "a < b & c"))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    for placed in spec.layout:
        assert placed.path.partition(".")[2] in texts
        assert placed.layer.type in texts
        assert shape_text(placed.output_shape) in texts
        count = sum(p.size for p in placed.parameters.values())
        assert not count or f"{count:,}" in texts
    for stream in [*spec.inputs, *(key for key, stream in spec.streams.items() if stream.layers)]:
        assert stream in texts
    assert root.findtext(f"{SVG}title") == f"{name}, {spec.parameter_count:,} parameters"
    assert all(placed.path.partition(".")[2] in (root.findtext(f"{SVG}desc") or "") for placed in spec.layout)


@pytest.mark.parametrize("name", MODELS)
def test_the_boxes_of_a_drawing_lie_inside_it_and_not_on_each_other(name: str) -> None:
    root = ElementTree.fromstring(draw(MODELS[name], name))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    rects = [rect.attrib for rect in root.iter(f"{SVG}rect")]
    boxes = [[float(rect[side]) for side in ("x", "y", "width", "height")] for rect in rects if rect["fill"] != "none"]
    for x, y, w, h in boxes:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    for place, (x, y, w, h) in enumerate(boxes):
        for left, top, wide, tall in boxes[:place]:
            assert x + w <= left or left + wide <= x or y + h <= top or top + tall <= y


def test_show_draws_into_a_file(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "model.svg"
    assert acz("show", "flash_mnist/multimodal", "--out", out).code == 0
    text = out.read_text()
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"
    assert "href" not in text
    assert "url(" not in text
    refused = acz("show", "flash_mnist/multimodal", "--out", tmp_path / "model.png")
    assert refused.code == 2
    assert "must end in .svg" in refused.err


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flash-MNIST of scikit-learn's digits as far as pictures need it; a feature is its frame's brightness."""
    folder = tmp_path_factory.mktemp("videos") / "flash"
    labels = np.arange(LABELS)
    features = np.random.default_rng(0).standard_normal((LABELS, 25, 4)).astype(np.float32)
    records = {s: [write_shard(folder, s, 0, {"features": features, "labels": labels})] for s in ("train", "test")}
    settings = Settings(
        "digits", 3, train_videos_per_label=1, test_videos_per_label=1, images=load_digits().hash, backend="numpy"
    )
    write_manifest(folder, records, {"what": "Flash-MNIST", **asdict(settings)})
    return folder


@pytest.mark.parametrize("label", [0, 1 << 7, 0b1000010110])
def test_frames_made_again_show_the_digits_of_the_label(videos: Path, label: int) -> None:
    frames = Frames(videos, None).make("test", label, label)
    test = load_digits().test
    assert frames.shape == (25, 28, 28)
    shown = {
        int(digit)
        for pixels, digit in zip(test.pixels, test.digits, strict=True)
        if (frames >= pixels).all(axis=(1, 2)).any()
    }
    assert shown == set(digits_of(label))


def test_frames_from_other_images_are_refused(videos: Path, tmp_path: Path) -> None:
    manifest = json.loads((videos / "manifest.json").read_text())
    for change, message in (({"images": "0" * 64}, "has other images"), ({"digits": "mnist"}, "with --mnist")):
        (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"made": manifest["made"] | change}))
        with pytest.raises(DataError, match=message):
            Frames(tmp_path, None)
    with pytest.raises(DataError, match="has the label 4, made again 5"):
        Frames(videos, None).make("test", 5, 4)


def test_attention_is_the_references_and_padding_is_cut_off(tmp_path: Path) -> None:
    spec = load_config(TINY).spec
    source = np.random.default_rng(1)
    arrays = {
        "features": source.standard_normal((6, 5, 4)).astype(np.float32),
        "features.lengths": np.array([5, 3, 1, 4, 5, 2]),
        "labels": np.arange(6),
    }
    write_manifest(tmp_path, {"test": [write_shard(tmp_path, "test", 0, arrays)]}, {"what": "test"})
    split = Split(tmp_path, "test")
    parameters = initial_parameters(spec)
    model = numpy_backend.build(spec, "CPU", "float32")
    numpy_backend.load_parameters(model, parameters)
    output, weights = compute_attention(numpy_backend, model, spec, split, [1, 3])  # type: ignore[arg-type]
    inputs = split.take(np.array([1, 3]), ["features"]).inputs
    wanted = execution.forward(spec, parameters, inputs, record=True)
    np.testing.assert_array_equal(weights["features.attention"], wanted["features.attention.weights"])
    video, _ = take_video(split, 1, Description())
    add_attention(video, spec, Description(), output[0], {"features.attention": weights["features.attention"][0]})
    [attention] = video.attention
    assert attention.weights.shape == (3, 3)  # (units, valid frames)
    np.testing.assert_allclose(attention.weights.sum(axis=1), 1, rtol=1e-6)
    assert video.inputs["features"].shape == (3, 4)
    with pytest.raises(DataError, match=r"has videos 0 \.\. 5; 6 is not one of them"):
        take_video(split, 6, Description())


@pytest.mark.slow
def test_a_strip_with_attention(acz: Callable[..., Answer], videos: Path, tmp_path: Path) -> None:
    spec = load_config(
        TINY, {"model.inputs.features": {"frames": 25, "features": 4}, "model.trunk.logits.units": LABELS}
    ).spec
    save_checkpoint(tmp_path / "model.safetensors", spec, initial_parameters(spec))
    arguments = ("data", "show", videos, "--video", 17, "--run", tmp_path / "model.safetensors", "--json")
    pictures = []
    for name in ("one.png", "two.png"):
        answer = acz(*arguments, "--out", tmp_path / name)
        assert answer.code == 0, answer.err
        about = json.loads(answer.out)
        assert about["label"] == "{0, 4}"
        assert about["predicted"].startswith("{")
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1], "the same video gives the same bytes"
    assert pictures[0].startswith(b"\x89PNG")
    assert acz("data", "show", videos, "--video", 1024).code == 2
    assert acz("data", "show", videos, "--out", tmp_path / "strip.svg").code == 2


def test_without_matplotlib_it_says_what_to_install(
    acz: Callable[..., Answer], videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    answer = acz("data", "show", videos, "--out", tmp_path / "strip.png")
    assert answer.code == 3
    assert install_command("acz[report]") in answer.err
    assert not list(tmp_path.iterdir())


def test_images_of_frames_are_drawn_as_pictures(tmp_path: Path) -> None:
    frames = np.zeros((2, 1, 28, 28), np.uint8)
    arrays = {"frame": frames, "labels": np.array([3, 4])}
    write_manifest(tmp_path, {"test": [write_shard(tmp_path, "test", 0, arrays)]}, {"what": "frames"})
    video, label = take_video(Split(tmp_path, "test"), 1, Description())
    assert label == 4
    assert draw_strip(video).startswith(b"\x89PNG")
