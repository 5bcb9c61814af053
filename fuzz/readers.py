"""The readers of files from elsewhere: each has valid inputs, a mutation, and a function that reads one input.

The property that all of them keep: an input gives a value or an AczError, in bounded time and memory, and nothing else happens.
"""

from __future__ import annotations

import codecs
import gzip
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import safetensors.numpy  # noqa: F401  (the core imports it when it is first needed, and imports are watched)

from acz.cli.options import given_overrides
from acz.data.flash_mnist.idx import read_idx
from acz.data.folder import Split, read_manifest, verify, write_manifest, write_shard
from acz.data.registry import open_split
from acz.data.youtube8m.making.synthesize import encode
from acz.data.youtube8m.reading.batch import Form, count_frames, fill
from acz.data.youtube8m.reading.sources import RecordSource
from acz.data.youtube8m.settings import WIDTHS, Reading
from acz.data.youtube8m.shards import messages
from acz.data.youtube8m.shards.index import Index
from acz.data.youtube8m.shards.records import scan
from acz.data.youtube8m.shards.summary import criteria_for, look_at
from acz.data.youtube8m.shards.video import MEAN
from acz.exchange.weights.readers import messages as of_weights
from acz.exchange.weights.readers.tensorflow import read_tensorflow
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError, DataError
from acz.foundation.files.tfrecord import framed
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.training.run import load_resumable
from acz.training.run_folder import open_checkpoint
from acz.zoo.catalog import EXPERIMENTS, FEATURES, config_folder
from acz.zoo.config import load_config, load_spec
from fuzz import mutate, proofs, tables
from fuzz.guard import guarded

TINY = "flash_mnist/attention_cluster:tiny"
SPEC = load_spec(TINY)
ARRAYS = ("features", "features.lengths", "labels", "id")
PARTS = ("manifest.json", *(f"train/00000.{name}.npy" for name in ARRAYS))
LEAST = 3
"""The number of examples to read from a data set that claims to be larger."""


@dataclass(frozen=True)
class Reader:
    """A reader: `place` puts an input into a folder, and `read` reads it from there."""

    place: Callable[[bytes, Path], None]
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    mutate: mutate.Mutate


for codec in ("raw-unicode-escape", "latin-1", "utf-16", "utf-32"):
    codecs.lookup(codec)  # Python imports them when they are first used, and imports are watched
parsers = (messages.lean, messages.full, messages.feature_list, messages.float_list)
for read in (*parsers, of_weights.bundle_header, of_weights.bundle_entry):
    read(b"")  # likewise


def try_input(reader: Reader, data: bytes, folder: Path) -> bool:
    """Read one input in `folder`. True if it was accepted, False if it was refused; anything else is raised."""
    reader.place(data, folder)
    with guarded(folder):
        try:
            reader.read(folder)
        except AczError as error:
            if "\n" in str(error) or len(str(error)) > 2000:
                raise AssertionError(f"a message of {len(str(error))} characters: {str(error)[:200]}") from error
            return False
    return True


def _one_file(data: bytes, folder: Path) -> None:
    (folder / "input").write_bytes(data)


# IDX


def _idx(values: Array) -> bytes:
    return b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def _idx_seeds() -> list[bytes]:
    plain = [_idx(np.arange(24, dtype=np.uint8).reshape(shape)) for shape in ((24,), (2, 3, 4), (1, 2, 3, 4))]
    return [*plain, *(gzip.compress(one, mtime=0) for one in plain)]


# A folder of features


def _features_place(data: bytes, folder: Path) -> None:
    parts = mutate.split_parts(data)
    (folder / "train").mkdir(exist_ok=True)
    for name in PARTS:
        (folder / name).unlink(missing_ok=True)
        if name in parts:
            (folder / name).write_bytes(parts[name])


def _features_read(folder: Path) -> None:
    read_manifest(folder)
    split = Split(folder, "train")
    numbers = np.array([len(split) - 1, *range(min(LEAST, len(split)))])
    split.take(numbers, split.input_names)
    split.ids(numbers)
    verify(folder)
    split.require(SPEC)


