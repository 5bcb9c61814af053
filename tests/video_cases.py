"""Video files for tests, made by ffmpeg: clips whose frames carry their number, odd files, and hostile ones.

`python -m tests.video_cases FOLDER` writes the corpus.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import acz
from acz.data.videos.ffmpeg import find_ffmpeg
from acz.foundation.arrays import Array
from acz.foundation.progress import Progress
from acz.foundation.randomness import generator

BARS, WIDTH, HEIGHT, RATE = 8, 64, 48, 10
"""Bars of a frame, each white or black as a bit of the frame's number; the size of a frame; frames a second."""


def numbered(count: int, width: int = WIDTH, height: int = HEIGHT) -> Array:
    """Frames that carry their numbers 0 .. 255 as bars, uint8 (frames, height, width, 3)."""
    bits = (np.arange(count)[:, None] >> np.arange(BARS)) & 1
    bars = bits[:, np.arange(width) * BARS // width].astype(np.uint8) * 255
    return np.broadcast_to(bars[:, None, :, None], (count, height, width, 3)).copy()


def numbers_of(frames: Array) -> list[int]:
    """The numbers that frames (frames, height, width, 3) carry."""
    columns = frames.mean(axis=(1, 3))
    bars = columns.reshape(len(frames), BARS, -1).mean(axis=2) > 127
    return [int(number) for number in (bars << np.arange(BARS)).sum(axis=1)]


def ffmpeg(*words: str | Path, given: bytes = b"") -> None:
    """Run ffmpeg, quietly, with bytes on its standard input. The same words write the same bytes, without a random identity."""
    *before, out = map(str, words)
    exact = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    subprocess.run([find_ffmpeg(), "-v", "error", "-y", *before, *exact, out], input=given, check=True, timeout=60)


def tone(seconds: float, rate: int = 44100, channels: int = 1, pitch: float = 440.0) -> bytes:
    """A tone as float32 samples, of which each channel has a share of its loudness."""
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    shares = np.arange(1, channels + 1) / channels
    return (wave[:, None] * shares).astype("<f4").tobytes()


def make_clip(
    path: Path,
    frames: Array | int = 30,
    coding: Sequence[str] = ("-c:v", "ffv1"),
    sound: tuple[float, int, int] | None = (3.0, 16000, 1),
    rate: float = RATE,
) -> Path:
    """Write a video.

    Args:
        path: The file. Its name may be anything.
        frames: Frames (frames, height, width, 3), or the number of numbered ones.
        coding: Options of ffmpeg for the output.
        sound: Seconds, samples a second and channels of its tone; None: it has no sound.
        rate: Frames a second.
    """
    pixels = numbered(frames) if isinstance(frames, int) else frames
    _, height, width, _ = pixels.shape
    form = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "pipe:0"]
    if sound is None:
        ffmpeg(*form, *coding, f"file:{path}", given=pixels.tobytes())
        return path
    seconds, samples, channels = sound
    heard = path.parent / "sound.f32"
    heard.write_bytes(tone(seconds, samples, channels))
    more = ["-f", "f32le", "-ar", str(samples), "-ac", str(channels), "-i", f"file:{heard}"]
    ffmpeg(*form, *more, *coding, f"file:{path}", given=pixels.tobytes())
    heard.unlink()
    return path


@dataclass(frozen=True)
class Odd:
    """A file of the corpus, and what it must give."""

    name: str
    make: Callable[[Path], object]
    numbers: tuple[int, ...] | None = None
    """The numbers of the frames that are taken; None: the file is refused."""
    words: str = ""
    """Words of the refusal."""
    rows: int | None = None
    """Rows of features, where they are not those of the frames: the sound is shorter."""
    options: dict[str, float] = field(default_factory=dict)


SECONDS = (0, 10, 20)
"""The frames of a clip of three seconds."""
SOUND, PCM = ("-c:a", "aac"), ("-c:a", "pcm_s16le")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-r", "25", *SOUND)


def _coded(*words: str) -> Callable[[Path], object]:
    return lambda path: make_clip(path, coding=words)


def _sized(width: int, height: int) -> Callable[[Path], object]:
    return lambda path: make_clip(path, numbered(30, width, height))


def _again(path: Path, *words: str, before: Sequence[str] = ()) -> None:
    """A clip, written again with other options."""
    first = make_clip(path.parent / "first.mp4", coding=("-c:v", "mpeg4", "-q:v", "2", *SOUND))
    ffmpeg(*before, "-i", first, *words, f"file:{path}")
    first.unlink()


def _cut(path: Path, share: float, *coding: str) -> None:
    make_clip(path, coding=coding)
    os.truncate(path, int(path.stat().st_size * share))


