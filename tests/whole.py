"""Checks that a folder holds whole files only, after a kill or with no room left; and a disk that is full."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.numpy import load_file

from acz.foundation.files.atomic import PARTIAL
from acz.foundation.files.npy import map_npy
from acz.foundation.files.tfrecord import read_records
from acz.model.checkpoint import load_checkpoint
from acz.training.loop import SPEEDS


def is_temporary(path: Path, folder: Path) -> bool:
    """True for a name of an unfinished file: it is hidden, as is everything under a hidden folder."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def check_whole(folder: Path) -> None:
    """Read every file with a final name to its end. Raises if one is cut off or unknown."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or is_temporary(path, folder) or path.suffix == ".log":
            continue
        if path.suffix == ".safetensors":
            load_checkpoint(path)
            assert load_file(path), path
        elif path.suffix == ".npy":
            map_npy(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            # lines are added one by one: all but the last are whole, and the last may have been cut
            lines = path.read_text().split("\n")
            assert all(isinstance(json.loads(line), dict) for line in lines[:-1]), path
        elif "tfevents" in path.name:
            list(read_records(path))
        else:
            raise AssertionError(f"{path} is no file that belongs there")


def leftovers(folder: Path) -> list[str]:
    """Temporary files that are still there."""
    return [str(path) for path in folder.rglob(f".*{PARTIAL}")]


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file that must be the same after any disturbance, by name.

    Metrics and events are left out: they hold speeds and times.
    """
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_temporary(path, folder) and "tfevents" not in path.name:
            if path.name == "metrics.jsonl":
                continue
            hashes[path.relative_to(folder).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def metrics(path: Path) -> list[dict[str, object]]:
    """The lines of a run without its speeds."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in SPEEDS} for line in lines]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Keep every file of this process below `size` bytes, as a full disk or a quota does. It needs no root."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


class Disk:
    """A small file system in memory; root only."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "acz-test", str(folder)], check=True)

    def fill(self, leave: int) -> None:
        """Leave `leave` bytes of room. The file system counts in pages of memory."""
        self.empty()
        room = os.statvfs(self.folder)
        with (self.folder / "filler").open("wb") as file:
            file.write(bytes(max(room.f_bavail * room.f_frsize - leave, 0)))

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink(missing_ok=True)

    def read_only(self, yes: bool) -> None:
        mode = "ro" if yes else "rw"
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def may_mount() -> bool:
    """True if this process can mount a file system. Containers of root often can't."""
    if os.geteuid() != 0:
        return False
    # in a name space of mounts of its own, so that nothing is left behind
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "acz-test", "/mnt"]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
