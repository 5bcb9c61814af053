"""The clients: other programs that run what acz writes, how each is installed, and what it is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
CHECKPOINT = "checkpoint"
"""The format of clients that build acz's native module and hand it to a tool of its framework."""


@dataclass(frozen=True)
class Client:
    """One program beside the reference."""

    name: str
    format: str
    """A format of `acz export`, or CHECKPOINT."""
    program: str
    """A file in `programs`, or a module of acz whose file runs the artefact. It has `load(path, threads)`, as `acz export` uses it."""
    package: str
    """The distribution, of pip or npm, whose version is recorded."""
    requirements: tuple[str, ...] = ()
    """The requirements that pip installs into an environment of its own. Without any it runs in the environment of this process."""
    npm: str = ""
    """The package that npm installs for it."""
    on_top: bool = False
    """True where its environment sees this environment's packages too."""
    option: str = ""
    """A word for the program, as $CLIENT_OPTION."""
    precision: str = "float32"
    """The precision in which it computes, unless the program says another."""
    masks: str = "bool"
    """The type of the artefact's mask inputs; `none` for an artefact without them."""

    @property
    def path(self) -> Path:
        """The program's file."""
        if self.program.endswith(".py"):
            return PROGRAMS / self.program
        module = find_spec(self.program)
        if module is None or module.origin is None:
            raise ModuleNotFoundError(self.program)
        return Path(module.origin)


ONNX_PROGRAMS = "acz.exchange.artefacts.onnx"
WEB = {"program": "onnxruntime_web.py", "package": "onnxruntime-web", "npm": "onnxruntime-web@1.30.0"}
TENSORFLOW = "tensorflow-cpu" if sys.platform == "linux" else "tensorflow"
OPENVINO = {"program": "openvino_model.py", "package": "openvino"}

CLIENTS = [
    Client("onnxruntime", "onnx", f"{ONNX_PROGRAMS}.runtime", "onnxruntime"),
    Client("onnx-evaluator", "onnx", f"{ONNX_PROGRAMS}.evaluator", "onnx"),
    Client("openvino-f32", "onnx", **OPENVINO, requirements=("openvino", "numpy"), option="f32"),
    Client("openvino", "onnx", **OPENVINO, requirements=("openvino", "numpy")),
    Client("onnxruntime-web-chromium", "onnx", **WEB, option="chromium"),
    Client("onnxruntime-web-node", "onnx", **WEB, option="node"),
    Client("litert", "tflite", "acz_tensorflow.litert", "ai-edge-litert"),
    Client("mnn", "onnx", "mnn_model.py", "MNN", ("MNN", "numpy")),
    Client("ncnn", "onnx", "ncnn_model.py", "ncnn", ("ncnn", "pnnx"), on_top=True, masks="none"),  # pnnx wants torch
    Client("tract", "onnx", "tract_model.py", "tract", ("tract", "numpy")),
    Client("torch-export", "pt2", "acz_torch.runtime", "torch"),
    Client("aotinductor", "pt2", "aotinductor.py", "torch"),
    Client("lightning", CHECKPOINT, "lightning_trainer.py", "pytorch-lightning", ("pytorch-lightning",), on_top=True),
    Client("tensorflow-signature", "saved-model", "acz_tensorflow.runtime", TENSORFLOW),
    Client("keras-tfsmlayer", "saved-model", "keras_tfsmlayer.py", "keras"),
    Client("keras-file", CHECKPOINT, "keras_savers.py", "keras", option="keras"),
    Client("keras-weights", CHECKPOINT, "keras_savers.py", "keras", option="weights.h5"),
    Client("paddle-inference", "paddle", "acz_paddle.runtime", "paddlepaddle"),
    Client("paddle-hapi", CHECKPOINT, "paddle_hapi.py", "paddlepaddle"),
    Client("mindspore", "mindir", "acz_mindspore.runtime", "mindspore"),
    Client("mindspore-amp-o2", CHECKPOINT, "mindspore_amp.py", "mindspore", precision="float16"),
]
