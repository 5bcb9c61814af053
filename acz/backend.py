"""What a backend must supply, and how one is found by name.

A backend is a module, registered under the entry-point group `acz.backends`, that has the functions of `Backend`.
Arrays cross this seam as NumPy; `model` and `trainer` are the framework's own and opaque to the core.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, SupportsFloat, cast

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.processes.silence import quiet
from acz.model.losses import Loss
from acz.model.optimizer import Adam
from acz.model.parameters import check_parameters, initial_parameters
from acz.model.spec import Spec

Parameters = Mapping[str, Array]

FRAMEWORKS = {"torch": "torch", "tensorflow": "tensorflow", "paddle": "paddle", "mindspore": "mindspore"}
"""The framework that each of this distribution's backends needs: its import name."""

LOG_LEVELS = {
    "tensorflow": {"TF_CPP_MIN_LOG_LEVEL": "3"},
    "paddle": {"GLOG_minloglevel": "3"},
    "mindspore": {"GLOG_v": "3"},  # to Paddle the same variable is a verbosity
}
"""Environment that keeps a framework's import from talking: errors only."""


class Backend(Protocol):
    """The seam. Paths, shapes and layouts of every dictionary are the spec's."""

    NAME: str
    EXPORT: str
    """The deployment format that `export` writes: a name of acz.export.runtime.FORMATS."""

    def versions(self) -> dict[str, str]:
        """Versions of the framework and of what it is built with, by name."""

    def devices(self) -> list[str]:
        """Devices that are here and that this build can use: `CPU`, `GPU:0`, `Ascend:0`, ..."""

    def capabilities(self) -> dict[str, str]:
        """What this backend does and how, for a reader: `training`, `float64`, `devices of this build`."""

    def set_threads(self, count: int) -> None:
        """Compute with `count` threads on the CPU; called before the first operation."""

    def build(self, spec: Spec, device: str, dtype: str) -> Any:
        """The framework's own module with the spec's paths as names, in `float32` or `float64`, on `device`."""

    def load_parameters(self, model: Any, parameters: Parameters) -> None:
        """Set every parameter and statistic."""

    def dump_parameters(self, model: Any) -> dict[str, Array]:
        """Copies of every parameter and statistic."""

    def forward(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        training: bool = False,
        dropout: Mapping[str, Array] | None = None,
        record: Sequence[str] = (),
    ) -> dict[str, Array]:
        """`output`, `logits` and the recorded paths. In training the statistics of the model move.

        Without `dropout` masks training drops nothing, as in the reference.
        """

    def forward_best(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        counts: Mapping[str, int],
        labels: Array | None = None,
        loss: Loss | None = None,
    ) -> dict[str, Array]:
        """The best of what `forward` gives, selected on the device: nothing else of it comes from there.

        For each NAME in `counts`, `output` or `logits`: `NAME` (videos, count), its best values, in any order, and `NAME.classes`, the
        classes that they are of; of equal values at the edge the smaller classes. `finite` (videos): whether a video's output and
        logits are; where not, its classes mean nothing. With `labels` and a `loss` also `loss` (), the mean over the first videos, as many as
        have labels.
        """

    def loss_and_gradients(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        labels: Array,
        loss: Loss,
        dropout: Mapping[str, Array] | None = None,
        training: bool = True,
    ) -> tuple[float, dict[str, Array]]:
        """The loss and its gradient by every trained parameter's path and every float input's name."""

    def start_training(self, model: Any, optimizer: Adam, loss: Loss) -> Any:
        """A trainer: the model with an optimiser at its start."""

    def training_step(
        self,
        trainer: Any,
        inputs: Mapping[str, Array],
        labels: Array,
        dropout: Mapping[str, Array],
        learning_rate: float,
    ) -> tuple[SupportsFloat, SupportsFloat]:
        """One step; the loss before it, and how many videos' best class is a label. `float()` of them waits for the device."""

    def dump_optimizer(self, trainer: Any) -> dict[str, Array]:
        """`m.<path>`, `v.<path>` for every trained parameter, and `step`, an integer."""

    def load_optimizer(self, trainer: Any, state: Mapping[str, Array]) -> None:
        """Go on from what `dump_optimizer` of any backend gave."""

    def export(self, model: Any, path: Path, metadata: Mapping[str, str]) -> None:
        """Write a float32 model on the CPU in the framework's deployment format, with the inputs and output of acz.export.signature.

        `path`, a file or a folder, does not exist yet, and can be renamed afterwards. `metadata` is carried in it. Nothing of this
        machine is: no path, no line of source, no sample of inputs.
        """

    def save_native(self, model: Any, path: Path) -> None:
        """Write the model as the framework's own kind of file, which its users read without this program's help."""

    def read_native(self, path: Path) -> dict[str, Array]:
        """The arrays of a native file by the names in it; nothing in the file is run. Raises what the framework raises."""