def _written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _bytes_of_names(path: Path) -> None:
    """A name that is not UTF-8."""
    make_clip(path.parent / "other.mkv").rename(os.fsdecode(os.fsencode(path)))


CORPUS = (
    Odd("ffv1.mkv", _coded("-c:v", "ffv1"), SECONDS),
    Odd("h264.mp4", _coded("-c:v", "libx264", "-pix_fmt", "yuv420p", *SOUND), SECONDS),
    Odd("h264.mov", _coded("-c:v", "libx264", "-bf", "3", "-g", "300", *SOUND), SECONDS),
    Odd("mpeg4.avi", _coded("-c:v", "mpeg4", "-q:v", "2", *PCM), SECONDS),
    Odd("vp8.webm", _coded("-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime", "-c:a", "libvorbis"), SECONDS),
    Odd("mjpeg.avi", _coded("-c:v", "mjpeg", "-q:v", "2", *PCM), SECONDS),
    Odd("animated.gif", lambda path: make_clip(path, coding=(), sound=None), SECONDS),
    Odd("mpeg2.ts", _coded(*MPEG2), SECONDS),
    Odd("flash.flv", _coded("-c:v", "flv", "-q:v", "2", "-ar", "44100"), SECONDS),
    Odd("windows.wmv", _coded("-c:v", "wmv2", "-q:v", "2"), SECONDS),
    Odd("gray.mkv", _coded("-c:v", "ffv1", "-pix_fmt", "gray"), SECONDS),
    Odd("ten_bits.mkv", _coded("-c:v", "ffv1", "-pix_fmt", "yuv420p10le"), SECONDS),
    Odd("alpha.mkv", _coded("-c:v", "ffv1", "-pix_fmt", "bgra"), SECONDS),
    Odd("wrong_end.avi", _coded("-c:v", "ffv1", "-f", "matroska"), SECONDS),
    Odd("no_end", _coded("-c:v", "ffv1", "-f", "matroska"), SECONDS),
    Odd("odd_size.mkv", _sized(63, 47), SECONDS),
    Odd("wide.mkv", _sized(512, 2), SECONDS),
    Odd("tall.mkv", _sized(8, 512), SECONDS),
    Odd("large.mkv", lambda path: make_clip(path, numbered(3, 2048, 1024), rate=1), (0, 1, 2)),
    Odd("one_frame.mkv", lambda path: make_clip(path, 1), (0,)),
    Odd("half_second.mkv", lambda path: make_clip(path, 5, sound=(0.5, 16000, 1)), (0,)),
    Odd("fast.mkv", lambda path: make_clip(path, 180, rate=60), (0, 60, 120)),
    Odd("slow.mkv", lambda path: make_clip(path, 2, rate=0.5, sound=(4.0, 16000, 1)), (0, 1)),
    Odd(
        "variable_rate.mkv",
        lambda path: _again(path, "-vf", "select='not(mod(n,7))+lt(n,9)'", "-fps_mode", "vfr", "-c:v", "ffv1"),
        (0, 14, 28),
    ),
    Odd("late_start.ts", lambda path: _again(path, *MPEG2, "-output_ts_offset", "100"), SECONDS),
    Odd("rotated.mp4", lambda path: _again(path, "-c", "copy", before=("-display_rotation", "180")), (0, 80, 40)),
    Odd("long_sound.mkv", lambda path: make_clip(path, sound=(9.0, 16000, 1)), SECONDS),
    Odd("short_sound.mkv", lambda path: make_clip(path, sound=(2.0, 16000, 1)), SECONDS, rows=2),
    Odd("no_sound.mkv", lambda path: make_clip(path, sound=None), SECONDS),
    Odd("low_sound.mkv", lambda path: make_clip(path, sound=(3.0, 8000, 1)), SECONDS),
    Odd("six_channels.mkv", lambda path: make_clip(path, sound=(3.0, 48000, 6)), SECONDS),
    Odd(
        "two pictures.mkv",
        lambda path: _again(path, "-map", "0:v", "-map", "0:v", "-map", "0:a", "-c", "copy"),
        SECONDS,
    ),
    Odd("name with 'quotes' and \"more\".mkv", make_clip, SECONDS),
    Odd("line\nbreak.mkv", make_clip, SECONDS),
    Odd("-dash.mkv", make_clip, SECONDS),
    Odd("concat:a|b %d.mkv", make_clip, SECONDS),
    Odd(os.fsdecode(b"no\xff\xfeutf8.mkv"), _bytes_of_names, SECONDS),
    Odd("damaged_end.ts", lambda path: _cut(path, 0.6, *MPEG2), (0, 10), rows=1),
    Odd("empty.mp4", _written(b""), words="is empty"),
    Odd("text.mp4", _written(b"not a video\n" * 100), words="can't read it"),
    Odd("zeros.mp4", _written(bytes(2**20)), words="can't read it"),
    Odd("noise.mkv", lambda path: path.write_bytes(generator(0, "noise").bytes(2**18)), words="can't read it"),
    Odd("no_index.mp4", lambda path: _cut(path, 0.5, "-c:v", "mpeg4", *SOUND), words="can't read it"),
    Odd("sound_alone.mp4", lambda path: _again(path, "-vn", "-c:a", "copy"), words="has no picture"),
    Odd("playlist.mp4", _written(b"#EXTM3U\n#EXTINF:3,\nffv1.mkv\n#EXT-X-ENDLIST\n"), words="can't read it"),
    Odd("list.mkv", _written(b"ffconcat version 1.0\nfile ffv1.mkv\n"), words="can't read it"),
    Odd("huge.gif", _written(b"GIF89a\xff\xff\xff\xff\x00\x00\x00," + bytes(9) + b"\x02\x01\x00\x00;"), words="read"),
    Odd("gone.mp4", lambda path: path.symlink_to("nothing"), words="no such file"),
    Odd("pipe.mp4", os.mkfifo, words="no such file"),
)
"""Odd and hostile files."""


