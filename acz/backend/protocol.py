"""The functions that a backend must have. Arrays cross this seam as NumPy; models and trainers are the framework's own.

`acz backend-check NAME` checks what these texts promise, and `acz parity-check --backends NAME` compares the numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, SupportsFloat

from acz.backend.processes import Place
from acz.foundation.arrays import Array
from acz.model.optimizer import Adam
from acz.model.spec import Spec

Parameters = Mapping[str, Array]


class Backend(Protocol):
    """A module, or any object, with these functions. Paths, shapes and layouts of every dictionary are the spec's.

    Inputs are `<input>` (videos, frames, features) or (videos, *shape), as the spec says, float32, float64 or uint8.
    A framed input may have `<input>.mask`, bool (videos, frames), which is true at valid frames. The numbers of
    videos and frames may change from call to call.

    The model sets padded frames to 0 before the first layer, whatever they hold: NaN too. A video without a valid
    frame is allowed.
    """

    NAME: str
    """The name in the description, and of the entry point."""

    def versions(self) -> dict[str, str]:
        """Versions of the framework and of what it is built with, by name."""

    def devices(self) -> list[str]:
        """Devices that are here and that this build can use: `CPU`, `GPU:0`, `Ascend:0` and so on.

        `CPU` is always among them. Kinds are the backend's own; numbers start at 0.
        """

    def capabilities(self) -> dict[str, str]:
        """Properties of the backend, in words for a reader.

        Returns:
            At least `devices`: the kinds of device that this build of the framework could use, as `CPU, GPU`. Those
            of this distribution also have `training` and `float64`.
        """

    def set_threads(self, count: int) -> None:
        """Compute with `count` threads on the CPU.

        It is called before the first operation, and may be called again. The count that is set already changes
        nothing.

        Raises:
            MissingError: the framework can't change the count any more.
        """

    def build(self, spec: Spec, device: str, dtype: str) -> Any:
        """The framework's own module with the spec's paths as names of its parameters, in the mode that the framework's
        own modules start in: training mode in PyTorch and PaddlePaddle, inference mode in MindSpore, none where the mode is
        an argument of the call.

        Args:
            spec: the model. Layers in `spec.bags` take the bags of a video one by one, as acz.model.layers.bags says.
            device: one of `devices()`.
            dtype: `float32`, or `float64`, which must work on the CPU.

        Returns:
            The module. A user can call, train and save it without acz; in training mode it then draws its own
            dropout. It is called as acz.backend.inputs says. Where its attribute `returns_logits` is set to True, a
            call gives the trunk's last values, and `finish(logits)` gives the output of them. A mask may have any
            dtype; a frame is valid where it is not 0. The functions below set the mode that they need.
        """

    def load_parameters(self, model: Any, parameters: Parameters) -> None:
        """Set every parameter and statistic to a copy of the given arrays, which have the model's dtype.

        A trainer of the model may be there already; it trains the new values.
        """

    def dump_parameters(self, model: Any) -> dict[str, Array]:
        """Copies of every parameter and statistic, in the model's dtype."""

    def forward(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        training: bool = False,
        dropout: Mapping[str, Array] | None = None,
        record: Sequence[str] = (),
    ) -> dict[str, Array]:
        """Run the model.

        Args:
            inputs: by name, with masks; they are not changed.
            training: batch norm takes the statistics of the batch, and the running statistics of the model move.
            dropout: masks of zeros and ones by path, (videos, *shape), 1 where a value is kept. The shapes are those
                of `spec.dropout_masks`. A path without a mask drops nothing; without `dropout` nothing is dropped.
            record: paths of `spec.recordable`.

        Returns:
            Arrays in the model's dtype: `output` and `logits`, (videos, classes), and the recorded paths. A layer's
            path has its output. `weights` of an attention cluster is (videos, frames, units), `assignments` of a VLAD
            layer (videos, frames, clusters), and `gates` of a gating has the shape of the layer's output. In a layer
            that takes bags the videos of its inner values are videos * bags, and their frames are those of a bag.
        """

    def forward_best(
        self,
        model: Any,
        inputs: Mapping[str, Array],
        counts: Mapping[str, int],
        labels: Array | None = None,
        loss: str | None = None,
    ) -> dict[str, Array]:
        """The best values of an evaluation, selected on the device: nothing else leaves it.

        Args:
            inputs: as in `forward`.
            counts: how many of the best are wanted, by `output` or `logits`; at most the number of classes.
            labels: of the first videos; the videos after them fill up a batch of constant size.
            loss: a name in acz.model.losses.LOSSES.

        Returns:
            For each NAME in `counts`: `NAME`, (videos, count), its best values in any order, and `NAME.classes`, the
            class of each. Of equal values at the edge the smaller classes are taken. `finite`, bool (videos), is true
            where all of a video's output and logits are finite; where it is false, the video's classes mean nothing.
            With `labels` and `loss` also `loss`, (), of the videos that have labels.
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
        """The loss and its gradient by every trained parameter's path and every float input's name.

        The running statistics of the model may move in training; the core loads parameters before each call.

        Args:
            inputs: as in `forward`.
            labels: int64 (videos) for a loss of one class; else (videos, classes), uint8, float32 or float64. A label
                below 0 is UNRATED, which a loss leaves out that takes such labels.
            loss: a name in acz.model.losses.LOSSES; an unknown name is an error.
            dropout: as in `forward`.
            training: as in `forward`.
        """

    def start_training(self, model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        """A trainer: the model with an optimiser at its start.

        Args:
            model: what `build` gave. Its parameters may be loaded later.
            optimizer: the settings of Adam, with penalties, clipping and weight decay, as acz.model.optimizer defines
                them.
            loss: a name in acz.model.losses.LOSSES.
            frozen: paths of parameters and statistics that no step changes. Their gradients count in no norm. A batch
                norm whose statistics are frozen still normalises with those of the batch.
        """

    def training_step(
        self,
        trainer: Any,
        inputs: Mapping[str, Array],
        labels: Array,
        dropout: Mapping[str, Array],
        learning_rate: float,
        videos: int | None = None,
    ) -> tuple[SupportsFloat, SupportsFloat]:
        """One step. It need not wait for the device.

        Args:
            trainer: what `start_training` gave.
            inputs: as in `forward`. The caller drops the arrays, labels and masks after the call, and memory that
                nothing refers to is used again: hold or copy what is read later.
            labels: as in `loss_and_gradients`.
            dropout: as in `forward`.
            learning_rate: of this step.
            videos: the number of videos of the whole batch, where several processes share it; see `Processes`. The core
                gives it only after `join`.

        Returns:
            The loss before the step, and the number of videos whose best class is a label. `float()` of them waits
            for the device; after that the caller may also write into the arrays.
        """

    def dump_optimizer(self, trainer: Any) -> dict[str, Array]:
        """Copies of `m.<path>` and `v.<path>` of every trained parameter that is not frozen, zeros at first, and `step`.

        `step` is an integer (). Where the optimiser is an `AveragedAdam`, also `a.<path>`, the weights at first. A model in
        float16 also gives `scale` and `growth` of acz.model.loss_scale, whose rule its steps follow.
        """

    def load_optimizer(self, trainer: Any, state: Mapping[str, Array]) -> None:
        """Resume from copies of a state that `dump_optimizer` of any backend gave; averages are there where they are asked for.

        The state may also have moments of parameters that are frozen here; they are left out.
        """


class Processes(Backend, Protocol):
    """A backend that trains one model over several processes: its description has a `launcher`.

    Every function here is called by all processes, in the same order. The framework's own collectives reduce, in an order
    that follows from the number of processes alone, so that a run repeats bitwise.
    """

    def join(self, place: Place, device: str) -> None:
        """Join the other processes, before the first operation. The framework reads its own launcher's variables.

        Args:
            place: the place of this process.
            device: its device; the means of communication follow from it.

        Raises:
            MissingError: this build of the framework can't communicate between processes on the device.
        """

    def leave(self) -> None:
        """Leave the other processes."""

    def total(self, values: Array) -> Array:
        """The sum of float64 arrays of one shape over all processes: the same bits in each."""

    # After `join`, `start_training` gives a trainer that shares its steps with the other processes. Each gives
    # `training_step` its own part of the batch (acz.backend.processes.Place.part: at least one video), with its own rows of
    # the labels and of the dropout masks, and `videos`, the number of videos of the whole batch. The step is that of the whole
    # batch in one process: the loss is the mean over it, batch norms take the statistics of all its valid frames (the sums of
    # values and of counts are reduced first, then those of squared deviations from that mean, forward and backward),
    # gradients are summed over the processes before penalties and clipping, and the loss and hits that it gives are those
    # of the whole batch. `forward`, `forward_best` and `loss_and_gradients` stay the process's own.


class Modules(Backend, Protocol):
    """A backend whose module can be called in training mode."""

    def call_in_training(self, model: Any, inputs: Mapping[str, Array]) -> Array:
        """The output of a module in training mode, as its user calls it: with dropout that the framework draws.

        Args:
            model: what `build` gave.
            inputs: as in `forward`.
        """


class Exports(Backend, Protocol):
    """A backend with a deployment format: its description has `artefacts`. A second format has a function of its own."""

    def export(self, model: Any, path: Path, metadata: Mapping[str, str]) -> None:
        """Write a float32 model on the CPU in the framework's deployment format.

        A format whose description lists several `weights` or `masks` also takes `weights: str` and `masks: str` by
        keyword, as acz.backend.signature.Form defines them. Each comes only where it is not the default.

        Inputs and output are those of acz.backend.signature. The file tells nothing of this machine: no path, no line
        of source, no sample of inputs but zeros.

        Args:
            path: a file or a folder that does not exist yet, and can be renamed afterwards.
            metadata: texts that the artefact carries.

        Raises:
            SpecError: the format can't hold this model.
        """


class OpenedNetwork(Protocol):
    """A network of somebody else, opened from a file: one input, one output."""

    shape: tuple[int | None, ...]
    """The shape of its input, None where an axis takes any number; empty where the file does not say."""
    takes_bytes: bool
    """True where its input is uint8."""

    def run(self, rows: Array) -> Array:
        """The output of rows (rows, ...): (rows, ...)."""


class Networks(Backend, Protocol):
    """A backend that runs networks which make features of frames: its description has `networks`."""

    def open_network(self, path: Path, input: str | None, output: str | None) -> OpenedNetwork:
        """Open a network on the CPU.

        Args:
            path: a file with one of the endings of the description.
            input: the name of the value that is its input; None: its only one.
            output: the name of the value that is wanted; None: its only one, or the first.

        Raises:
            SpecError: there is no such value, or the file does not tell which is meant.

        Raises whatever the framework raises for a file that it can't read.
        """


class NativeFiles(Backend, Protocol):
    """A backend with a kind of file of its own: its description has a `native`."""

    def save_native(self, model: Any, path: Path) -> None:
        """Write the model as the framework's own kind of file, which its users read without acz."""

    def read_native(self, path: Path) -> dict[str, Any]:
        """The arrays of a native file by the names in it. Nothing in the file is run.

        A file with dictionaries in each other gives them as they are; what is neither array nor dictionary comes as None.

        Raises whatever the framework raises for a file that it can't read.
        """
