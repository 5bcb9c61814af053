"""Several processes that share the steps of one training in PaddlePaddle: their meeting, and their sums."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, distributed

from acz.backend.devices import split_device
from acz.backend.processes import Place, fill_buckets
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError
from acz.foundation.processes.silence import silence_output

BUCKET = 25 * 2**20
"""Bytes of gradients that travel together."""


def join(place: Place, device: str) -> None:
    kind, number = split_device(device)
    if not distributed.is_available():
        raise MissingError("this build of PaddlePaddle has no paddle.distributed, so processes can't train together")
    os.environ["PADDLE_DISTRI_BACKEND"] = {"CPU": "gloo", "GPU": "nccl"}.get(kind, "xccl")
    if kind != "CPU":
        os.environ[f"FLAGS_selected_{'gpus' if kind == 'GPU' else 'npus'}"] = str(number)
    with silence_output():  # it lists flags
        distributed.init_parallel_env()


def leave() -> None:
    total(np.zeros(1))  # a process that left early would break the last sums of the others
    distributed.destroy_process_group()


def total(values: Array) -> Array:
    whole = paddle.to_tensor(values)
    distributed.all_reduce(whole)
    return np.asarray(whole.numpy())


class TotalOfProcesses(paddle.autograd.PyLayer):
    """The sum of a tensor of every process. So is its gradient: each process's loss depends on all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        whole = x.clone()
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone()
        distributed.all_reduce(whole)
        return whole


def sum_gradients(gradients: list[Tensor], numbers: Tensor) -> list[Tensor]:
    """The sums of gradients over the processes; some numbers that every process has are summed too, in place.

    Small gradients travel together, in buckets. A large gradient is a bucket by itself and is not copied.
    """
    filled = fill_buckets([gradient.size * gradient.element_size() for gradient in gradients], BUCKET)
    buckets = [[gradients[place] for place in bucket] for bucket in filled]
    with paddle.no_grad():
        flat = [paddle.concat([g.flatten() for g in b]) if len(b) > 1 else b[0].contiguous() for b in buckets]
        tasks = [distributed.all_reduce(values, sync_op=False) for values in (numbers, *flat)]
        for task in tasks:
            task.wait()
        summed: list[Tensor] = []
        for bucket, values in zip(buckets, flat, strict=True):
            if len(bucket) == 1:
                summed.append(values)
            else:
                parts = values.split([gradient.size for gradient in bucket])
                summed += [part.reshape(gradient.shape) for part, gradient in zip(parts, bucket, strict=True)]
    return summed
