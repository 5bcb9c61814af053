"""Networks that turn frames or patches of sound into features, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.videos.efficientnet import build_lite0, lite0_weights, read_lite0
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, MissingError
from acz.foundation.files.hashing import contents_hash
from acz.foundation.installation import install_command

GIVEN: Mapping[str, tuple[Callable[[], Path], Callable[[Path], bytes]]] = {
    "efficientnet_lite0": (lite0_weights, lambda path: build_lite0(read_lite0(path)))
}
"""Networks that packages bring: the function that finds the weights, and the one that writes the model."""


def network_file(network: str, folder: Path) -> Path:
    """The file that holds the weights of a network: one of a package, or a file of the user in `folder`."""
    return GIVEN[network][0]() if network in GIVEN else folder / network


class Network:
    """A network in ONNX Runtime, with one input and the output that is wanted."""

    def __init__(self, network: str, folder: Path, output: str | None, threads: int) -> None:
        """Open a network.

        Args:
            network: A name in `GIVEN`, or the name of an ONNX file.
            folder: The folder of the file.
            output: The name of the output; None: the first.
            threads: Threads of the computation.

        Raises:
            DataError: The file is missing, or is not such a network.
            MissingError: ONNX Runtime, or a package with weights, is not installed.
        """
        try:
            import onnxruntime
        except ImportError:
            raise MissingError(f"ONNX Runtime is not installed; {install_command('acz[video]')} brings it") from None
        self.path = network_file(network, folder)
        if not self.path.is_file():
            raise DataError(f"there is no file {self.path}, the network of these features; --files names its folder")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
        given: Any = GIVEN[network][1](self.path) if network in GIVEN else str(self.path)
        try:
            self.session = onnxruntime.InferenceSession(given, options, onnxruntime.get_available_providers())
        except Exception as error:  # classes of the compiled part
            raise DataError(f"{self.path}: ONNX Runtime can't load it: {str(error)[:300]}") from None
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(entry.name for entry in inputs)
            raise DataError(f"{self.path}: must have one input, the frames; it has {names}")
        self.input = inputs[0]
        outputs = [entry.name for entry in self.session.get_outputs()]
        if output is not None and output not in outputs:
            raise DataError(f"{self.path}: has no output '{output}'; it has {', '.join(outputs)}")
        self.output = output or outputs[0]

    @property
    def hash(self) -> str:
        """The hash of its file."""
        return contents_hash([self.path])

    def shape_of_patches(self, count: int, windows: int, bands: int) -> tuple[int, ...]:
        """The shape in which it takes patches of sound: with an axis of channels where its input has four axes."""
        if len(self.input.shape) < 4:
            return (count, windows, bands)
        return (count, 1, windows, bands) if self.input.shape[1] == 1 else (count, windows, bands, 1)

    @property
    def takes_bytes(self) -> bool:
        """True where its input is uint8."""
        return bool(self.input.type == "tensor(uint8)")

    def run(self, given: Array, batch: int) -> Array:
        """Compute features.

        Args:
            given: The input (rows, ...).
            batch: The most rows that are computed at once.

        Returns:
            float32 (rows, features).

        Raises:
            DataError: The network does not take this input, or gives something else than a vector for each row.
        """
        parts = []
        for start in range(0, len(given), batch):
            rows = given[start : start + batch]
            try:
                (output,) = self.session.run([self.output], {self.input.name: np.ascontiguousarray(rows)})
            except Exception as error:  # classes of the compiled part
                raise DataError(f"{self.path}: can't compute {rows.shape}: {str(error)[:300]}") from None
            features = np.asarray(output)
            if len(features) != len(rows) or features.size % len(rows):
                raise DataError(f"{self.path}: '{self.output}' is {features.shape} for {len(rows)} frames")
            parts.append(features.reshape(len(rows), -1).astype(np.float32))
        return np.concatenate(parts)
