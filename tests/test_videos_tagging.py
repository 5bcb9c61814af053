"""Tagging video files with a trained model: features as the run's data were made, labels over time, and the page."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import acz
from acz import infer_video, watch_videos
from acz.foundation.errors import CheckpointError, DataError, SpecError
from acz.foundation.progress import Progress
from acz.studies.reports.video_page import encode_png
from tests.conftest import Answer
from tests.video_cases import train_on_clips, write_bars

QUIET = Progress()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run `run` on a data set `data` of four videos in `clips`."""
    return train_on_clips(tmp_path_factory.mktemp("tagging"))


def test_the_scores_are_those_of_the_data_set(folder: Path, tmp_path: Path) -> None:
    """A video's scores are those that the evaluation of the data set gives it, and windows are those of its parts."""
    tagged = acz.infer_video(
        folder / "run", folder / "clips", tmp_path / "all.npz", files=folder, window=2, progress=QUIET
    )
    with np.load(tmp_path / "all.npz") as written:
        scores = dict(zip(written["id"].tolist(), written["scores"], strict=True))
    checkpoint = acz.load_checkpoint(folder / "run/best.safetensors")
    assert [video["id"] for video in tagged.videos] == sorted(scores)
    for split in ("train", "test"):
        data = acz.open_data(folder / "data", split)
        examples = data.take(np.arange(len(data)), ["rgb", "audio"])
        output = acz.reference.forward(checkpoint.spec, checkpoint.parameters, examples.inputs)["output"]
        for name, expected in zip(data.ids(np.arange(len(data))), output, strict=True):
            np.testing.assert_allclose(scores[name], expected, atol=1e-6)
    names = ["<b>cat", "dog"]
    for video in tagged.videos:
        assert [name for name, _ in video["labels"]] == [names[label] for label in np.argsort(-scores[video["id"]])]
        assert [(part["start"], part["end"]) for part in video["windows"]] == [(at, at + 2.0) for at in range(5)]
    data = acz.open_data(folder / "data", "train")
    inputs = {key: value[:1, 1:3] for key, value in data.take(np.arange(1), ["rgb", "audio"]).inputs.items()}
    part = acz.reference.forward(checkpoint.spec, checkpoint.parameters, inputs)["output"][0]
    second = next(video for video in tagged.videos if video["id"] == data.ids(np.arange(1))[0])["windows"][1]
    assert dict(second["labels"])[names[1]] == pytest.approx(float(part[1]), abs=2e-6)


