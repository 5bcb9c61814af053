"""Small video files to try things with: scikit-learn's digits move over noise, and each digit has its tone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from acz.data.flash_mnist.digits import load_digits
from acz.data.videos.ffmpeg import Limits, run_ffmpeg
from acz.foundation.arrays import Array
from acz.foundation.files.atomic import PARTIAL, remove_leftovers
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.locks import locked
from acz.foundation.randomness import generator

SIDE, SCALE, RATE, SAMPLES = 128, 3, 10, 16000
"""Pixels of a frame's side and of a pixel of a digit, frames a second, and samples of sound a second."""
LENGTHS = (4, 13)
"""Seconds of a clip: at least, and below."""
SHOWN = 0.5
"""The share of the seconds in which the digit is seen; its tone is heard in the others too, but softly."""
LOWEST, STEP = 220.0, 2 ** (4 / 12)
"""The tone of digit 0 in Hz, and the ratio of two neighbours."""
CODINGS = (
    (".mp4", ("-c:v", "mpeg4", "-q:v", "4", "-c:a", "aac")),
    (".mkv", ("-c:v", "ffv1", "-c:a", "pcm_s16le")),
    (".avi", ("-c:v", "mjpeg", "-q:v", "4", "-c:a", "pcm_s16le")),
    (".ts", ("-c:v", "mpeg2video", "-r", "25", "-q:v", "4", "-c:a", "mp2")),
)
"""The ends of names, and the options of ffmpeg."""
SETTINGS = "clips.json"


def make_clips(
    out: Path, count: int, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Path]:
    """Write clips, `out/DIGIT/NUMBER.mp4` and so on. An interrupted call is resumed by the same call.

    Args:
        out: The folder to write.
        count: The number of clips; the digits take turns.
        seed: Everything random follows from it.
        progress: Is called with the clips that are done, and all of them.

    Raises:
        DataError: `out` holds something else.
        MissingError: ffmpeg is missing.
    """
    images = load_digits().train
    paths = []
    with locked(out):
        claim_folder(out, SETTINGS, {"what": "clips", "count": count, "seed": seed})
        remove_leftovers(out)
        for number in range(count):
            digit = number % 10
            end, coding = CODINGS[(number + number // 10) % len(CODINGS)]
            path = out / str(digit) / f"{number:04d}{end}"
            if not path.is_file():
                path.parent.mkdir(exist_ok=True)
                frames, sound = draw_clip(
                    images.pixels[images.digits == digit] / 255, digit, generator(seed, "clip", number)
                )
                _encode(path, frames, sound, coding)
            paths.append(path)
            progress(number + 1, count)
    return paths


def draw_clip(images: Array, digit: int, source: np.random.Generator) -> tuple[Array, Array]:
    """The frames uint8 (frames, SIDE, SIDE), and the sound float32 (samples), of a clip.

    Args:
        images: Pictures of the digit, 0 .. 1, (pictures, 28, 28).
        digit: The digit.
        source: The random numbers.
    """
    seconds = int(source.integers(*LENGTHS))
    image = np.kron(images[source.integers(len(images))], np.ones((SCALE, SCALE)))
    side = len(image)
    frames = source.uniform(0, 0.4, (seconds * RATE, SIDE, SIDE))
    shown = np.zeros(seconds, bool)
    shown[source.permutation(seconds)[: max(2, round(SHOWN * seconds))]] = True
    start, end = source.uniform(0, SIDE - side, (2, 2))
    for number in range(len(frames)):
        if shown[number // RATE]:
            top, left = (start + (end - start) * number / len(frames)).astype(int)
            frames[number, top : top + side, left : left + side] += image
    times = np.arange(seconds * SAMPLES) / SAMPLES
    loudness = np.repeat(np.where(shown, 0.3, 0.02), SAMPLES)
    sound = loudness * np.sin(2 * np.pi * LOWEST * STEP**digit * times) + source.normal(0, 0.02, len(times))
    return (np.clip(frames, 0, 1) * 255).astype(np.uint8), sound.astype(np.float32)


def _encode(path: Path, frames: Array, sound: Array, coding: tuple[str, ...]) -> None:
    """Write a video file through two raw files beside it, which are removed."""
    pictures, heard, written = (path.with_name(f".{path.name}.{part}{PARTIAL}") for part in ("video", "sound", "out"))
    try:
        pictures.write_bytes(frames.tobytes())
        heard.write_bytes(sound.astype("<f4").tobytes())
        form = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi", ".ts": "mpegts"}[path.suffix]
        arguments = [
            *("-hide_banner", "-nostdin", "-loglevel", "error"),
            *("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{SIDE}x{SIDE}", "-r", str(RATE), "-i", f"file:{pictures}"),
            *("-f", "f32le", "-ar", str(SAMPLES), "-ac", "1", "-i", f"file:{heard}"),
            *("-pix_fmt", "yuvj420p" if "mjpeg" in coding else "yuv420p", *coding),
            *("-f", form, "-fflags", "+bitexact", "-y", f"file:{written}"),
        ]
        run_ffmpeg(path, arguments, Limits(), lambda part: None)
        written.replace(path)
    finally:
        for leftover in (pictures, heard, written):
            leftover.unlink(missing_ok=True)
