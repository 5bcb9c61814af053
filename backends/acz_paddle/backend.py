"""The functions of the seam in PaddlePaddle."""

from acz_paddle.devices import capabilities, devices, set_threads, versions
from acz_paddle.evaluation import forward_best
from acz_paddle.export import export
from acz_paddle.model import Model, build, call_in_training, dump_parameters, forward, load_parameters
from acz_paddle.native import read_native, save_native
from acz_paddle.processes import join, leave, total
from acz_paddle.training import (
    dump_optimizer,
    load_optimizer,
    loss_and_gradients,
    start_training,
    training_step,
)

NAME = "paddle"

__all__ = [
    "NAME",
    "Model",
    "build",
    "call_in_training",
    "capabilities",
    "devices",
    "dump_optimizer",
    "dump_parameters",
    "export",
    "forward",
    "forward_best",
    "join",
    "leave",
    "load_optimizer",
    "load_parameters",
    "loss_and_gradients",
    "read_native",
    "save_native",
    "set_threads",
    "start_training",
    "total",
    "training_step",
    "versions",
]