class Tags(HTMLParser):
    """The open tags and the values that load something, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "wbr", "rect", "polyline", "circle"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "polyline", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_loads_nothing(folder: Path, tmp_path: Path, acz: Callable[..., Answer]) -> None:
    page = tmp_path / "page.html"
    answer = acz("infer", folder / "run", "--video", folder / "clips/dog/0.mkv", "--files", folder, "--out", page)
    assert answer.code == 0, answer.err
    assert "0.mkv: " in answer.out
    content = page.read_text()
    tags = Tags()
    tags.feed(content)
    assert not tags.open
    assert all(source.startswith(("data:", "#")) for source in tags.sources)
    assert sum(source.startswith("data:image/png") for source in tags.sources) == 6  # a frame of each second
    assert "<b>cat" not in content
    assert "<b>cat" in tags.text
    for words in ("best labels of the whole video", "Attention of rgb.attention", "Attention of audio.attention"):
        assert words in tags.text
    assert len(re.findall("<rect ", content)) == (3 + 2) * 6
    lines = tmp_path / "all.jsonl"
    assert acz("infer", folder / "run", "--video", folder / "clips", "--files", folder, "--out", lines).code == 0
    assert [json.loads(line)["id"] for line in lines.read_text().splitlines()] == [
        "<b>cat/1.mkv",
        "<b>cat/3.mkv",
        "dog/0.mkv",
        "dog/2.mkv",
    ]


def test_videos_that_arrive_are_tagged_once(folder: Path, tmp_path: Path, acz: Callable[..., Answer]) -> None:
    place, out = tmp_path / "in", tmp_path / "tags.jsonl"
    place.mkdir()
    clips = {f"{number}.mkv": folder / "clips/dog" / f"{number}.mkv" for number in (0, 2)}
    looks: list[list[str]] = []

    def ids() -> list[str]:
        return [json.loads(line)["id"] for line in out.read_text().splitlines()] if out.exists() else []

    def stop() -> bool:
        """Let a file arrive in two parts, then another one, then a file of text."""
        looks.append(ids())
        content, look = clips["0.mkv"].read_bytes(), len(looks)
        if look <= 2:
            (place / "0.mkv").write_bytes(content[: len(content) // 2] if look == 1 else content)
        if look == 4:
            (place / "2.mkv").write_bytes(clips["2.mkv"].read_bytes())
            (place / "bad.mp4").write_text("no video")
        return look == 7

    count = watch_videos(folder / "run", place, out, files=folder, seconds=0, stop=stop, progress=QUIET)
    assert count == 3
    assert looks == [[], [], [], ["0.mkv"], ["0.mkv"], ["0.mkv", "2.mkv", "bad.mp4"], ["0.mkv", "2.mkv", "bad.mp4"]]
    written = out.read_text()
    first, _, bad = map(json.loads, written.splitlines())
    assert first == infer_video(folder / "run", clips["0.mkv"], files=folder, progress=QUIET).videos[0]
    assert "ffmpeg can't read it" in bad["error"]
    assert watch_videos(folder / "run", place, out, files=folder, seconds=0, stop=lambda: True, progress=QUIET) == 0
    assert out.read_text() == written
    out.write_text("{}\n")
    with pytest.raises(DataError, match="holds other lines than those of tagged videos"):
        watch_videos(folder / "run", place, out, files=folder, progress=QUIET)
    with pytest.raises(SpecError, match=r"are written as \.jsonl"):
        watch_videos(folder / "run", place, tmp_path / "x.html", files=folder, progress=QUIET)
    assert "--watch needs --video FOLDER" in acz("infer", folder / "run", "--watch").err


def test_pictures_are_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    content = encode_png(pixels)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (7, 5)
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(content[start + 4 : start + 4 + length]), np.uint8).reshape(5, 22)
    assert (rows[:, 0] == 0).all()
    np.testing.assert_array_equal(rows[:, 1:].reshape(5, 7, 3), pixels)


def test_wrong_use_is_refused(folder: Path, tmp_path: Path) -> None:
    clip = folder / "clips/dog/0.mkv"
    with pytest.raises(DataError, match="there is no file"):
        acz.infer_video(folder / "run", clip, files=tmp_path, progress=QUIET)
    write_bars(tmp_path)
    with (tmp_path / "bars.onnx").open("ab") as file:
        file.write(b"\x32\x00")  # an empty producer version: another file, the same network
    with pytest.raises(DataError, match="'bars' is not the one that the data were made with"):
        acz.infer_video(folder / "run", clip, files=tmp_path, progress=QUIET)
    with pytest.raises(SpecError, match=r"are written as \.html"):
        acz.infer_video(folder / "run", clip, tmp_path / "x.csv", files=folder, progress=QUIET)
    with pytest.raises(SpecError, match="must be positive"):
        acz.infer_video(folder / "run", clip, files=folder, window=0, progress=QUIET)
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"bad\.mp4: ffmpeg can't read it"):
        acz.infer_video(folder / "run", tmp_path / "bad.mp4", files=folder, progress=QUIET)
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((folder / "run/best.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="does not say how features of videos are made"):
        acz.infer_video(alone, clip, files=folder, progress=QUIET)


def test_the_model_of_the_quickstart_is_that_of_the_page() -> None:
    root = Path(__file__).parents[1]
    assert (root / "docs/videos.yaml").read_text() in (root / "docs/videos.md").read_text()
    assert "docs/videos.yaml" in (root / "scripts/quickstart.sh").read_text()
