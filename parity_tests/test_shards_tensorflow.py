"""TensorFlow's own parser reads the shards that `acz data videos --shards` writes, and the ratings of segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.backend.protocol import Backend
from acz.backend.worker import Worker
from acz.foundation.arrays import Array, Arrays
from acz.foundation.progress import Progress
from tests.segment_cases import rated_shard
from tests.video_cases import make_clip, numbered, write_bars

pytestmark = pytest.mark.slow

BYTES = """
about: The bars of numbered frames and statistics of the sound, as bytes.
rgb: {network: bars.onnx, size: [64, 48], filter: bilinear, mean: 127.5, scale: 127.5, bytes: truncate}
audio: {mean: -2, scale: 4, bytes: truncate}
"""


@dataclass(frozen=True)
class Shards:
    """The shards to parse."""

    paths: tuple[str, ...]


def parse(backend: Backend, arguments: Shards, arrays: Mapping[str, Array]) -> tuple[list[str], Arrays]:
    """A job: parse each record as the official reader does. Returns the ids, and each video's arrays by its number."""
    import tensorflow as tf

    integers, floats = tf.io.VarLenFeature(tf.int64), tf.io.VarLenFeature(tf.float32)
    context = {"id": tf.io.FixedLenFeature([], tf.string), "labels": integers, "segment_labels": integers}
    context |= {"segment_start_times": integers, "segment_end_times": integers, "segment_scores": floats}
    frames = {name: tf.io.FixedLenSequenceFeature([], tf.string) for name in ("rgb", "audio")}
    ids, parsed = [], {}
    for number, record in enumerate(tf.data.TFRecordDataset(list(arguments.paths))):
        facts, lists = tf.io.parse_single_sequence_example(record, context, frames)
        ids.append(facts.pop("id").numpy().decode())
        parsed |= {f"{number}.{name}": value.values.numpy() for name, value in facts.items()}
        parsed |= {f"{number}.{name}": tf.io.decode_raw(value, tf.uint8).numpy() for name, value in lists.items()}
    return ids, parsed


def test_videos_as_shards(tmp_path: Path, worker: Callable[[str], Worker]) -> None:
    write_bars(tmp_path)
    (tmp_path / "bytes.yaml").write_text(BYTES)
    for number, label in enumerate(("cat", "dog")):
        (tmp_path / "in" / label).mkdir(parents=True)
        make_clip(tmp_path / f"in/{label}/{number}.mkv", numbered(40)[20 * number :][:20], sound=(2.0, 16000, 1))
    acz.make_videos(
        [tmp_path / "in"],
        tmp_path / "out",
        features=str(tmp_path / "bytes.yaml"),
        files=tmp_path,
        shards=True,
        hold_out=0,
        progress=Progress(),
    )
    paths = tuple(map(str, sorted((tmp_path / "out").glob("*.tfrecord"))))
    ids, theirs = worker("tensorflow").run(parse, Shards(paths))
    assert sorted(ids) == ["cat/0.mkv", "dog/1.mkv"]
    ours = acz.open_data(tmp_path / "out", "train", reading={"classes": 2})
    batch = ours.take(np.arange(2), ["rgb", "audio"])
    for row, name in enumerate(ours.ids(np.arange(2))):
        place = ids.index(name)
        assert theirs[f"{place}.labels"].tolist() == [["cat", "dog"].index(name[:3])]
        assert batch.labels[row].tolist() == [float(name.startswith(word)) for word in ("cat", "dog")]
        for key in ("rgb", "audio"):
            frames = theirs[f"{place}.{key}"]
            assert len(frames) == 2
            assert frames.std() > 10
            np.testing.assert_array_equal(frames, batch.inputs[key][row][batch.inputs[f"{key}.mask"][row]])


def test_ratings_of_segments(tmp_path: Path, worker: Callable[[str], Worker]) -> None:
    ratings = [[(5, 3, 1.0), (0, 300, 0.0)], [], [(10, 7, 0.25)]]
    shard = rated_shard(tmp_path / "validate00.tfrecord", ratings)
    ids, theirs = worker("tensorflow").run(parse, Shards((str(shard),)))
    assert ids == ["v0", "v1", "v2"]
    for number, own in enumerate(ratings):
        columns = [theirs[f"{number}.segment_{name}"].tolist() for name in ("start_times", "labels", "scores")]
        assert list(zip(*columns, strict=True)) == own
        assert theirs[f"{number}.segment_end_times"].tolist() == [start + 5 for start, _, _ in own]
        assert theirs[f"{number}.rgb"].shape == (12, 6)
