"""Converts an ONNX file without mask inputs with pnnx and runs it with ncnn, one video at a time: ncnn knows no batches."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import numpy.typing as npt

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]
TYPES = {"float32": "f32", "uint8": "u8"}


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name. It converts at the first call, which has shapes."""
    nets: list[ncnn.Net] = []

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        if not nets:
            nets.append(convert(path, inputs, threads))
        videos = len(next(iter(inputs.values())))
        rows = [infer(nets[0], [value[video] for value in inputs.values()]) for video in range(videos)]
        return {"output": np.stack(rows)}

    return run, {}


def convert(path: str, inputs: Mapping[str, npt.NDArray[Any]], threads: int) -> ncnn.Net:
    """Convert for any number of frames: pnnx takes what differs between two examples of shapes as dynamic."""
    package = find_spec("pnnx")
    if package is None or package.origin is None:
        raise RuntimeError("pnnx is not installed")
    copied = Path("model.onnx")
    copied.write_bytes(Path(path).read_bytes())  # pnnx writes beside its input
    shapes = [[1, *value.shape[1:]] for value in inputs.values()]
    longer = [[1, shape[1] + 2, *shape[2:]] if len(shape) == 3 else shape for shape in shapes]
    words = []
    for name, sides in (("inputshape", shapes), ("inputshape2", longer)):
        described = (f"{side}{TYPES[str(value.dtype)]}" for side, value in zip(sides, inputs.values(), strict=True))
        words.append(f"{name}={','.join(described)}".replace(" ", ""))
    program = Path(package.origin).with_name("pnnx")
    if shapes == longer:
        words = words[:1]
    command = [str(program), str(copied), *words, "fp16=0"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    parameters = Path("model.ncnn.param")
    if made.returncode or not parameters.is_file():
        raise RuntimeError("pnnx: " + " ".join((made.stdout + made.stderr).split()[-60:]))
    # The cast of bytes to float32 is no layer of ncnn, whose inputs are float32 anyway.
    parameters.write_text(parameters.read_text().replace("Tensor.to ", "Noop "))
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    if net.load_param(str(parameters)) or net.load_model("model.ncnn.bin"):
        raise RuntimeError("ncnn can't load it: " + made.stderr[-400:])
    return net


def infer(net: ncnn.Net, values: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Run one video."""
    with net.create_extractor() as extractor:
        for place, value in enumerate(values):
            extractor.input(f"in{place}", ncnn.Mat(np.ascontiguousarray(value, np.float32)).clone())
        code, output = extractor.extract("out0")
        if code:
            raise RuntimeError(f"ncnn stopped with code {code}")
        return np.array(output)
