"""The functions of the seam without any optional part: those of the reference."""

from acz.reference.numpy_backend import (
    Model,
    build,
    capabilities,
    devices,
    dump_optimizer,
    dump_parameters,
    forward,
    forward_best,
    load_optimizer,
    load_parameters,
    loss_and_gradients,
    set_threads,
    start_training,
    training_step,
    versions,
)

NAME = "mirror"

__all__ = [
    "NAME",
    "Model",
    "build",
    "capabilities",
    "devices",
    "dump_optimizer",
    "dump_parameters",
    "forward",
    "forward_best",
    "load_optimizer",
    "load_parameters",
    "loss_and_gradients",
    "set_threads",
    "start_training",
    "training_step",
    "versions",
]
