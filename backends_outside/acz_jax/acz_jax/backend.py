"""The functions of the seam in JAX."""

from acz_jax.devices import capabilities, devices, set_threads, versions
from acz_jax.evaluation import forward_best
from acz_jax.export import export
from acz_jax.model import Model, build, dump_parameters, forward, load_parameters
from acz_jax.native import read_native, save_native
from acz_jax.training import (
    dump_optimizer,
    load_optimizer,
    loss_and_gradients,
    start_training,
    training_step,
)

NAME = "jax"

__all__ = [
    "NAME",
    "Model",
    "build",
    "capabilities",
    "devices",
    "dump_optimizer",
    "dump_parameters",
    "export",
    "forward",
    "forward_best",
    "load_optimizer",
    "load_parameters",
    "loss_and_gradients",
    "read_native",
    "save_native",
    "set_threads",
    "start_training",
    "training_step",
    "versions",
]
