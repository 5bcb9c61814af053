"""Frames and sound of a video file.

Frames are taken by their time stamps: the first frame, then each first one whose time is at least 1 / fps seconds after
the last. So a variable frame rate, and frames that are missing, change nothing else. ffmpeg applies a rotation flag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acz.data.videos.ffmpeg import Limits, open_arguments, run_ffmpeg
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

TOLERANCE = 1e-6
"""Seconds by which a frame may come too early: time stamps are rounded."""
AU_HEADER, AU_FLOATS = 24, 6
"""Bytes of the fixed part of the header of a sound file of Sun, and its code of float32."""
NO_STREAM = "matches no streams"
"""The words of ffmpeg for a file without the stream that is asked for."""


@dataclass(frozen=True)
class Frames:
    """Frames of a video."""

    pixels: Array
    """uint8 (frames, height, width, 3), red first."""
    times: Array
    """The time of each frame in seconds, from the first one, float64 (frames)."""


@dataclass(frozen=True)
class Sound:
    """The sound of a video, the mean of its channels."""

    samples: Array
    """float32 (samples), -1 .. 1."""
    rate: int
    """Samples a second."""


@dataclass(frozen=True)
class Picture:
    """The form in which frames are wanted."""

    width: int
    height: int
    crop: float | None = None
    """The share of the shorter side that the square in the middle has; None: the whole frame, whatever its form."""
    filter: str = "bicubic"
    """The interpolation, bicubic or bilinear."""


def read_frames(
    path: Path, picture: Picture, fps: float, most: int, limits: Limits | None = None, threads: int = 1
) -> Frames:
    """Decode the frames of a video.

    Args:
        path: The file.
        picture: The size of the frames.
        fps: Frames a second.
        most: The most frames.
        limits: Limits of the decoding.
        threads: Threads of the decoder.

    Raises:
        DataError: The file is missing, has no picture, is damaged, or is beyond a limit.
        MissingError: ffmpeg is missing.
    """
    require_file(path)
    limits = limits or Limits()
    chosen = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t\\,{1 / fps - TOLERANCE:.9f})'"
    cut = "" if picture.crop is None else f"crop='max(2\\,floor(min(iw\\,ih)*{picture.crop}))':'out_w',"
    scaled = f"scale={picture.width}:{picture.height}:flags={picture.filter}+accurate_rnd+full_chroma_int+bitexact"
    graph = f"[0:v:0]{chosen},{cut}{scaled},format=rgb24,split[frames][copy];[copy]scale=2:2[stamps]"
    output = ["-fps_mode", "passthrough", "-frames:v", str(most)]
    arguments = [
        *open_arguments(path, limits, threads),
        *("-filter_complex_threads", "1", "-filter_complex", graph),
        *("-map", "[frames]", *output, "-f", "rawvideo", "-y", "pipe:1"),
        *("-map", "[stamps]", *output, "-f", "framecrc", "{beside}"),
    ]
    pixels, stamps = bytearray(), bytearray()
    size = picture.width * picture.height * 3
    try:
        run_ffmpeg(path, arguments, limits, pixels.extend, stamps.extend)
    except DataError as error:
        raise _without(path, error, "picture") from None
    count = len(pixels) // size
    times = _times(stamps.decode("ascii", "replace"))[:count]
    if not count or len(times) != count:
        raise DataError(f"{path}: holds no frame that can be decoded")
    array = np.frombuffer(pixels, np.uint8, count * size).reshape(count, picture.height, picture.width, 3)
    return Frames(array, times - times[0])


def _times(text: str) -> Array:
    """The times of the frames in a list that ffmpeg's framecrc wrote, in seconds."""
    base, times = 1.0, []
    for line in text.splitlines():
        if line.startswith("#tb 0:"):
            above, _, below = line.partition(":")[2].strip().partition("/")
            base = int(above) / int(below)
        elif not line.startswith("#"):
            times.append(int(line.split(",")[2]) * base)
    return np.array(times)


@dataclass
class _Mixer:
    """Mixes the channels of a sound file of Sun while it arrives."""

    path: Path
    seconds: float
    most: int
    rate: int = 0
    channels: int = 0
    rest: bytearray = field(default_factory=bytearray)
    parts: list[Array] = field(default_factory=list)
    taken: int = 0

    def take(self, part: bytes) -> None:
        """Take the next bytes. Raises DataError where the sound is beyond its limit."""
        self.taken += len(part)
        if self.taken > self.most:
            raise DataError(f"{self.path}: its sound is larger than {self.most:,} bytes")
        self.rest += part
        if not self.rate:
            if len(self.rest) < AU_HEADER:
                return
            magic, start, _, coding, self.rate, self.channels = np.frombuffer(self.rest, ">u4", 6).tolist()
            if magic != int.from_bytes(b".snd", "big") or coding != AU_FLOATS or not self.rate or not self.channels:
                raise DataError(f"{self.path}: its sound can't be read")
            if len(self.rest) < start:
                self.rate = 0
                return
            del self.rest[:start]
        whole = len(self.rest) // (4 * self.channels) * self.channels
        if whole:
            values = np.frombuffer(bytes(self.rest[: 4 * whole]), ">f4").reshape(-1, self.channels)
            self.parts.append(values.mean(axis=1, dtype=np.float64).astype(np.float32))
            del self.rest[: 4 * whole]


def read_sound(path: Path, seconds: float, limits: Limits | None = None, threads: int = 1) -> Sound | None:
    """Decode the sound of a video; None where it has none.

    Args:
        path: The file.
        seconds: The seconds that are read, from the beginning.
        limits: Limits of the decoding.
        threads: Threads of the decoder.

    Raises:
        DataError: The file is missing or damaged, or is beyond a limit.
        MissingError: ffmpeg is missing.
    """
    require_file(path)
    limits = limits or Limits()
    mixer = _Mixer(path, seconds, limits.sound)
    arguments = [
        *open_arguments(path, limits, threads),
        *("-map", "0:a:0", "-t", str(seconds), "-c:a", "pcm_f32be", "-f", "au", "-y", "pipe:1"),
    ]
    try:
        run_ffmpeg(path, arguments, limits, mixer.take)
    except DataError as error:
        if NO_STREAM in str(error):
            return None
        raise
    if not mixer.parts:
        return None
    samples = np.concatenate(mixer.parts)
    return Sound(np.clip(np.nan_to_num(samples), -1, 1), mixer.rate)


def require_file(path: Path) -> None:
    """Raise DataError where a path is not that of a file with content. A pipe or a device may never end."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty")


def _without(path: Path, error: DataError, what: str) -> DataError:
    """The error for a file without a stream, or the error that was met."""
    return DataError(f"{path}: has no {what}") if NO_STREAM in str(error) else error