def make_corpus(folder: Path) -> dict[str, Path]:
    """Write the corpus. Returns the files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for odd in CORPUS:
        files[odd.name] = folder / odd.name
        odd.make(files[odd.name])
    return files


def write_network(
    path: Path, output: Callable[[Any], list[Any]], shape: Sequence[Any], arrays: dict[str, Array]
) -> None:
    """Write an ONNX network.

    Args:
        path: The file.
        output: Gives its nodes, from `given` to `features`, with the helper of ONNX.
        shape: The shape of its input, float32.
        arrays: Its constants.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    graph = helper.make_graph(
        output(helper),
        "network",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


BARS_YAML = """
about: The bars of numbered frames, and statistics of the sound.
most: 20
rgb: {network: bars.onnx, size: [64, 48], filter: bilinear, scale: 255, layout: nchw}
audio: {}
"""


def write_bars(folder: Path) -> Path:
    """Write an extractor whose features of a frame are the means of its columns, so that they tell the frame's number."""

    def nodes(helper: Any) -> list[Any]:
        return [helper.make_node("ReduceMean", ["given"], ["features"], axes=[1, 2], keepdims=0)]

    folder.mkdir(parents=True, exist_ok=True)
    write_network(folder / "bars.onnx", nodes, ["frames", 3, HEIGHT, WIDTH], {})
    (folder / "bars.yaml").write_text(BARS_YAML)
    return folder / "bars.yaml"


def numbers_in(features: Array) -> list[int]:
    """The numbers of the frames whose features an extractor of bars gave, (frames, 64)."""
    bars = features.reshape(len(features), BARS, -1).mean(axis=2) > 0.5
    return [int(number) for number in (bars << np.arange(BARS)).sum(axis=1)]


MODEL = """
model:
  inputs: {rgb: {frames: 6, features: 64}, audio: {frames: 6, features: 128}}
  streams:
    rgb: {input: rgb, layers: {attention: {type: attention_cluster, units: 3}}}
    audio: {input: audio, layers: {attention: {type: attention_cluster, units: 2}}}
  trunk: {logits: {type: dense, units: 2}}
  output: softmax
train: {epochs: 2, batch_size: 2}
"""


def train_on_clips(folder: Path) -> Path:
    """Train a run `run` on a data set `data` of four videos in `clips`, whose features are bars. Returns the folder."""
    for number in range(4):
        place = folder / "clips" / ("<b>cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        make_clip(place / f"{number}.mkv", numbered(60)[number:], sound=(6.0, 16000, 1))
    features = str(write_bars(folder))
    (folder / "labels.csv").write_text(
        "file,label,split\n"
        + "".join(f"{n}.mkv,{'<b>cat' if n % 2 else 'dog'},{'test' if n > 1 else 'train'}\n" for n in range(4))
    )
    quiet = Progress()
    acz.make_videos(
        [folder / "clips"], folder / "data", features=features, labels=folder / "labels.csv", progress=quiet
    )
    (folder / "model.yaml").write_text(MODEL)
    acz.train(folder / "model.yaml", data=folder / "data", out=folder / "run", backend="numpy", progress=quiet)
    return folder


if __name__ == "__main__":
    for name in make_corpus(Path(sys.argv[1])):
        print(ascii(name))
