"""The seam: the functions of a backend. Arrays cross this seam as NumPy; models and trainers are the framework's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, SupportsFloat

from acz.foundation.arrays import Array
from acz.model.optimizer import Adam
from acz.model.spec import Spec

Parameters = Mapping[str, Array]


class Backend(Protocol):
    """The seam. Paths, shapes and layouts of every dictionary are the spec's."""

    NAME: str

    def versions(self) -> dict[str, str]:
        """Versions of the framework and of what it is built with, by name."""

    def devices(self) -> list[str]:
        """Devices that are here and that this build can use: `CPU`, `GPU:0`, `Ascend:0`, ..."""

    def capabilities(self) -> dict[str, str]:
        """The backend's features in words, for a reader. The key `devices` names the kinds of device that this build could use."""

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
        loss: str | None = None,
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
        loss: str,
        dropout: Mapping[str, Array] | None = None,
        training: bool = True,
    ) -> tuple[float, dict[str, Array]]:
        """The loss and its gradient by every trained parameter's path and every float input's name."""

    def start_training(self, model: Any, optimizer: Adam, loss: str) -> Any:
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


class Exports(Backend, Protocol):
    """A backend with a deployment format: its description has an `artefact`."""

    def export(self, model: Any, path: Path, metadata: Mapping[str, str]) -> None:
        """Write a float32 model on the CPU in the framework's deployment format.

        Inputs and output are those of acz.backend.signature. Nothing of this machine is in it: no path, no line of source, no
        sample of inputs.

        Args:
            path: a file or a folder that does not exist yet, and can be renamed afterwards.
            metadata: texts that the artefact carries.
        """


class NativeFiles(Backend, Protocol):
    """A backend with a kind of file of its own: its description has a `native`."""

    def save_native(self, model: Any, path: Path) -> None:
        """Write the model as the framework's own kind of file, which its users read without this program's help."""

    def read_native(self, path: Path) -> dict[str, Array]:
        """The arrays of a native file by the names in it; nothing in the file is run. Raises what the framework raises."""
