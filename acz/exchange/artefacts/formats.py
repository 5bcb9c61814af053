"""The formats of artefacts, and which format a file has."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from acz.backend.registry import FRAMEWORKS, installed, registered
from acz.foundation.errors import MissingError, SpecError, nearest


@dataclass(frozen=True)
class Format:
    """A deployment format. `backend` makes and runs it; ONNX is written by the core. `suffix` none: a folder with the file `marker`."""

    name: str
    backend: str | None
    suffix: str
    marker: str
    runtime: str
    """What its users run it with."""


FORMATS = {
    one.name: one
    for one in (
        Format("mindir", "mindspore", ".mindir", "", "mindspore.load and nn.GraphCell"),
        Format("onnx", None, ".onnx", "", "onnxruntime"),
        Format("saved-model", "tensorflow", "", "saved_model.pb", "tf.saved_model.load"),
        Format("paddle", "paddle", "", "model.pdiparams", "paddle.inference"),
        Format("pt2", "torch", ".pt2", "", "torch.export.load"),
    )
}


REFERENCE_EVALUATOR = Path(__file__).parent / "onnx" / "evaluator.py"
"""Runs ONNX files by onnx's own definition of each operator: slow, and independent of onnxruntime."""


def find_format(name: str) -> Format:
    """Raises SpecError for a name that is none, MissingError where what makes it is not installed."""
    if name not in FORMATS:
        raise SpecError(f"there is no export format '{name}'; {nearest(name, FORMATS)}")
    found = FORMATS[name]
    if found.backend and found.backend not in installed():
        raise MissingError(
            f"the format '{name}' is made by {FRAMEWORKS[found.backend]}, which is not installed; "
            f'pip install "acz[{found.backend}]" brings it'
        )
    if not found.backend and not all(find_spec(module) for module in ("onnx", "onnxruntime")):
        raise MissingError(f"the format '{name}' needs onnx and onnxruntime; pip install \"acz[export]\" brings them")
    return found


def format_of(path: Path) -> Format | None:
    """The format of an artefact by its name or what its folder holds; none where it is no artefact."""
    for one in FORMATS.values():
        if (path / one.marker).is_file() if one.marker else (path.suffix == one.suffix and path.is_file()):
            return one
    return None


def script(chosen: Format) -> Path:
    """The file that runs artefacts of a format; it imports the runtime and NumPy alone."""
    if chosen.backend is None:
        return Path(__file__).parent / "onnx" / "runtime.py"
    module = find_spec(registered()[chosen.backend])
    if module is None or module.origin is None:
        raise MissingError(f"backend '{chosen.backend}' is not installed")
    return Path(module.origin).with_name("runtime.py")
