"""Every promise that a backend makes beside equal numbers.

Values of layers, gradients, trainings and checkpoints are compared by the levels of parity, so they are not compared here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from acz.backend.info import BackendInfo
from acz.backend.protocol import Backend
from acz.parity.contract.model import (
    description,
    devices,
    dropout,
    names,
    native_files,
    outputs,
    own_dropout,
    parameters,
    precisions,
    sizes,
    statistics,
    threads,
)
from acz.parity.contract.training import (
    arrays,
    averages,
    best_classes,
    certain_losses,
    finite,
    frozen,
    losses,
    optimizer,
    steps,
)

Promise = Callable[[Backend, BackendInfo], Iterator[str]]
PROMISES: dict[str, Promise] = {
    promise.__name__: promise
    for promise in (
        description,
        threads,
        devices,
        names,
        parameters,
        outputs,
        sizes,
        statistics,
        dropout,
        own_dropout,
        precisions,
        best_classes,
        finite,
        losses,
        certain_losses,
        steps,
        arrays,
        optimizer,
        averages,
        frozen,
        native_files,
    )
}
"""Every promise by name, in the order in which it is checked."""
