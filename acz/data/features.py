"""A folder of examples as memory-mapped shards: what models are trained and evaluated on.

    FOLDER/manifest.json            counts, shapes, hashes, how it was made
    FOLDER/SPLIT/00000.NAME.npy     one array for each input, `labels`, and `NAME.lengths` where videos are padded

`labels` is int64 (videos) of class indices, or uint8 (videos, classes) of zeros and ones. The manifest is written last, so
a folder that has one is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.checkpoint import write_whole
from acz.errors import DataError, nearest
from acz.layers import Array
from acz.spec import Spec

FORMAT = "acz-features-1"


@dataclass
class Examples:
    """One batch: inputs by name (with `<name>.mask` where videos are padded), labels, and the examples' numbers."""

    inputs: dict[str, Array]
    labels: Array
    numbers: Array


def write_shard(folder: Path, split: str, number: int, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Write a shard's arrays; gives its record, which is also kept beside them, last, so that a build can go on."""
    record: dict[str, Any] = {"number": number, "count": len(arrays["labels"]), "files": {}}
    for name, value in arrays.items():
        path = folder / split / f"{number:05d}.{name}.npy"

        def save(temporary: Path, value: Array = value) -> None:
            with temporary.open("wb") as file:
                np.save(file, np.ascontiguousarray(value), allow_pickle=False)

        write_whole(path, save)
        record["files"][name] = {
            "file": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(np.ascontiguousarray(value).data).hexdigest(),
            "shape": list(value.shape),
            "dtype": str(value.dtype),
        }
    write_json(folder / split / f"{number:05d}.json", record)
    return record


def written_shard(folder: Path, split: str, number: int) -> dict[str, Any] | None:
    """The record of a shard that an earlier build finished."""
    path = folder / split / f"{number:05d}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(value, indent=1) + "\n"
    write_whole(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_manifest(folder: Path, splits: Mapping[str, list[dict[str, Any]]], made: Mapping[str, Any]) -> None:
    """Close a folder: from now on it can be read."""
    write_json(folder / "manifest.json", {"format": FORMAT, "made": dict(made), "splits": dict(splits)})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises DataError where the folder or its manifest is missing or damaged."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise DataError(
            f"{folder} holds no finished data set (no manifest.json); "
            f"'acz data flash-mnist --out {folder}' makes one, or goes on with one that was interrupted"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise DataError(f"{path}: its format is {manifest['format']!r}, this program reads {FORMAT!r}")
        manifest["splits"], manifest["made"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged: {error}") from None
    return manifest


class Split:
    """One split of a folder. `take` gathers examples by number from the memory-mapped shards."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.name = folder, split
        splits = read_manifest(folder)["splits"]
        if split not in splits:
            raise DataError(f"{folder} has no split '{split}'; {nearest(split, splits)}")
        self.shards = [{name: self._open(file) for name, file in record["files"].items()} for record in splits[split]]
        if not self.shards or not all("labels" in shard for shard in self.shards):
            raise DataError(f"{folder}/{split}: no shards with labels")
        for number, shard in enumerate(self.shards):
            for name, value in shard.items():
                first = self.shards[0].get(name)
                if first is None or value.shape[1:] != first.shape[1:] or len(value) != len(shard["labels"]):
                    raise DataError(f"{folder}/{split}: shard {number} has '{name}' {value.shape}, unlike the others")
        self.starts = np.cumsum([0, *(len(shard["labels"]) for shard in self.shards)])

    def _open(self, file: Mapping[str, Any]) -> Array:
        path = self.folder / file["file"]
        try:
            value: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"there is no file {path}, which the manifest lists") from None
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: damaged: {error}") from None
        if list(value.shape) != file["shape"] or str(value.dtype) != file["dtype"]:
            raise DataError(
                f"{path}: holds {value.dtype} {value.shape}, the manifest says {file['dtype']} {file['shape']}"
            )
        return value

    def __len__(self) -> int:
        return int(self.starts[-1])

    def require(self, spec: Spec) -> None:
        """Raise DataError unless these examples are what the model reads and its labels fit its outputs."""
        first = self.shards[0]
        known = {name for name in first if name != "labels" and not name.endswith(".lengths")}
        for name, entry in spec.inputs.items():
            if name not in known:
                raise DataError(
                    f"{self.folder} has no '{name}', which the model reads; it holds {', '.join(sorted(known))}"
                )
            shape = first[name].shape[1:]
            want = entry.resolve(shape[0] if entry.has_frames and len(shape) == 2 else None)
            if shape != want:
                raise DataError(f"{self.folder}: '{name}' has the shape {shape} a video, the model reads {want}")
        for shard in self.shards:
            labels = shard["labels"]
            classes = labels.shape[1] if labels.ndim == 2 else int(labels.max(initial=0)) + 1
            fits = classes == spec.width if labels.ndim == 2 else classes <= spec.width and labels.min(initial=0) >= 0
            if not fits:
                raise DataError(f"{self.folder}: labels reach {classes} classes, the model has {spec.width}")

    def take(self, numbers: Array, names: list[str]) -> Examples:
        """The examples of these numbers, in their order, with the named inputs.

        Raises DataError, with file and example, where a number is not finite.
        """
        of_shard = np.searchsorted(self.starts, numbers, side="right") - 1
        inputs: dict[str, Array] = {}
        stored = [key for name in names for key in (name, f"{name}.lengths") if key in self.shards[0]]
        gathered = {}
        for key in [*stored, "labels"]:
            first = self.shards[0][key]
            gathered[key] = np.empty((len(numbers), *first.shape[1:]), first.dtype)
        for index in np.unique(of_shard):
            place = np.flatnonzero(of_shard == index)
            rows = numbers[place] - self.starts[index]
            for key, value in gathered.items():
                value[place] = self.shards[index][key][rows]
        for key in stored:
            value = gathered[key]
            if key.endswith(".lengths"):
                name = key.removesuffix(".lengths")
                inputs[f"{name}.mask"] = np.arange(gathered[name].shape[1]) < value[:, None]
                continue
            inputs[key] = value
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                bad = int(np.argmax(~np.isfinite(value).reshape(len(value), -1).all(axis=1)))
                raise DataError(
                    f"{self.folder}/{self.name}: example {numbers[bad]} of '{key}' holds NaN or infinity "
                    f"(shard {of_shard[bad]:05d}, row {numbers[bad] - self.starts[of_shard[bad]]}); make that shard anew"
                )
        return Examples(inputs, gathered["labels"], numbers)

    def in_order(self, size: int, names: list[str]) -> Iterator[Examples]:
        """Every example once, in batches of `size`, the last one smaller."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))), names)


def verify(folder: Path, progress: Callable[[int], None] = lambda count: None) -> int:
    """Compare every file with its hash; gives the number of examples. Raises DataError that names the file."""
    manifest = read_manifest(folder)
    total = 0
    for split, records in manifest["splits"].items():
        shards = Split(folder, split).shards
        for record, shard in zip(records, shards, strict=True):
            for name, file in record["files"].items():
                if hashlib.sha256(np.ascontiguousarray(shard[name]).data).hexdigest() != file["sha256"]:
                    raise DataError(
                        f"{folder / file['file']}: its content is not what was written; make the data set anew"
                    )
            total += record["count"]
            progress(record["count"])
    return total
