"""The format of a folder of examples: memory-mapped shards, for the features of any videos.

    FOLDER/manifest.json            counts, shapes, hashes, how it was made
    FOLDER/SPLIT/00000.NAME.npy     one array for each input, and perhaps `labels`, `id` and `NAME.lengths`

`labels` is int64 (videos), a class each, or uint8 (videos, classes) of zeros and ones. `id` has the names of the videos.
`NAME.lengths` has the numbers of valid frames where videos are padded. The manifest is written last, so a folder that
has one is complete. `acz.data.arrays` makes such folders of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ValidationError

from acz.backend.processes import rows_of_rank
from acz.data.absent import no_data_set
from acz.data.base import (
    Data,
    Description,
    Examples,
    Location,
    NoReading,
    batches_in_order,
    enough_outputs,
    one_path,
)
from acz.data.shards import (
    ID,
    LABELS,
    LENGTHS,
    Manifest,
    ShardRecord,
    as_array,
    as_names,
    input_names,
    names_in,
    open_shards,
    videos_of,
)
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, nearest
from acz.foundation.files.atomic import write_json
from acz.foundation.files.hashing import array_hash, contents_hash
from acz.foundation.files.local import require_local
from acz.foundation.files.npy import write_npy
from acz.foundation.randomness import generator
from acz.model.losses import Loss
from acz.model.spec import Spec

if TYPE_CHECKING:
    from typing import Self

FORMAT = "acz-features-1"
BYTES = (
    "; give the model's input '{}' dtype: uint8, and begin its stream with a rescale layer (docs/your-own-features.md)"
)
"""The end of the message for bytes that meet a model of floats."""
TEST, VALIDATION = "test", ("validation", "validate")
"""Names of splits. Training evaluates on a validation split where there is one; it stands in for a missing `test`."""


def write_shard(folder: str | Path, split: str, number: int, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Write the arrays of a shard, and then its record, by which a build can be resumed.

    Args:
        folder: the data set's folder.
        split: `train`, `test`, or another name.
        number: the number of the shard in its split, from 0.
        arrays: inputs by name (videos, ...), `labels` and `id` where there are any, and `NAME.lengths` (videos) where
            the frames of NAME are padded.

    Returns:
        The record of the shard, which the manifest lists.

    Raises:
        DataError: the arrays have different numbers of videos, or `id` holds no names.
        OSError: the disk is full, or the folder is read-only.
    """
    require_local(folder)
    folder = Path(folder)
    record: dict[str, Any] = {"number": number, "count": videos_of(arrays), "files": {}}
    arrays = {
        name: as_names(value) if name == ID and np.ndim(value) == 1 else as_array(value, name)
        for name, value in arrays.items()
    }
    for name, value in arrays.items():
        path = folder / split / f"{number:05d}.{name}.npy"
        write_npy(path, value)
        record["files"][name] = {
            "file": path.relative_to(folder).as_posix(),
            "sha256": array_hash(value),
            "shape": list(value.shape),
            "dtype": str(value.dtype),
        }
    write_json(folder / split / f"{number:05d}.json", record)
    return record


def written_shard(folder: Path, split: str, number: int) -> dict[str, Any] | None:
    """The record of a shard that an earlier build finished, if its files are there."""
    path = folder / split / f"{number:05d}.json"
    try:
        record = ShardRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = all((folder / file.file).is_file() for file in record.files.values())
    return record.model_dump() if complete else None


def write_manifest(folder: str | Path, splits: Mapping[str, list[dict[str, Any]]], made: Mapping[str, Any]) -> None:
    """Write the manifest, which finishes a folder: from now on it can be read.

    Args:
        folder: the data set's folder.
        splits: the records of each split's shards, as `write_shard` returns them.
        made: facts of the making, for the record.

    Raises:
        OSError: the disk is full, or the folder is read-only.
    """
    require_local(folder)
    write_json(Path(folder) / "manifest.json", {"format": FORMAT, "made": dict(made), "splits": dict(splits)})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder. Raises DataError where the folder or its manifest is missing or damaged."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise no_data_set(folder)
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: damaged: {place}: {first['msg']}") from None
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}") from None


def manifest_hash(folder: Path) -> str:
    """A hash that tells one folder from another. Raises DataError."""
    read_manifest(folder)
    return contents_hash([folder / "manifest.json"])


