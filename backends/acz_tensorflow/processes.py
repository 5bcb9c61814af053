"""Several processes that share the steps of one training in TensorFlow: their meeting, and their sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from acz.backend.devices import split_device
from acz.backend.processes import Place
from acz.foundation.arrays import Array, Shape
from acz.foundation.errors import MissingError
from acz_tensorflow.devices import native_device

GROUP = 1000
"""TensorFlow's number for the processes together. The groups of its own strategies are numbered from 1."""
BUCKET = 25 * 2**20
"""Bytes of gradients that travel together."""


@dataclass
class Group:
    """The processes that joined.

    Each sum in a graph has a number, the same in all processes and in every step: they trace the same graphs in the same
    order. A strategy's own sums take new numbers in each step, and TensorFlow keeps something for each number. It also keeps
    a thread for each timeout until that has passed, so the sums have none; the strategy watches over the other processes,
    and ends the sums when one is gone.
    """

    joined: ClassVar[Group | None] = None

    world: int
    device: str
    means: str
    """TensorFlow's name of the means of communication."""
    strategy: tf.distribute.MultiWorkerMirroredStrategy
    token: tf.Variable | None
    """A variable that lets NCCL take the sums in one order; those of a CPU need no order."""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    totals: dict[Shape, int] = field(default_factory=dict)
    """The number of the sums of each shape outside of graphs: a number has one shape."""

    def sum(self, x: Tensor, number: int | None = None) -> Tensor:
        """The sum of a tensor of every process."""
        return tf.raw_ops.CollectiveReduceV2(
            input=x,
            group_size=self.world,
            group_key=GROUP,
            instance_key=next(self.numbers) if number is None else number,
            ordering_token=[] if self.token is None else [self.token.handle],
            merge_op="Add",
            final_op="Id",
            communication_hint=self.means,
        )


def join(place: Place, device: str) -> None:
    kind, number = split_device(device)
    if kind == "GPU" and not tf.test.is_built_with_gpu_support():
        raise MissingError(f"this build of TensorFlow has no NCCL, so processes on {device} can't train together")
    tf.config.set_visible_devices(  # or the strategy takes every GPU of the host
        [tf.config.list_physical_devices("GPU")[number]] if kind == "GPU" else [], "GPU"
    )
    means = tf.distribute.experimental.CommunicationImplementation["NCCL" if kind == "GPU" else "RING"]
    options = tf.distribute.experimental.CommunicationOptions(implementation=means)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    home, token = native_device(device), None
    if kind == "GPU":
        with tf.device(home):
            token = tf.Variable(0.0, trainable=False)
    Group.joined = Group(place.world, home, means.value, strategy, token)


def leave() -> None:
    total(np.zeros(1))  # a process that left early would break the last sums of the others


def total(values: Array) -> Array:
    group = _group()
    if values.shape not in group.totals:
        group.totals[values.shape] = next(group.numbers)
    with tf.device(group.device):
        whole: Array = group.sum(tf.constant(values), group.totals[values.shape]).numpy()
    return whole


def _group() -> Group:
    assert Group.joined is not None, "this process has not joined others"
    return Group.joined


@tf.custom_gradient
def total_of_processes(x: Tensor) -> tuple[Tensor, object]:
    """The sum of a tensor of every process. So is its gradient: each process's loss depends on all of them."""
    return _group().sum(x), total_of_processes


def sum_gradients(gradients: Sequence[Tensor], numbers: Tensor) -> tuple[list[Tensor], Tensor]:
    """The sums of gradients over the processes, in buckets.

    TensorFlow reduces a bucket as soon as backward has all of its gradients. A large gradient is a bucket by itself and is
    not copied.

    Args:
        gradients: in the order of the model, each with its shape.
        numbers: numbers to sum as well, of the same type.

    Returns:
        The sums of the gradients, and those of the numbers.
    """
    buckets: list[list[Tensor]] = []
    room = 0
    for tensor in [numbers, *reversed(gradients)]:  # about the order in which they are there
        size = tensor.shape.num_elements() * tensor.dtype.size
        if size > room:
            buckets.append([])
            room = BUCKET
        buckets[-1].append(tensor)
        room -= size
    sums: list[Tensor] = []
    for bucket in buckets:
        flat = [tf.reshape(tensor, [-1]) for tensor in bucket]
        whole = _group().sum(flat[0] if len(flat) == 1 else tf.concat(flat, 0))
        parts = tf.split(whole, [part.shape[0] for part in flat])
        sums += [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, bucket, strict=True)]
    return sums[:0:-1], sums[0]
