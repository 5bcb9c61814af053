"""The functions of the seam in PyTorch."""

from acz_torch.benchmark import bare_layer, bare_step, loop_over_units, rates
from acz_torch.devices import capabilities, devices, set_threads, versions
from acz_torch.evaluation import forward_best
from acz_torch.export import export
from acz_torch.model import Model, build, call_in_training, dump_parameters, forward, load_parameters
from acz_torch.native import read_native, save_native
from acz_torch.networks import open_network
from acz_torch.processes import join, leave, total
from acz_torch.training import (
    dump_optimizer,
    load_optimizer,
    loss_and_gradients,
    start_training,
    training_step,
)

NAME = "torch"

__all__ = [
    "NAME",
    "Model",
    "bare_layer",
    "bare_step",
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
    "loop_over_units",
    "loss_and_gradients",
    "open_network",
    "rates",
    "read_native",
    "save_native",
    "set_threads",
    "start_training",
    "total",
    "training_step",
    "versions",
]
