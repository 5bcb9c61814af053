"""Data sets from videos: labels, splits, resuming, bad files, shards, and the commands."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.data.videos import store
from acz.data.videos.decoding import Picture, read_frames, read_sound
from acz.data.videos.extractor import Extractor
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.hashing import file_hash
from acz.foundation.progress import Progress
from tests.conftest import Answer
from tests.video_cases import make_clip, numbered, numbers_in, write_bars

QUIET = Progress()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos in two folders, `cat` and `dog`, with different numbers of frames, and an extractor beside them."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        place = folder / "clips" / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        frames = numbered(60)[number * 7 :]
        make_clip(place / f"{number}.mkv", frames, sound=(6.0, 16000, 1))
    write_bars(folder)
    return folder


def make(videos: Path, out: Path, **options: object) -> acz.MadeData:
    return acz.make_videos([videos / "clips"], out, features=str(videos / "bars.yaml"), progress=QUIET, **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, str]:
    """The hash of each file of a data set."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def test_folders_are_classes_and_content_decides_the_split(videos: Path, tmp_path: Path) -> None:
    made = make(videos, tmp_path / "out", hold_out=0.5)
    assert made.made.classes == ["cat", "dog"]
    assert (tmp_path / "out/classes.txt").read_text() == "cat\ndog\n"
    seen = {}
    for split in made.made.videos:
        data = acz.open_data(tmp_path / "out", split)
        examples = data.take(np.arange(len(data)), ["rgb"])
        for row, name in enumerate(data.ids(np.arange(len(data)))):
            seen[name] = split
            assert examples.labels[row] == ["cat", "dog"].index(name.split("/")[0])
            mask = examples.inputs.get("rgb.mask")
            valid = examples.inputs["rgb"][row] if mask is None else examples.inputs["rgb"][row][mask[row]]
            first = 7 * int(name.split("/")[1][0])
            assert numbers_in(valid) == list(range(first, 60, 10))
    assert len(seen) == 6
    assert set(seen.values()) == {"train", "validation"}
    fewer = tmp_path / "fewer"
    (fewer / "cat").mkdir(parents=True)
    for path in (videos / "clips/cat").iterdir():
        (fewer / "cat" / f"renamed {path.name}").write_bytes(path.read_bytes())
    again = acz.make_videos(
        [fewer], tmp_path / "again", features=str(videos / "bars.yaml"), hold_out=0.5, progress=QUIET
    )
    for split in again.made.videos:
        data = acz.open_data(tmp_path / "again", split)
        for name in data.ids(np.arange(len(data))):
            assert seen[name.replace("renamed ", "")] == split  # also under another name, and among others


