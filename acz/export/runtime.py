"""Formats of artefacts, and running one in its runtime, in a fresh process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acz.backend.registry import FRAMEWORKS, installed, registered
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, MissingError, SpecError, nearest
from acz.foundation.processes.job_process import JobProcess


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


REFERENCE_EVALUATOR = Path(__file__).with_name("onnx_reference.py")
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
        return Path(__file__).with_name("onnx_runtime.py")
    module = find_spec(registered()[chosen.backend])
    if module is None or module.origin is None:
        raise MissingError(f"backend '{chosen.backend}' is not installed")
    return Path(module.origin).with_name("runtime.py")


class Runtime(JobProcess):
    """Runs artefacts of one format in a process that has loaded their runtime and nothing of acz."""

    def __init__(self, chosen: Format, threads: int = 1, file: Path | None = None) -> None:
        serve = str(Path(__file__).with_name("serve.py"))
        command = [sys.executable, "-I", serve, str(file or script(chosen)), str(threads)]
        super().__init__(f"the process that runs {chosen.name}", command)

    def run(
        self,
        artefact: Path,
        runs: Mapping[str, Mapping[str, Array]],
        timed: Mapping[str, Mapping[str, Array]] | None = None,
        timeout: float = 900.0,
    ) -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
        """Run an artefact on inputs by port's name, for each named run.

        Gives outputs by run; and `metadata` (strings of the artefact), `seconds` (median of each timed run) and `modules` (loaded there).
        Raises JobFailed where the runtime raised, WorkerDied where it died.
        """
        timed = timed or {}
        arrays = {f"{name}/{key}": value for name, one in {**runs, **timed}.items() for key, value in one.items()}
        job = {"artefact": str(artefact.resolve()), "timed": list(timed)}
        about, found = self.exchange(job, arrays, timeout)
        outputs: dict[str, dict[str, Array]] = {name: {} for name in runs}
        for key, value in found.items():
            name, _, output = key.partition("/")
            outputs[name][output] = value
        return outputs, about


def carried_spec(path: Path, metadata: Mapping[str, str]) -> Any:
    """The spec that an artefact carries. Raises DataError where it has none."""
    import json

    from acz.model.spec import Spec

    try:
        spec = Spec.from_dict(json.loads(metadata["acz.spec"]))
    except (KeyError, ValueError, SpecError) as error:
        raise DataError(f"{path} carries no spec of acz ({type(error).__name__}: {error})") from None
    if metadata.get("acz.spec_hash") != spec.hash:
        raise DataError(f"{path}: its spec has the hash {spec.hash}, its metadata say {metadata.get('acz.spec_hash')}")
    return spec
