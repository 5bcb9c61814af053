"""The functions of the seam in TensorFlow."""

from acz_tensorflow.benchmark import READER, read_records
from acz_tensorflow.devices import capabilities, devices, set_threads, versions
from acz_tensorflow.evaluation import forward_best
from acz_tensorflow.export import export, export_tflite
from acz_tensorflow.model import Model, build, call_in_training, dump_parameters, forward, load_parameters
from acz_tensorflow.native import read_native, save_native
from acz_tensorflow.networks import open_network
from acz_tensorflow.processes import join, leave, total
from acz_tensorflow.training import (
    dump_optimizer,
    load_optimizer,
    loss_and_gradients,
    start_training,
    training_step,
)

NAME = "tensorflow"

__all__ = [
    "NAME",
    "READER",
    "Model",
    "build",
    "call_in_training",
    "capabilities",
    "devices",
    "dump_optimizer",
    "dump_parameters",
    "export",
    "export_tflite",
    "forward",
    "forward_best",
    "join",
    "leave",
    "load_optimizer",
    "load_parameters",
    "loss_and_gradients",
    "open_network",
    "read_native",
    "read_records",
    "save_native",
    "set_threads",
    "start_training",
    "total",
    "training_step",
    "versions",
]
