"""The program ffmpeg: where it is, and a run of it within limits of time and memory.

It runs as a process of its own, with pipes. So a file that makes a decoder crash, hang or fill the memory ends that
process alone.
"""

from __future__ import annotations

import math
import os
import selectors
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from acz.foundation.errors import DataError, MissingError
from acz.foundation.installation import install_command

PART = 2**20
"""Bytes that are read from a pipe at once."""
POLL = 0.2
"""Seconds between two looks at the limits."""
LAST_WORDS = 2**12
"""Bytes of ffmpeg's messages that are kept."""
DEMUXERS = (
    "aiff,amr,apng,asf,au,avi,dv,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,mpeg,mpegts,mpegvideo,mxf,"
    "nut,ogg,rm,wav,webm,yuv4mpegpipe"
)
"""Containers that are read. Playlists, lists of files and devices are not: they name other files."""


@dataclass(frozen=True)
class Limits:
    """The most that one run of ffmpeg may take."""

    wall_seconds: float = 600.0
    memory: int = 2**32
    """Bytes of address space, on Linux."""
    pixels: int = 2**26
    """Pixels of a frame of the file."""
    sound: int = 2**31
    """Bytes of a file's decoded sound, before it is mixed to one channel."""
    stop: threading.Event | None = None
    """Ends every run when it is set."""


def find_ffmpeg() -> str:
    """The path of ffmpeg: that of the system, or the one that the package imageio-ffmpeg ships.

    Raises:
        MissingError: There is neither.
    """
    system = shutil.which("ffmpeg")
    if system:
        return system
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise MissingError(
            f"ffmpeg is not installed; {install_command('acz[video]')} brings it, or the packages of your system do"
        ) from None


def open_arguments(path: Path, limits: Limits, threads: int) -> list[str]:
    """The options that open a file and nothing else: no playlist, no address, no interaction."""
    return [
        *("-hide_banner", "-nostdin", "-loglevel", "error", "-threads", str(threads)),
        *("-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, "-max_pixels", str(limits.pixels)),
        *("-i", f"file:{path}"),
    ]


def run_ffmpeg(
    path: Path,
    arguments: Sequence[str],
    limits: Limits,
    take: Callable[[bytes], object],
    beside: Callable[[bytes], object] | None = None,
) -> str:
    """Run ffmpeg, and hand over what it writes, part by part.

    Args:
        path: The file that is read, for messages.
        arguments: The options. `pipe:1` is the output of `take`. `{beside}` stands for the pipe of `beside`.
        take: Is called with each part of the output.
        beside: Is called with each part of a second output.

    Returns:
        The last messages of ffmpeg, which are empty where nothing is wrong.

    Raises:
        DataError: The file can't be read, or is beyond a limit; or `take` raises it.
        MissingError: ffmpeg is missing.
    """
    reading, writing = os.pipe()
    words = [find_ffmpeg(), *(word.replace("{beside}", f"pipe:{writing}") for word in arguments)]
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing]
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    heard = bytearray()

    def listen(part: bytes) -> None:
        heard.extend(part)
        del heard[:-LAST_WORDS]

    assert process.stdout is not None
    assert process.stderr is not None
    try:
        _limit(process.pid, limits)
        outputs = {process.stdout.fileno(): take, process.stderr.fileno(): listen, reading: beside or listen}
        _read(path, outputs, time.monotonic() + limits.wall_seconds, limits)
        code = process.wait(limits.wall_seconds)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        os.close(reading)
    said = " ".join(bytes(heard).decode(errors="replace").split())
    if code:
        raise DataError(f"{path}: ffmpeg can't read it: {said[-400:] or f'it ended with {code}'}")
    return said


def _read(path: Path, outputs: dict[int, Callable[[bytes], object]], end: float, limits: Limits) -> None:
    """Read pipes until all are closed. Raises DataError where the time is over."""
    with selectors.DefaultSelector() as selector:
        for pipe, take in outputs.items():
            selector.register(pipe, selectors.EVENT_READ, take)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise DataError(f"{path}: takes longer than {limits.wall_seconds:g} s to decode; --time-limit sets it")
            if limits.stop is not None and limits.stop.is_set():
                raise DataError(f"{path}: the decoding was ended")
            for key, _ in selector.select(min(left, POLL)):
                part = os.read(key.fd, PART)
                if part:
                    key.data(part)
                else:
                    selector.unregister(key.fd)


def _limit(process: int, limits: Limits) -> None:
    """Limit the memory and the time of a process, so that it ends also where this one is killed."""
    if sys.platform == "linux":
        import resource

        seconds = math.ceil(limits.wall_seconds) * max(1, os.cpu_count() or 1)
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(process, resource.RLIMIT_AS, (limits.memory, limits.memory))
            resource.prlimit(process, resource.RLIMIT_CPU, (seconds, seconds + 1))
