"""The functions of the seam in MindSpore."""

from acz_mindspore.devices import capabilities, devices, set_threads, versions
from acz_mindspore.evaluation import forward_best
from acz_mindspore.export import export
from acz_mindspore.model import Model, build, call_in_training, dump_parameters, forward, load_parameters
from acz_mindspore.native import read_native, save_native
from acz_mindspore.processes import join, leave, total
from acz_mindspore.training import (
    dump_optimizer,
    load_optimizer,
    loss_and_gradients,
    start_training,
    training_step,
)

NAME = "mindspore"

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