def _features_seeds() -> list[bytes]:
    source = np.random.default_rng(0)
    arrays = {
        "features": source.standard_normal((4, 5, 4)).astype(np.float32),
        "features.lengths": np.array([5, 0, 3, 1], np.int32),
        "labels": np.array([0, 5, 2, 1]),
    }
    several = arrays | {"labels": np.eye(4, 6, dtype=np.uint8)}
    seeds = []
    named = {"features": arrays["features"], "id": np.array(["a", "bb", "c", "d"])}
    for chosen in (arrays, {"features": arrays["features"], "labels": arrays["labels"]}, several, named):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            record = write_shard(folder, "train", 0, chosen)
            write_manifest(folder, {"train": [record]}, {"what": "seed"})
            parts = {part: (folder / part).read_bytes() for part in PARTS if (folder / part).exists()}
            seeds.append(mutate.join_parts(parts))
    return seeds


# Checkpoints


def _checkpoint_read(folder: Path) -> None:
    found, path, _ = open_checkpoint(folder / "input")
    if found.optimizer:
        load_resumable(path, found.spec)


def _checkpoint_seeds() -> list[bytes]:
    seeds = []
    state = {
        "step": 7, "epoch": 1, "loss_sum": 0.5, "hits": 3.0, "examples": 16, "best_top1": 0.5, "best_epoch": 1, "stopped": False
    }  # fmt: skip
    models = (TINY, "flash_mnist/attention_cluster_hidden:tiny")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "seed"
        for model in models:
            spec = load_spec(model)
            parameters = initial_parameters(spec)
            moments = {f"{m}.{path}": parameters[path] for path in spec.trained for m in "mv"}
            save_checkpoint(path, spec, parameters, moments | {"step": np.array(7)}, state)
            seeds.append(path.read_bytes())
        save_checkpoint(path, spec, parameters)
        seeds.append(path.read_bytes())
    return seeds


# Configurations


def _config_place(data: bytes, folder: Path) -> None:
    parts = mutate.split_parts(data)
    (folder / "input").write_bytes(parts.get("yaml", data))
    (folder / "set").write_bytes(parts.get("set", b""))


def _config_read(folder: Path) -> None:
    given = (folder / "set").read_bytes().decode("utf-8", "replace").splitlines()
    overrides = given_overrides(given)
    found = load_config(folder / "input", overrides)
    again = load_config(found.to_dict())
    assert again.spec.hash == found.spec.hash, "what it writes is not what it read"
    for variant in found.variants:
        load_config(f"{folder / 'input'}:{variant}")


def _config_seeds() -> list[bytes]:
    others = {EXPERIMENTS, FEATURES}
    files = (path for path in sorted(config_folder().rglob("*.yaml")) if not others & set(path.parts))
    given = [path.read_bytes() for path in files]
    sets = b"model.trunk.logits.units=64\ntrain.epochs=3\ntrain.optimizer={learning_rate: 1e-3}\ndata.folder=x"
    anchors = (
        b"model:\n"
        b"  inputs: {x: &a {frames: 5, features: 4}, y: *a}\n"
        b"  streams: {x: &s {input: x, layers: &l {p: {type: attention_cluster, units: 2}}}, y: {<<: *s, input: y}}\n"
        b"  trunk: {d: &d {type: dense, units: 3}, e: {<<: *d, units: 4}}\n"
    )
    ending_in_logits = [one for one in given if b"\n    logits: " in one][:2]
    return [*given, anchors, *(mutate.join_parts({"yaml": one, "set": sets}) for one in ending_in_logits)]


# Pickles


def _pickle_place(data: bytes, folder: Path) -> None:
    (folder / "feature_test.pkl").write_bytes(data)


def _pickle_read(folder: Path) -> None:
    split = open_split(folder / "feature_test.pkl", "test")
    numbers = np.arange(min(LEAST, len(split)))
    split.take(numbers, ["features"])
    split.ids(numbers)


