"""Flash-MNIST as a data set: the folders that `acz data flash-mnist` makes, and the authors' feature files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from acz.data.base import Data, Description, Location, one_path
from acz.data.flash_mnist.labels import FLASH, as_zeros_and_ones, set_in_words
from acz.data.flash_mnist.pickles import PickledSplit
from acz.data.flash_mnist.videos import DIGITS, LABELS, Frames
from acz.data.folder import Split, manifest_hash, read_origin
from acz.foundation.errors import DataError
from acz.foundation.files.hashing import contents_hash


class FlashMnistReading(BaseModel):
    """The reading of Flash-MNIST."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Literal["sets", "digits"] = "sets"
    """One class a video, its set of digits, of 1,024; or every digit as a class, several a video, of 10."""


class FlashMnist:
    """Folders whose manifest says Flash-MNIST, and the files `feature_train*.pkl` and `feature_test*.pkl`."""

    name = "flash_mnist"
    Reading: type[BaseModel] = FlashMnistReading

    def recognises(self, location: Location) -> bool:
        if not isinstance(location, (str, Path)):
            return False
        path = Path(location)
        if _has_manifest(path):
            return read_origin(path).get("what") == FLASH
        return path.suffix == ".pkl" if path.is_file() else bool(feature_files(path))

    def open(self, location: Location, split: str, reading: BaseModel, rank: int = 0, world: int = 1) -> Data:
        opened = self._open(one_path(location), split)
        if isinstance(reading, FlashMnistReading) and reading.labels == "digits":
            opened.shards = [shard | {"labels": as_zeros_and_ones(shard["labels"])} for shard in opened.shards]
        return opened.share(rank, world)

    def _open(self, path: Path, split: str) -> Split:
        if _has_manifest(path):
            return Split(path, split)
        if path.is_file():
            own = "train" if "train" in path.name else "test"
            if split != own:
                raise DataError(
                    f"{path} is one file, the split '{own}', and '{split}' was asked for; "
                    f"give the folder of both files, or --split {own} to evaluate on it"
                )
            return PickledSplit(path, split)
        files = feature_files(path)
        if split not in files:
            raise DataError(
                f"{path} has no feature_{split}*.pkl, only {', '.join(file.name for file in files.values())}"
            )
        return PickledSplit(files[split], split)

    def fingerprint(self, location: Location) -> str:
        path = one_path(location)
        if _has_manifest(path):
            return manifest_hash(path)
        return contents_hash([path] if path.is_file() else feature_files(path).values())

    def describe(self, location: Location) -> Description:
        path = one_path(location)
        if not _has_manifest(path):
            return Description()
        return Description(LABELS, set_in_words, tuple(map(str, range(DIGITS))), partial(Frames, path))


FLASH_MNIST = FlashMnist()


def _has_manifest(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def feature_files(folder: Path) -> dict[str, Path]:
    """The feature file of each split in a folder. Raises DataError where a split has several."""
    files: dict[str, Path] = {}
    for split in ("train", "test"):
        matches = sorted(folder.glob(f"feature_{split}*.pkl"))
        if len(matches) > 1:
            names = ", ".join(file.name for file in matches)
            raise DataError(
                f"{folder} holds several files of '{split}' ({names}); name one of them, or move the others"
            )
        if matches:
            files[split] = matches[0]
    return files