def registered() -> dict[str, str]:
    """Module names of the known backends, by name."""
    return {point.name: point.value for point in entry_points(group="acz.backends")}


def installed() -> list[str]:
    """Backends whose framework is installed, found without importing it."""
    return [
        name
        for name, module in sorted(registered().items(), key=lambda item: _order(item[0]))
        if find_spec(FRAMEWORKS.get(name, module)) is not None
    ]


def _order(name: str) -> int:
    return list(FRAMEWORKS).index(name) if name in FRAMEWORKS else len(FRAMEWORKS)


def find_backend(name: str) -> Backend:
    """Import a backend by name; its framework's import-time noise is kept from the user.

    Raises SpecError for a name that is none, MissingError with what to install.
    """
    if name == "numpy":
        from acz import numpy_backend

        return cast(Backend, numpy_backend)
    known = registered()
    if name not in known:
        raise SpecError(f"there is no backend '{name}'; {nearest(name, [*known, 'numpy'])}")
    if name not in installed():
        here = ", ".join(installed()) or "none"
        raise MissingError(
            f"backend '{name}' needs {FRAMEWORKS.get(name, known[name])}, which is not installed; "
            f'pip install "acz[{name}]" brings it. Installed: {here}'
        )
    others = [f for f in FRAMEWORKS.values() if f in sys.modules and f != FRAMEWORKS.get(name)]
    if others:
        raise MissingError(
            f"backend '{name}' can't be loaded beside {', '.join(others)}, which this process has imported: "
            "two frameworks in one process crash; start another process"
        )
    for variable, value in LOG_LEVELS.get(name, {}).items():
        os.environ.setdefault(variable, value)
    try:
        with quiet():
            return cast(Backend, import_module(known[name]))
    except (ImportError, OSError) as error:
        raise MissingError(
            f"backend '{name}' is installed but can't be loaded: {type(error).__name__}: {error}; "
            f'pip install --force-reinstall "acz[{name}]" mends most of these'
        ) from None


def split_device(device: str) -> tuple[str, int]:
    """`GPU:1` to ("GPU", 1). Raises SpecError for a name that is none."""
    match = re.fullmatch(r"(CPU|GPU|Ascend)(?::(\d+))?", device)
    if not match or (match[1] == "CPU" and match[2]):
        raise SpecError(f"there is no device '{device}'; devices are CPU, GPU, GPU:1, Ascend, Ascend:3 and so on")
    return match[1], int(match[2] or 0)


def check_device(backend: Backend, device: str) -> None:
    """Raise MissingError, with what there is and what to type instead, unless `device` is here."""
    kind, number = split_device(device)
    here = backend.devices()
    if (kind if kind == "CPU" else f"{kind}:{number}") in here:
        return
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    raise MissingError(
        f"device '{device}' was asked for, and is not here. "
        f"This machine offers backend '{backend.NAME}' ({versions}): {', '.join(here)}; "
        f"this build of the framework could use: {backend.capabilities()['devices']}. "
        f"Type --device {here[0]} instead, or see 'acz backends'."
    )


def build(
    spec: Spec,
    backend: str,
    parameters: Parameters | None = None,
    device: str = "CPU",
    dtype: str = "float32",
    seed: int = 0,
) -> Any:
    """The framework's own module of a spec: torch.nn.Module, keras.Model, paddle.nn.Layer or mindspore.nn.Cell.

    Its parameters carry the spec's paths as names and the spec's layouts. Without `parameters` it starts from the spec's initial
    values for `seed`, the same in every backend.

    Raises MissingError (backend or device), SpecError (parameters that are not the spec's).
    """
    found = find_backend(backend)
    check_device(found, device)
    if parameters is None:
        parameters = initial_parameters(spec, seed, np.dtype(dtype))
    check_parameters(spec, parameters)
    model = found.build(spec, device, dtype)
    found.load_parameters(model, {path: np.asarray(value, dtype) for path, value in parameters.items()})
    return model