def test_labels_of_a_file(videos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    lines = ["file,label,split", "dog/0.mkv,red|blue,train", "1.mkv,blue,train", "2.mkv,red,test"]
    labels.write_text("\n".join([*lines, "3.mkv,,train", "4.mkv,green,train", "5.mkv,blue,test", "5.mkv,red,test", ""]))
    made = make(videos, tmp_path / "out", labels=labels)
    assert made.made.videos == {"test": 2, "train": 4}
    assert made.made.classes == ["blue", "green", "red"]
    assert made.made.several_labels
    data = acz.open_data(tmp_path / "out", "train")
    rows = dict(zip(data.ids(np.arange(4)), data.take(np.arange(4), []).labels.tolist(), strict=True))
    assert rows["dog/0.mkv"] == [1, 0, 1]
    assert rows["cat/3.mkv"] == [0, 0, 0]
    assert acz.open_data(tmp_path / "out", "test").take(np.arange(2), []).labels.tolist() == [[1, 0, 1], [0, 0, 1]]
    labels.write_text("file,label\n" + "".join(f"{number}.mkv,{number * 2}\n" for number in range(6)))
    assert make(videos, tmp_path / "numbers", labels=labels).made.classes == [str(number) for number in range(11)]

    def refusal(text: str) -> str:
        labels.write_text(text)
        with pytest.raises(DataError) as raised:
            make(videos, tmp_path / "refused", labels=labels)
        return str(raised.value)

    assert "its first line must be file,label" in refusal("a,b\n1,2\n")
    assert "has no line for 'cat/1.mkv'" in refusal("file,label\n0.mkv,x\n")
    assert "line 2: has 1 columns, the first line 2" in refusal("file,label\n0.mkv\n")
    assert "line 3: '0.mkv' is in two splits" in refusal("file,label,split\n0.mkv,x,train\n0.mkv,y,test\n")


def test_unchanged_files_are_not_decoded_again(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = Extractor.decode

    def counted(self: Extractor, path: Path, *arguments: object) -> object:
        decoded.append(path.name)
        return decode(self, path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Extractor, "decode", counted)
    mine = tmp_path / "mine"
    (mine / "clips").mkdir(parents=True)
    for name in ("dog", "cat"):
        (mine / "clips" / name).mkdir()
        for path in (videos / "clips" / name).iterdir():
            (mine / "clips" / name / path.name).write_bytes(path.read_bytes())
    write_bars(mine)
    out = tmp_path / "out"
    make(mine, out)
    assert sorted(decoded) == [f"{number}.mkv" for number in range(6)]
    first = contents(out)
    make(mine, out)
    assert len(decoded) == 6
    assert contents(out) == first
    make_clip(mine / "clips/cat/7.mkv", 25)
    (mine / "clips/dog/0.mkv").unlink()
    made = make(mine, out)
    assert decoded[6:] == ["7.mkv"]
    assert sum(made.made.videos.values()) == 6
    assert acz.verify_data(out) == 6
    with pytest.raises(DataError, match="was begun with other settings"):
        make(mine, out, fps=2)


def test_bad_files_are_named_and_counted(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "clips/x").mkdir(parents=True)
    (tmp_path / "clips/x/bad.mp4").write_text("no video")
    (tmp_path / "clips/x/good.mkv").write_bytes((videos / "clips/cat/1.mkv").read_bytes())
    write_bars(tmp_path)
    with pytest.raises(DataError, match=r"bad\.mp4: ffmpeg can't read it.*--on-bad-video skip leaves such files out"):
        make(tmp_path, tmp_path / "out", hold_out=0)
    made = make(tmp_path, tmp_path / "out", hold_out=0, on_bad_video="skip")
    assert made.made.videos == {"train": 1}
    assert list(made.made.bad) == ["x/bad.mp4"]
    assert "1 files can't be read and are left out:\n  x/bad.mp4: " in str(made)
    assert (tmp_path / "out/bad_videos.txt").read_text().startswith("x/bad.mp4: ")
    (tmp_path / "clips/x/good.mkv").unlink()
    with pytest.raises(DataError, match="none of 1 videos can be read"):
        make(tmp_path, tmp_path / "other", on_bad_video="skip")
    with pytest.raises(DataError, match="must be fail or skip"):
        make(videos, tmp_path / "third", on_bad_video="maybe")
    with pytest.raises(SpecError, match="must be at least 0 and less than 1"):
        make(videos, tmp_path / "third", hold_out=1.0)
    with pytest.raises(DataError, match="holds no videos"):
        acz.make_videos([tmp_path / "clips"], tmp_path / "fourth", progress=QUIET) if not (
            tmp_path / "clips/x/bad.mp4"
        ).unlink() else None


DRIVER = """
import os, sys
sys.path[:0] = {paths!r}
import onnxruntime
import acz
from acz.foundation.progress import Progress
for line in sys.stdin:
    out = line.strip()
    child = os.fork()
    if not child:
        acz.make_videos([{clips!r}], out, features={features!r}, threads=2, progress=Progress())
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.slow  # each starts the command
@pytest.mark.parametrize("kills", [8])
def test_kills_change_nothing(videos: Path, tmp_path: Path, kills: int) -> None:
    """A call that is killed at random moments, and then resumed, writes the bytes of one that was not."""
    code = DRIVER.format(paths=sys.path, clips=str(videos / "clips"), features=str(videos / "bars.yaml"))
    draw = random.Random(5)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None

        def start(out: Path) -> int:
            assert driver.stdin is not None
            assert driver.stdout is not None
            print(out, file=driver.stdin, flush=True)
            return int(driver.stdout.readline())

        began = time.monotonic()
        start(tmp_path / "whole")
        assert int(driver.stdout.readline()) == 0
        seconds = time.monotonic() - began
        killed = 0
        for _ in range(kills):
            child = start(tmp_path / "killed")
            time.sleep(draw.uniform(0, 0.3 * seconds))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killed += int(driver.stdout.readline()) == signal.SIGKILL
        start(tmp_path / "killed")
        assert int(driver.stdout.readline()) == 0
        driver.stdin.close()
    assert killed
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_store_reads_what_it_wrote(tmp_path: Path) -> None:
    kept = store.Store(tmp_path)
    assert kept.find("ab" * 32) is None
    kept.write("ab" * 32, {"rgb": np.ones((2, 3), np.float32)}, True)
    assert kept.find("ab" * 32) == {"rows": 2, "silent": True, "arrays": ["rgb"]}
    kept.path("ab" * 32, "rgb").unlink()
    assert kept.find("ab" * 32) is None


def test_arrays_of_other_extractors_are_read(tmp_path: Path) -> None:
    """Files are named as video_features names them: VIDEO_rgb.npy and VIDEO_vggish.npy in one folder."""
    for video in ("one", "two"):
        np.save(tmp_path / f"{video}_rgb.npy", np.full((3, 4), len(video), np.float32))
        np.save(tmp_path / f"{video}_vggish.npy", np.zeros((3, 2), np.float32))
    arrays = {"rgb": tmp_path / "*_rgb.npy", "audio": tmp_path / "*_vggish.npy", "labels": [0, 1]}
    acz.write_data(tmp_path / "out", {"train": arrays}, progress=QUIET)
    data = acz.open_data(tmp_path / "out", "train")
    assert data.ids(np.arange(2)) == ["one", "two"]
    assert sorted(data.input_names) == ["audio", "rgb"]


def test_the_commands(videos: Path, tmp_path: Path, acz: Callable[..., Answer]) -> None:
    words = ("data", "videos", videos / "clips", "--features", videos / "bars.yaml", "--out", tmp_path / "a", "--json")
    made = json.loads(acz(*words).out)
    assert made["inputs"] == {name: {"frames": 6, "features": width} for name, width in (("rgb", 64), ("audio", 128))}
    assert sum(made["videos"].values()) == 6
    assert "efficientnet_lite0" in acz("data", "features").out
    checked = acz("data", "features", "--preset", "youtube8m", "--check", "--files", tmp_path)
    assert checked.code == 1
    assert "missing mean.npy  published: yt8m_pca.tgz" in checked.out
    assert "needs no files" in acz("data", "features", "--preset", "efficientnet_lite0", "--check").out
    refused = acz("data", "features", "--check")
    assert refused.code == 2
    assert "--check and --files need --preset" in refused.err


def test_clips_are_videos_of_every_coding(tmp_path: Path) -> None:
    paths = acz.make_clips(tmp_path / "clips", 5, progress=QUIET)
    assert {path.suffix for path in paths} == {".mp4", ".mkv", ".avi", ".ts"}
    assert not list((tmp_path / "clips").rglob(".*.partial"))
    paths[3].unlink()
    other = paths[4].stat().st_mtime_ns
    assert acz.make_clips(tmp_path / "clips", 5, progress=QUIET) == paths
    assert paths[4].stat().st_mtime_ns == other
    for path in paths[:4]:
        frames = read_frames(path, Picture(128, 128), 1, 300)
        sound = read_sound(path, 300)
        assert sound is not None
        assert 4 <= len(frames.times) <= 13
        assert abs(len(sound.samples) / sound.rate - len(frames.times)) < 1.1
    with pytest.raises(DataError, match="was begun with other settings"):
        acz.make_clips(tmp_path / "clips", 6, progress=QUIET)