class Split:
    """One split of a folder. `take` gathers examples by number from the memory-mapped shards."""

    rank, world = 0, 1
    """The number of this process among those that share the split, and their number."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.name = folder, split
        splits = read_manifest(folder).splits
        if split not in splits:
            raise DataError(f"{folder} has no split '{split}'; {nearest(split, splits)}")
        self.shards = open_shards(folder, split, splits[split])
        self.starts = np.cumsum([0, *(record.count for record in splits[split])])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def input_names(self) -> list[str]:
        """The names of its inputs."""
        return input_names(self.shards[0])

    def require(self, spec: Spec, loss: Loss | None = None) -> None:
        """Check that a model can read these examples.

        Raises:
            DataError: The inputs are not those of the model, or the labels are not those of its loss.
        """
        first = self.shards[0]
        for name, entry in spec.inputs.items():
            if name not in self.input_names:
                raise DataError(
                    f"{self.folder} has no '{name}', which the model reads; "
                    f"it holds {', '.join(sorted(self.input_names))}"
                )
            shape = first[name].shape[1:]
            want = entry.resolve(shape[0] if entry.has_frames and len(shape) == 2 else None)
            if shape != want:
                raise DataError(f"{self.folder}: '{name}' has the shape {shape} a video, the model reads {want}")
            if (first[name].dtype == np.uint8) != (entry.dtype == "uint8") or first[name].dtype.kind not in "uf":
                raise DataError(
                    f"{self.folder}: '{name}' is {first[name].dtype}, the model reads {entry.dtype}"
                    + (BYTES.format(name) if first[name].dtype == np.uint8 else "")
                )
        if LABELS not in first:
            if loss is not None:
                raise DataError(
                    f"{self.folder}/{self.name} has no labels to train or evaluate with; 'acz infer' needs none"
                )
            return
        labels = first[LABELS]
        several = loss.several_labels if loss else labels.ndim == 2
        if labels.dtype.kind not in "biu" or labels.ndim != (2 if several else 1):
            want_text = "integers (videos, classes) of zeros and ones" if several else "integers (videos), a class each"
            raise DataError(f"{self.folder}: labels must be {want_text}, got {labels.dtype} {labels.shape}")
        for shard in self.shards:
            labels = shard[LABELS]
            classes = labels.shape[1] if several else int(labels.max(initial=0)) + 1
            if several and (largest := labels.max(initial=0)) > 1:
                raise DataError(f"{self.folder}: labels (videos, classes) must be zeros and ones, got {largest}")
            if classes > spec.width or (several and classes != spec.width) or labels.min(initial=0) < 0:
                raise DataError(
                    f"{self.folder}: labels reach {classes} classes, the model has {spec.width}; "
                    f"{enough_outputs(spec, classes)}"
                )

    def take(self, numbers: Array, names: list[str]) -> Examples:
        """The examples of these numbers, in this order, with the named inputs.

        Raises:
            DataError: A value is not finite, or a number of frames is not possible; the message names the example.
        """
        of_shard = np.searchsorted(self.starts, numbers, side="right") - 1
        inputs: dict[str, Array] = {}
        stored = [key for name in names for key in (name, f"{name}{LENGTHS}") if key in self.shards[0]]
        gathered = {LABELS: np.empty((len(numbers), 0), np.uint8)}
        for key in [*stored, *({LABELS} & set(self.shards[0]))]:
            first = self.shards[0][key]
            gathered[key] = np.empty((len(numbers), *first.shape[1:]), first.dtype.newbyteorder("="))
        for index in np.unique(of_shard):
            place = np.flatnonzero(of_shard == index)
            rows = numbers[place] - self.starts[index]
            for key in self.shards[index].keys() & gathered.keys():
                gathered[key][place] = self.shards[index][key][rows]
        for key in stored:
            value = gathered[key]
            if key.endswith(LENGTHS):
                name = key.removesuffix(LENGTHS)
                frames = gathered[name].shape[1]
                if (value < 0).any() or (value > frames).any():
                    bad = int(np.argmax((value < 0) | (value > frames)))
                    raise DataError(
                        f"{self.folder}/{self.name}: example {numbers[bad]} has {value[bad]} valid frames "
                        f"of {frames} in '{name}'"
                    )
                inputs[f"{name}.mask"] = np.arange(frames) < value[:, None]
                continue
            inputs[key] = value
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                bad = int(np.argmax(~np.isfinite(value).reshape(len(value), -1).all(axis=1)))
                raise DataError(
                    f"{self.folder}/{self.name}: example {numbers[bad]} of '{key}' holds NaN or infinity "
                    f"(shard {of_shard[bad]:05d}, row {numbers[bad] - self.starts[of_shard[bad]]}); "
                    "make that shard again"
                )
        labels = gathered[LABELS]
        return Examples(inputs, labels.astype(np.int64 if labels.ndim == 1 else np.uint8), numbers)

    def ids(self, numbers: Array) -> list[str]:
        """The names of these examples; their numbers where they have no names."""
        if ID not in self.shards[0]:
            return [str(number) for number in numbers]
        of_shard = np.searchsorted(self.starts, numbers, side="right") - 1
        rows = zip(of_shard.tolist(), (numbers - self.starts[of_shard]).tolist(), strict=True)
        try:
            return [name for shard, row in rows for name in names_in(self.shards[shard][ID][row : row + 1])]
        except DataError as error:
            raise DataError(f"{self.folder}/{self.name}: {error}") from None

    def in_order(self, size: int, names: list[str]) -> Iterator[Examples]:
        """Every example of this process's part once, in batches of `size`; the last batch may be smaller."""
        for numbers in batches_in_order(len(self), size, self.rank, self.world):
            yield self.take(np.array(numbers), names)

    def epoch(self, seed: int, epoch: int, batch_size: int, first: int, names: list[str]) -> Iterator[Examples]:
        """This process's part of each full batch of a training epoch, from batch number `first`.

        Their order follows from seed and epoch alone.
        """
        order = generator(seed, "shuffle", epoch).permutation(len(self))
        own = rows_of_rank(batch_size, self.rank, self.world)
        for place in range(first, len(self) // batch_size):
            yield self.take(order[place * batch_size : (place + 1) * batch_size][own], names)

    def share(self, rank: int, world: int) -> Self:
        """Have this process read its part, as one of several. Returns the split."""
        self.rank, self.world = rank, world
        return self


def verify(folder: Path, progress: Callable[[int], None] = lambda count: None) -> int:
    """Compare every file with its hash. Returns the number of examples. Raises DataError that names the file."""
    total = 0
    for split, records in read_manifest(folder).splits.items():
        for record, shard in zip(records, Split(folder, split).shards, strict=True):
            for name, file in record.files.items():
                if array_hash(shard[name]) != file.sha256:
                    raise DataError(
                        f"{folder / file.file}: its content is not what was written; make the data set again"
                    )
            total += record.count
            progress(record.count)
    return total


def read_origin(folder: Path) -> dict[str, Any]:
    """The facts about the making of a folder; empty where there is no manifest."""
    return read_manifest(folder).made if (folder / "manifest.json").is_file() else {}


class Features:
    """A folder of features with a manifest, of anybody's videos."""

    name = "features"
    Reading: type[BaseModel] = NoReading

    def recognises(self, location: Location) -> bool:
        return True

    def open(self, location: Location, split: str, reading: BaseModel, rank: int = 0, world: int = 1) -> Data:
        path = one_path(location)
        if split == TEST and TEST not in (names := read_manifest(path).splits):
            split = _evaluated_split(names)
        return Split(path, split).share(rank, world)

    def fingerprint(self, location: Location) -> str:
        return manifest_hash(one_path(location))

    def describe(self, location: Location) -> Description:
        path = one_path(location)
        if not (path / "manifest.json").is_file():
            return Description()
        manifest = read_manifest(path)
        recorded = [record for records in manifest.splits.values() for record in records]
        shapes = [record.files[LABELS].shape for record in recorded if LABELS in record.files]
        named = manifest.made.get("classes")
        classes = named if isinstance(named, int) else None
        classes = shapes[0][1] if shapes and len(shapes[0]) == 2 else classes
        return Description(classes, evaluated=_evaluated_split(manifest.splits))


def _evaluated_split(names: Collection[str]) -> str:
    """The split that training evaluates on: the validation split where there is one, else `test`."""
    return next((name for name in VALIDATION if name in names), TEST)


FEATURES = Features()
