"""The formats of artefacts, and which format a file has."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from acz.backend.registry import find_info, infos, installed
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


def formats() -> dict[str, Format]:
    """Every format by name: ONNX, and one for each backend that describes an artefact."""
    made = [
        Format(info.artefact.name, info.name, info.artefact.suffix, info.artefact.marker, info.artefact.runtime)
        for info in infos().values()
        if info.artefact
    ]
    every = [*made, Format("onnx", None, ".onnx", "", "onnxruntime")]
    return {one.name: one for one in sorted(every, key=lambda one: one.name)}


REFERENCE_EVALUATOR = Path(__file__).parent / "onnx" / "evaluator.py"
"""Runs ONNX files by onnx's own definition of each operator: slow, and independent of onnxruntime."""


def find_format(name: str) -> Format:
    """The format of a name, ready to be made and run.

    Raises:
        SpecError: the name is unknown.
        MissingError: what makes or runs it is not installed.
    """
    known = formats()
    if name not in known:
        raise SpecError(f"there is no export format '{name}'; {nearest(name, known)}")
    require_installed(known[name])
    return known[name]


def require_installed(chosen: Format) -> None:
    """Raise MissingError, with what to type, where what makes and runs a format is not installed."""
    if chosen.backend and chosen.backend not in installed():
        info = infos()[chosen.backend]
        raise MissingError(
            f"the format '{chosen.name}' is made by {info.framework}, which is not installed; "
            f'pip install "{info.install}" brings it'
        )
    if not chosen.backend and not all(find_spec(module) for module in ("onnx", "onnxruntime")):
        raise MissingError(
            f"the format '{chosen.name}' needs onnx and onnxruntime; pip install \"acz[export]\" brings them"
        )


def format_of(path: Path) -> Format | None:
    """The format of an artefact by its name or what its folder holds; none where it is no artefact."""
    for one in formats().values():
        if (path / one.marker).is_file() if one.marker else (path.suffix == one.suffix and path.is_file()):
            return one
    return None


def script(chosen: Format) -> Path:
    """The file that runs artefacts of a format; it imports the runtime and NumPy alone."""
    if chosen.backend is None:
        return Path(__file__).parent / "onnx" / "runtime.py"
    artefact = find_info(chosen.backend).artefact
    module = find_spec(artefact.script) if artefact else None
    if module is None or module.origin is None:
        raise MissingError(f"backend '{chosen.backend}' has no module that runs its artefacts")
    return Path(module.origin)
