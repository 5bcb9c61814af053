"""The baseline of `acz bench` in TensorFlow: tf.data's own reading of YouTube-8M shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

READER = "tf.data"
CONTEXT = {"id": tf.io.FixedLenFeature([], tf.string), "labels": tf.io.VarLenFeature(tf.int64)}
FRAMES = {name: tf.io.FixedLenSequenceFeature([], tf.string) for name in ("rgb", "audio")}
WIDTHS = {"rgb": 1024, "audio": 128}


def read_records(paths: Sequence[str], videos: int, classes: int) -> Callable[[], int]:
    """One pass over shards in batches of `videos`: uint8, filled up to 300 frames, with lengths, multi-hot labels and ids."""
    shapes: tuple[list[int], ...] = ([], [300, WIDTHS["rgb"]], [300, WIDTHS["audio"]], [], [classes])

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, ...]:
        context, lists = tf.io.parse_single_sequence_example(record, CONTEXT, FRAMES)
        rgb, audio = (tf.reshape(tf.io.decode_raw(lists[k], tf.uint8), [-1, n])[:300] for k, n in WIDTHS.items())
        labels = context["labels"].values
        hot = tf.scatter_nd(labels[:, None], tf.ones_like(labels, tf.uint8), [classes])
        return context["id"], rgb, audio, tf.shape(rgb)[0], hot

    def read() -> int:
        data = tf.data.TFRecordDataset(list(paths))
        batches = data.map(parse, num_parallel_calls=tf.data.AUTOTUNE).padded_batch(videos, shapes)
        return sum(len(batch[0]) for batch in batches.prefetch(tf.data.AUTOTUNE))

    return read
