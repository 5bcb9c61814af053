"""Several processes of MindSpore that train one model: joining and leaving them, and sums over them."""

from __future__ import annotations

import atexit
import os
import sys

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init, release

from acz.backend.devices import split_device
from acz.backend.processes import Place
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError, SpecError
from acz_mindspore.devices import in_mode, use_device
from acz_mindspore.launch import LOST, RANK_TABLE

MEANS = {"CPU": "mccl", "GPU": "nccl", "Ascend": "hccl"}
"""MindSpore's libraries of collectives by the kind of device."""
BUCKET = 25 * 2**20
"""Bytes of gradients that processes sum together."""


class Total(nn.Cell):
    """The sum of a tensor over all processes, the same bits in each. Its gradient is the sum of their gradients.

    MindSpore sums no float64, and gathers it in float32 on a CPU without a word. So three numbers in float32 stand for each
    one in float64, are gathered, and are summed in the order of ranks.
    """

    def construct(self, x: Tensor) -> Tensor:
        return self.add(x)

    def bprop(self, x: Tensor, y: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (self.add(gradient),)

    def add(self, x: Tensor) -> Tensor:
        if x.dtype != ms.float64:
            return ops.AllReduce()(x)
        high = x.astype(ms.float32)
        rest = x - high.astype(ms.float64)
        middle = rest.astype(ms.float32)
        low = (rest - middle.astype(ms.float64)).astype(ms.float32)
        row = ops.cat((high.reshape((-1,)), middle.reshape((-1,)), low.reshape((-1,))), 0)
        parts = ops.AllGather()(row.reshape((1, -1))).astype(ms.float64)
        parts = parts.reshape((parts.shape[0], 3, -1))
        total = parts[0, 0] + parts[0, 1] + parts[0, 2]
        for i in range(1, parts.shape[0]):
            total = total + (parts[i, 0] + parts[i, 1] + parts[i, 2])
        return total.reshape(x.shape)


def join(place: Place, device: str) -> None:
    kind, _ = split_device(device)
    if place.launcher == RANK_TABLE:
        device = f"{kind}:{os.environ.get('DEVICE_ID', place.local_rank)}"
    for variable, seconds in LOST.items():
        os.environ.setdefault(variable, seconds)
    use_device(device)
    try:
        init(MEANS[kind])
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingError(f"MindSpore {ms.__version__} can't join {place} by {MEANS[kind]}: {reason}") from error
    atexit.register(_say_no_more)
    if (get_rank(), get_group_size()) != (place.rank, place.world):
        raise SpecError(f"MindSpore made this process rank {get_rank()} of {get_group_size()}, not {place}")


def _say_no_more() -> None:
    """Keep the lines that MindSpore logs while it is taken down, whatever its level of logs, off the terminal."""
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def leave() -> None:
    release()


def total(values: Array) -> Array:
    words = Tensor(np.ascontiguousarray(values, np.float64).reshape(-1).view(np.int32))  # gathered bit by bit
    with in_mode(ms.PYNATIVE_MODE):
        gathered = ops.AllGather()(words).asnumpy().view(np.float64)
    summed: Array = np.add.reduce(gathered.reshape((-1, *np.shape(values))), axis=0)
    return summed
