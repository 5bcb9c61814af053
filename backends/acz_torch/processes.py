"""Several processes that share the steps of one training in PyTorch: their meeting, and their sums."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, distributed, nn

from acz.backend.devices import split_device
from acz.backend.processes import Place, fill_buckets
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError
from acz_torch.devices import native_device

TIMEOUT = timedelta(seconds=60)
"""The longest wait for another process."""
BUCKET = 25 * 2**20
"""Bytes of gradients that travel together."""


def join(place: Place, device: str) -> None:
    on_cpu = split_device(device)[0] == "CPU"
    if not distributed.is_available() or not (on_cpu or distributed.is_nccl_available()):
        lacking = "NCCL" if distributed.is_available() else "torch.distributed"
        raise MissingError(f"this build of PyTorch has no {lacking}, so processes on {device} can't train together")
    means = "gloo" if on_cpu else "cpu:gloo,cuda:nccl"
    if not on_cpu:
        torch.cuda.set_device(native_device(device))
    if place.local_world < place.world:
        distributed.init_process_group(means, timeout=TIMEOUT)
        return
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    for library in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", loopback)
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun holds it
        distributed.init_process_group(means, timeout=TIMEOUT)
        return
    store = _store(place, os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    distributed.init_process_group(means, store=store, rank=place.rank, world_size=place.world, timeout=TIMEOUT)


def _store(place: Place, address: str, port: int) -> distributed.Store:
    """The store where processes of one host meet. PyTorch's own would listen on all interfaces."""
    listener = socket.create_server((address, port)).detach() if place.rank == 0 else None
    return distributed.TCPStore(
        address, port, place.world, place.rank == 0, TIMEOUT, wait_for_workers=False, master_listen_fd=listener
    )


def leave() -> None:
    total(np.zeros(1))  # a process that left early would break the last sums of the others
    distributed.destroy_process_group()


def total(values: Array) -> Array:
    whole = torch.from_numpy(values.copy())
    distributed.all_reduce(whole)
    return whole.numpy()


class TotalOfProcesses(torch.autograd.Function):
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


class GradientSums:
    """A context in which backward runs: after it, the gradients of parameters are their sums over the processes.

    Gradients leave in buckets while backward runs. A bucket leaves when backward has all of its gradients and the buckets
    before it have left, so the order is the same in every process. A large gradient is a bucket by itself and is not copied.

    Args:
        parameters: the trained parameters, in the order of the model.
        numbers: numbers to sum as well, in place.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], numbers: Tensor) -> None:
        arrivals = list(reversed(parameters))  # about the order in which backward has them
        filled = fill_buckets([p.numel() * p.element_size() for p in arrivals], BUCKET)
        self.buckets = [[arrivals[place] for place in bucket] for bucket in filled]
        self.bucket_of = {id(p): number for number, bucket in enumerate(self.buckets) for p in bucket}
        self.missing = [len(bucket) for bucket in self.buckets]
        self.numbers = numbers
        self.sent: list[tuple[Tensor, distributed.Work]] = []

    def __enter__(self) -> Self:
        self.work = distributed.all_reduce(self.numbers, async_op=True)
        self.hooks = [p.register_post_accumulate_grad_hook(self._take) for bucket in self.buckets for p in bucket]
        return self

    def _take(self, parameter: Tensor) -> None:
        """Note that a gradient is there, and send the buckets that are complete."""
        self.missing[self.bucket_of[id(parameter)]] -= 1
        while len(self.sent) < len(self.buckets) and not self.missing[len(self.sent)]:
            gradients = [p.grad for p in self.buckets[len(self.sent)]]
            together = gradients[0] if len(gradients) == 1 else torch.cat([g.flatten() for g in gradients])
            self.sent.append((together, distributed.all_reduce(together, async_op=True)))

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()
        if kind is not None:
            return
        self.work.wait()
        for bucket, (together, work) in zip(self.buckets, self.sent, strict=True):
            work.wait()
            if len(bucket) > 1:
                for p, gradient in zip(bucket, together.split([p.numel() for p in bucket]), strict=True):
                    p.grad = gradient.view_as(p)
