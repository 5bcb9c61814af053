"""The networks of an extractor: those that packages bring, ONNX files, and the files of frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.videos.backend_network import BackendNetwork, NetworkFile, backend_for
from acz.data.videos.efficientnet import build_lite0, lite0_weights, read_lite0
from acz.data.videos.network import Network
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, MissingError, SpecError
from acz.foundation.installation import install_command

GIVEN: Mapping[str, tuple[Callable[[], Path], Callable[[Path], bytes]]] = {
    "efficientnet_lite0": (lite0_weights, lambda path: build_lite0(read_lite0(path)))
}
"""Networks that packages bring: the function that finds the weights, and the one that writes the model."""


def network_file(network: str, folder: Path) -> Path:
    """The file that holds the weights of a network: one of a package, or a file of the user in `folder`."""
    return GIVEN[network][0]() if network in GIVEN else folder / network


def open_network(
    network: str, folder: Path, threads: int, *, input: str | None = None, output: str | None = None
) -> Network:
    """Open a network.

    Args:
        network: A name in `GIVEN`, or the name of a file: ONNX, or one whose ending a backend knows.
        folder: The folder of the file.
        threads: Threads of the computation.
        input: The name of the input in a file of a framework; None: its only one.
        output: The name of the output; None: the first.

    Raises:
        DataError: The file is missing, or is not such a network.
        MissingError: ONNX Runtime, a framework, or a package with weights is not installed.
        SpecError: An input is named that an ONNX file needs no name for.
    """
    path = network_file(network, folder)
    if not path.is_file():
        raise DataError(f"there is no file {path}, the network of these features; --files names its folder")
    info = None if network in GIVEN else backend_for(path)
    if info is not None:
        return BackendNetwork(info, NetworkFile(path, input, output), threads)
    if input is not None:
        raise SpecError(f"{path}: an ONNX file has one input; leave out input: {input}")
    return OnnxNetwork(path, GIVEN[network][1](path) if network in GIVEN else str(path), output, threads)


class OnnxNetwork(Network):
    """A network in ONNX Runtime."""

    def __init__(self, path: Path, given: Any, output: str | None, threads: int) -> None:
        """Open a network.

        Args:
            path: The file that it is known by.
            given: The name of the ONNX file, or its bytes.
            output: The name of the output; None: the first.
            threads: Threads of the computation.

        Raises:
            DataError: The file is not such a network.
            MissingError: ONNX Runtime is not installed.
        """
        try:
            import onnxruntime
        except ImportError:
            raise MissingError(f"ONNX Runtime is not installed; {install_command('acz[video]')} brings it") from None
        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
        try:
            self.session = onnxruntime.InferenceSession(given, options, onnxruntime.get_available_providers())
        except Exception as error:  # classes of the compiled part
            raise DataError(f"{path}: ONNX Runtime can't load it: {str(error)[:300]}") from None
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(entry.name for entry in inputs)
            raise DataError(f"{path}: must have one input, the frames; it has {names}")
        outputs = [entry.name for entry in self.session.get_outputs()]
        if output is not None and output not in outputs:
            raise DataError(f"{path}: has no output '{output}'; it has {', '.join(outputs)}")
        self.input, self.output = inputs[0].name, output or outputs[0]
        self.shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape)
        self.takes_bytes, self.words = inputs[0].type == "tensor(uint8)", f"'{self.output}'"

    def compute(self, rows: Array) -> Array:
        try:
            (output,) = self.session.run([self.output], {self.input: rows})
        except Exception as error:  # classes of the compiled part
            raise DataError(f"{self.path}: can't compute {rows.shape}: {str(error)[:300]}") from None
        return np.asarray(output)
