"""Which data set lies where, and opening one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from acz.data.base import Data
from acz.data.flash_mnist.dataset import feature_files
from acz.data.flash_mnist.pickles import PickledSplit
from acz.data.folder import Split, manifest_hash
from acz.data.youtube8m.location import Location, is_youtube8m
from acz.data.youtube8m.settings import Reading
from acz.foundation.errors import DataError


def open_split(path: Location, name: str, reading: Reading | None = None) -> Data:
    """A split of a data set: a folder with a manifest, a folder with feature_train*.pkl and feature_test*.pkl, or one such file.

    Such a file alone is the split `train` where its name says so, and `test` otherwise. YouTube-8M: a folder with train*.tfrecord and validate*.tfrecord (or
    .tfrecord.gz), a glob, or a list of paths, and how they are read. Raises DataError.
    """
    if is_youtube8m(path):
        from acz.data.youtube8m.dataset import open_youtube8m

        return open_youtube8m(path, name, reading)
    assert isinstance(path, (str, Path))
    path = Path(path)
    if path.is_file():
        split = "train" if "train" in path.name else "test"
        if name != split:
            raise DataError(
                f"{path} is one file, the split '{split}', and '{name}' was asked for; "
                f"give the folder of both files, or --split {split} to evaluate on it"
            )
        return PickledSplit(path, name)
    if path.is_dir() and not (path / "manifest.json").is_file():
        files = feature_files(path)
        if name in files:
            return PickledSplit(files[name], name)
        if files:
            raise DataError(
                f"{path} has no feature_{name}*.pkl, only {', '.join(file.name for file in files.values())}"
            )
    return Split(path, name)


def fingerprint(path: Location) -> str:
    """What tells one data set from another, of anything that `open_split` opens. Raises DataError."""
    if is_youtube8m(path):
        from acz.data.youtube8m.dataset import youtube8m_hash

        return youtube8m_hash(path)
    assert isinstance(path, (str, Path))
    path = Path(path)
    files = [path] if path.is_file() else list(feature_files(path).values())
    if (path / "manifest.json").is_file() or not files:
        return manifest_hash(path)
    whole = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as content:
                while part := content.read(2**22):
                    whole.update(part)
    except OSError as error:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}") from None
    return whole.hexdigest()
