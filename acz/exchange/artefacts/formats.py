"""Formats of artefacts: one maker for each that a backend describes, and one for ONNX, which the core writes."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from acz.backend.info import ArtefactFormat, BackendInfo
from acz.backend.registry import find_info, infos, is_importable, is_installed, script_of
from acz.backend.signature import PLAIN, Form, Masks
from acz.exchange.artefacts.jobs import ArtefactArguments
from acz.exchange.artefacts.narrowing import narrow, restored
from acz.exchange.artefacts.onnx.writer import write_onnx
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.installation import install_command
from acz.foundation.processes.environments import interpreter_of
from acz.model.checkpoint import Checkpoint

ONNX = "onnx"
"""The name of the ONNX format, and of its participant in parity."""
WriteInBackend = Callable[[ArtefactArguments], dict[str, str]]
"""Runs the job `write_artefact` in the maker's backend and returns the versions of the framework."""


@dataclass(frozen=True)
class Maker(ABC):
    """A format, and the way to make it and run it."""

    name: str
    """The name for `acz export --format`."""
    participant: str
    """The participant of parity that makes it: a backend, or `onnx`."""
    suffix: str
    """The suffix of a file; empty for a folder that holds the file `marker`."""
    marker: str
    runtime: str
    """The program that its users run it with."""
    fft_cost: float | None
    """As in BackendInfo: it decides how circulant products are written."""
    weights: tuple[str, ...]
    """The types of weights that it can hold, as in Form."""
    masks: tuple[str, ...]
    """The kinds of mask inputs that it can have, as in Form."""

    def recognises(self, path: Path) -> bool:
        """Tell from a name, or from what a folder holds, whether a path is an artefact of this format."""
        if self.marker:
            return (path / self.marker).is_file()
        return path.suffix == self.suffix and path.is_file()

    def require_form(self, form: Form) -> None:
        """Raise SpecError, with what to type, where the format has not this form."""
        for option, word, own in (("weights", form.weights, self.weights), ("masks", form.masks, self.masks)):
            if word not in own:
                others = [maker.name for maker in formats().values() if word in getattr(maker, option)]
                raise SpecError(
                    f"the format '{self.name}' has no {option} '{word}', only {', '.join(own)}; "
                    f"with {word}: {', '.join(others) or 'no format'}"
                )

    @property
    def python(self) -> str:
        """The interpreter that runs the scripts."""
        return sys.executable

    @abstractmethod
    def require_installed(self) -> None:
        """Raise MissingError, with what to type, where what makes and runs the format is not installed."""

    @abstractmethod
    def write(
        self, checkpoint: Checkpoint, source: Path, out: Path, write_in_backend: WriteInBackend, form: Form = PLAIN
    ) -> dict[str, str]:
        """Write a checkpoint, which lies at `source`, as the artefact `out`; returns the versions of the writer."""

    def held(self, checkpoint: Checkpoint, form: Form) -> Mapping[str, Array] | None:
        """The weights that a runtime of the artefact computes with; None where its own converter rounds them."""
        return checkpoint.parameters if form.weights == PLAIN.weights else None

    @abstractmethod
    def scripts(self) -> dict[str, Path]:
        """The files that run an artefact, each importing its runtime and NumPy alone; by a suffix for a check's name."""


@dataclass(frozen=True)
class BackendMaker(Maker):
    """A format of a backend, which makes it."""

    info: BackendInfo
    artefact: ArtefactFormat

    @property
    def python(self) -> str:
        return interpreter_of(self.info.name) or sys.executable

    def require_installed(self) -> None:
        if interpreter_of(self.info.name) is not None:
            find_info(self.info.name)  # raises where its environment can't start it
            return
        if not is_installed(self.info):
            raise MissingError(
                f"the format '{self.name}' is made by {self.info.framework}, which is not installed; {self.info.advice}"
            )
        if self.artefact.needs and not is_importable(self.artefact.needs):
            raise MissingError(
                f"the format '{self.name}' is run by {self.artefact.needs}, which is not installed; "
                f"{install_command(self.artefact.needs_install)} brings it"
            )

    def write(
        self, checkpoint: Checkpoint, source: Path, out: Path, write_in_backend: WriteInBackend, form: Form = PLAIN
    ) -> dict[str, str]:
        return write_in_backend(ArtefactArguments(source.resolve(), out.resolve(), self.artefact.function, form))

    def scripts(self) -> dict[str, Path]:
        return {"": script_of(self.info, self.artefact)}


def backend_maker(info: BackendInfo, artefact: ArtefactFormat) -> BackendMaker:
    """The maker of a format that a backend describes."""
    fft_cost = info.fft_cost if artefact.transforms else None
    named = artefact.name, info.name, artefact.suffix, artefact.marker, artefact.runtime
    return BackendMaker(*named, fft_cost, artefact.weights, artefact.masks, info, artefact)


@dataclass(frozen=True)
class OnnxMaker(Maker):
    """The ONNX file, which the core writes from the spec. It runs in ONNX Runtime and in onnx's own reference evaluator."""

    def require_installed(self) -> None:
        if not all(find_spec(module) for module in ("onnx", "onnxruntime")):
            raise MissingError(
                f"the format '{self.name}' needs onnx and onnxruntime; {install_command('acz[export]')} brings them"
            )

    def write(
        self, checkpoint: Checkpoint, source: Path, out: Path, write_in_backend: WriteInBackend, form: Form = PLAIN
    ) -> dict[str, str]:
        import onnx

        write_onnx(checkpoint.spec, checkpoint.parameters, out, form=form)
        return {"onnx": onnx.__version__}

    def held(self, checkpoint: Checkpoint, form: Form) -> Mapping[str, Array]:
        return restored(checkpoint.parameters, narrow(checkpoint.spec, checkpoint.parameters, form.weights))

    def scripts(self) -> dict[str, Path]:
        folder = Path(__file__).parent / "onnx"
        return {"": folder / "runtime.py", ", reference evaluator": folder / "evaluator.py"}


def formats() -> dict[str, Maker]:
    """Every format by name."""
    makers: list[Maker] = [
        OnnxMaker(ONNX, ONNX, ".onnx", "", "onnxruntime", None, ("float32", "float16", "uint8"), get_args(Masks))
    ]
    makers += [backend_maker(info, artefact) for info in infos().values() for artefact in info.artefacts]
    return {maker.name: maker for maker in sorted(makers, key=lambda maker: maker.name)}


def find_format(name: str) -> Maker:
    """The maker of a format, ready to make and run it.

    Raises:
        SpecError: the name is unknown.
        MissingError: what makes or runs it is not installed.
    """
    makers = formats()
    if name not in makers:
        raise SpecError(f"there is no export format '{name}'; {nearest(name, makers)}")
    makers[name].require_installed()
    return makers[name]


def format_of(path: Path) -> Maker | None:
    """The maker of an artefact's format; None where the path is not an artefact."""
    return next((maker for maker in formats().values() if maker.recognises(path)), None)