def _pickle_seeds() -> list[bytes]:
    source = np.random.default_rng(0)
    arrays = [source.standard_normal((5, 4)).astype(np.float32) for _ in range(3)]
    ids = ["01_3______ 000007", "b", "c"]
    value = (arrays, [1, 2, 3], ids)
    plain = [mutate.pickle_of(value, protocol) for protocol in range(6)]
    of_two = mutate.pickle_of((arrays, [np.int64(1), np.int32(2), 3], [b"a", 0, {"k": (1, None, 2.5)}]), 2)
    return [*plain, of_two, of_two.replace(b"numpy.core", b"numpy._core")]


# YouTube-8M's shards


def _records_read(folder: Path) -> None:
    """Check every record, then read those of a plain shard as training reads them."""
    path = folder / "input"
    layout, criteria = scan(path), criteria_for([path])
    about = look_at([path], criteria, 2)
    if not layout.packed and len(layout.lengths):
        whole, starts = np.arange(len(layout.lengths)), np.array([0, len(layout.lengths)])
        index = Index([path], [False], starts, layout.offsets, layout.lengths, whole, Counter())
        reading = Reading(verify="all")
        source = RecordSource(index, criteria, reading)
        names = tuple(criteria.widths) if criteria.level == "frame" else tuple(MEAN + name for name in criteria.widths)
        form = Form(names, source.widths, tuple(source.floats), count_frames(reading, source.longest), reading)
        arrays = form.new(LEAST)
        for row, video in enumerate(source.videos(whole[:LEAST])):
            fill(arrays, row, video, form)
    if about["defects"]:
        raise DataError(about["named"][0])


def _records_seeds() -> list[bytes]:
    source = np.random.default_rng(0)

    def content(name: str, frames: int) -> bytes:
        features = {key: source.integers(0, 256, (frames, width), np.uint8) for key, width in WIDTHS.items()}
        return encode(name, [3, 700], features)

    means = messages.full(b"")
    means.context.feature["id"].bytes_list.value.append(b"abcd")
    means.context.feature["labels"].int64_list.value.append(5)
    for name, width in WIDTHS.items():
        means.context.feature[f"mean_{name}"].float_list.value.extend(source.standard_normal(width).tolist())
    two = framed(content("abcd", 1)) + framed(content("efgh", 2))
    return [two, framed(means.SerializeToString()), gzip.compress(two, 1, mtime=0)]


# TensorFlow's checkpoints


def _tensorflow_place(data: bytes, folder: Path) -> None:
    parts = mutate.split_parts(data)
    for name in (tables.INDEX, tables.DATA, tables.LATEST):
        (folder / name).unlink(missing_ok=True)
        if name in parts:
            (folder / name).write_bytes(parts[name])


def _tensorflow_read(folder: Path) -> None:
    """Read a checkpoint by its folder, and by its prefix. Only the first needs the file `checkpoint`."""
    read_tensorflow(folder / tables.NAME)
    read_tensorflow(folder)


READERS = {
    "idx": Reader(_one_file, lambda folder: read_idx(folder / "input"), _idx_seeds, mutate.idx),
    "features": Reader(_features_place, _features_read, _features_seeds, mutate.features),
    "checkpoint": Reader(_one_file, _checkpoint_read, _checkpoint_seeds, mutate.checkpoint),
    "config": Reader(_config_place, _config_read, _config_seeds, mutate.config),
    "records": Reader(_one_file, _records_read, _records_seeds, mutate.records),
    "pickle": Reader(_pickle_place, _pickle_read, _pickle_seeds, mutate.pickled),
    "tensorflow": Reader(_tensorflow_place, _tensorflow_read, tables.seeds, tables.mutate),
    "record": Reader(_one_file, proofs.read_one_record, proofs.record_seeds, proofs.change_record),
    "proof": Reader(_one_file, proofs.read_one_proof, proofs.proof_seeds, mutate.json_text),
}


def mutated(reader: Reader, count: int, seed: int) -> list[bytes]:
    """Inputs from the seeds, each mutated one to four times."""
    source = Random(seed)
    seeds = reader.seeds()
    found = []
    for _ in range(count):
        data = source.choice(seeds)
        for _ in range(source.randrange(1, 5)):
            data = reader.mutate(data, source)
        found.append(data)
    return found


def input_folder() -> Path:
    """A folder for inputs, in memory if the system has such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="acz-fuzz-", dir=memory if memory.is_dir() else None))


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
