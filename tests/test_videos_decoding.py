"""Decoding of video files by ffmpeg: time stamps, sizes, sound, limits, and a corpus of odd and hostile files."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.data.videos import ffmpeg
from acz.data.videos.decoding import Picture, read_frames, read_sound
from acz.data.videos.ffmpeg import Limits
from acz.data.videos.listing import plain_name
from acz.foundation.errors import DataError, MissingError
from acz.foundation.progress import Progress
from tests.video_cases import (
    CORPUS,
    SECONDS,
    make_clip,
    make_corpus,
    numbered,
    numbers_in,
    numbers_of,
    write_bars,
)

WHOLE = Picture(64, 48, filter="bilinear")


def test_frames_follow_their_time_stamps(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv")
    for fps, numbers in ((1, [0, 10, 20]), (2, [0, 5, 10, 15, 20, 25]), (0.5, [0, 20]), (10, list(range(30)))):
        frames = read_frames(path, WHOLE, fps, 300)
        assert numbers_of(frames.pixels) == numbers
        np.testing.assert_allclose(frames.times, np.array(numbers) / 10, atol=1e-9)
    assert numbers_of(read_frames(path, WHOLE, 2, 3).pixels) == [0, 5, 10]  # the most frames


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    path = make_clip(tmp_path / "noise.mkv", frames, ("-c:v", "ffv1", "-pix_fmt", "bgr0"), rate=1)
    np.testing.assert_array_equal(read_frames(path, WHOLE, 1, 300).pixels, frames)


def test_the_crop_is_the_square_in_the_middle(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, 40, 72, 3), dtype=np.uint8)
    path = make_clip(tmp_path / "noise.mkv", frames, ("-c:v", "ffv1", "-pix_fmt", "bgr0"), rate=1)
    cut = read_frames(path, Picture(20, 20, crop=0.5), 1, 300).pixels
    np.testing.assert_array_equal(cut, frames[:, 10:30, 26:46])


def test_sound_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", coding=("-c:v", "ffv1", "-c:a", "pcm_f32le"), sound=(2.0, 22050, 4))
    sound = read_sound(path, 300)
    assert sound is not None
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 22050)
    assert sound.rate == 22050
    np.testing.assert_allclose(sound.samples, wave * (1 + 2 + 3 + 4) / 16, atol=1e-6)
    short = read_sound(path, 0.5)
    assert short is not None
    assert len(short.samples) == 11025
    assert read_sound(make_clip(tmp_path / "silent.mkv", sound=None), 300) is None


def test_limits_hold(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", numbered(20, 640, 480))
    with pytest.raises(DataError, match=r"takes longer than 0\.001 s to decode"):
        read_frames(path, WHOLE, 1, 300, Limits(wall_seconds=0.001))
    with pytest.raises(DataError, match=r"can't read it|no frame"):
        read_frames(path, WHOLE, 1, 300, Limits(pixels=640 * 479))
    with pytest.raises(DataError, match="its sound is larger than 1,000 bytes"):
        read_sound(path, 300, Limits(sound=1000))
    with pytest.raises(DataError, match="can't read it"):
        read_frames(path, WHOLE, 1, 300, Limits(memory=2**20))
    stop = threading.Event()
    stop.set()
    with pytest.raises(DataError, match="was ended"):
        read_frames(path, WHOLE, 1, 300, Limits(stop=stop))


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mkv")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingError, match="ffmpeg is not installed; pip install"):
        read_frames(path, WHOLE, 1, 300)


def test_the_corpus_gives_the_right_features_or_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[call-overload]
            processes.append(self)

    files = make_corpus(tmp_path / "corpus")
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", Recorded)
    out = tmp_path / "out"
    given = [path for path in files.values() if path.exists()]
    made = acz.make_videos(
        given, out, features=str(write_bars(tmp_path)), on_bad_video="skip", hold_out=0, progress=Progress()
    )
    assert all(process.returncode is not None for process in processes)  # nothing runs, and nothing is left to wait for
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
    data = acz.open_data(out, "train")
    ids = data.ids(np.arange(len(data)))
    for odd in CORPUS:
        name = plain_name(odd.name)
        if odd.numbers is None:
            if files[odd.name].exists():
                assert odd.words in made.made.bad[name]
                assert "\n" not in made.made.bad[name]
            continue
        assert name not in made.made.bad, made.made.bad[name]
        examples = data.take(np.array([ids.index(name)]), ["rgb", "audio"])
        rows = examples.inputs["rgb.mask"][0]
        expected = list(odd.numbers)[: odd.rows]
        assert numbers_in(examples.inputs["rgb"][0][rows]) == expected, name
        assert examples.inputs["audio.mask"][0].sum() == len(expected)
    refused = [odd for odd in CORPUS if odd.numbers is None and files[odd.name].exists()]
    assert len(made.made.bad) == len(refused)
    assert len(CORPUS) >= 40
    with pytest.raises(DataError, match="no such file"):
        acz.make_videos([files["gone.mp4"]], tmp_path / "other", progress=Progress())


def test_a_folder_lists_its_videos_alone(tmp_path: Path) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    make_clip(tmp_path / "in/a/b.mkv")
    (tmp_path / "in/notes.txt").write_text("no video")
    made = acz.make_videos(
        [tmp_path / "in"], tmp_path / "out", features=str(write_bars(tmp_path)), hold_out=0, progress=Progress()
    )
    assert made.made.videos == {"train": 1}
    data = acz.open_data(tmp_path / "out", "train")
    assert data.ids(np.array([0])) == ["a/b.mkv"]
    assert numbers_in(data.take(np.array([0]), ["rgb"]).inputs["rgb"][0]) == list(SECONDS)
