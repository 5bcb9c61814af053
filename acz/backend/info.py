"""A backend as one described object: what is known of it before its framework is imported."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from acz.backend.processes import Launcher
from acz.foundation.installation import install_command

GROUP = "acz.backends"
"""The group of entry points under which backends are registered."""
NOTHING: Mapping[str, str] = MappingProxyType({})
MASKS = ("bool", "uint8", "none")
"""Every kind of mask inputs; see acz.backend.signature.Form."""


@dataclass(frozen=True)
class ArtefactFormat:
    """A deployment format that a backend writes.

    An artefact is one file whose name ends in `suffix`; without a suffix it is a folder that holds the file `marker`.
    """

    name: str
    """The name for `acz export --format`."""
    suffix: str
    marker: str
    runtime: str
    """The program that its users run it with, in words."""
    script: str
    """The module that runs an artefact in a process without acz: `acz_torch.runtime`. It is found, not imported."""
    function: str = "export"
    """The backend's function that writes it, as `Exports.export` of acz.backend.protocol."""
    weights: tuple[str, ...] = ("float32",)
    """The types of weights that it can hold; see acz.backend.signature.Form."""
    masks: tuple[str, ...] = ("bool",)
    """The kinds of mask inputs that it can have; see acz.backend.signature.Form."""
    needs: str = ""
    """Import name of what runs it, where that is not the framework."""
    needs_install: str = ""
    """The argument of `pip install` that brings it."""
    transforms: bool = True
    """False where the runtime has no Fourier transform, so that circulant products take the explicit matrix."""


@dataclass(frozen=True)
class NativeFormat:
    """A framework's own kind of file for weights."""

    kind: str
    """The name for `acz convert --to`."""
    suffix: str
    """The suffix that its readers ask for; empty where any will do."""
    recognises: Callable[[Path], bool]
    """Tells from the first bytes of a file whether it is of this kind. Imports no framework."""
    opened: str
    """The code with which its users open such a file."""


@dataclass(frozen=True)
class BackendInfo:
    """A backend, registered under the entry-point group `acz.backends`: `torch = "acz_torch:INFO"`.

    The module that holds it imports no framework.
    """

    name: str
    """The name for `--backend`, and of its entry point."""
    module: str
    """The module with the functions of `Backend`: `acz_torch.backend`. Only `find_backend` imports it."""
    framework: str
    """Import name of what must be installed."""
    distributions: tuple[str, ...]
    """Distributions whose versions records carry."""
    install: str
    """The argument of `pip install`: `acz[torch]`, or an outside distribution's name."""
    pythons: tuple[str, ...] = ()
    """The versions of Python for which the framework can be installed, such as `3.12`; empty for all that acz takes."""
    environment: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Environment variables that are set before the import, where they are unset."""
    artefacts: tuple[ArtefactFormat, ...] = ()
    """The deployment formats that it writes; without any, level 5 of parity reports the backend as missing."""
    native: NativeFormat | None = None
    """The framework's own file; without one, `acz convert` neither writes nor reads it."""
    networks: tuple[str, ...] = ()
    """The endings of files of networks that its `open_network` opens, such as `.pt2`."""
    mixed_precision: str = ""
    """The code with which its users compute in fewer bits by the framework's own means; empty if unknown."""
    low_precisions: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """The means by which it computes products in a low precision on the CPU, by the precision's name; others are missing there.

    A backend that names none has none on any device."""
    fft_cost: float | None = None
    """Multiply-adds of a matrix product in the time of one step of a Fourier transform; without one there is no transform."""
    reserved_names: frozenset[str] = frozenset()
    """Names that no stream, input or layer can have: attributes of the framework's modules."""
    reserved_streams: frozenset[str] = frozenset()
    """Names that no stream or input can have, but a layer can: attributes of the backend's own model."""
    exclusive: bool = True
    """True for a framework that must be alone in its process; False for a library that others load too, as NumPy."""
    launcher: Launcher | None = None
    """The start of several processes that train one model; without one the backend trains in one process."""
    order: int = 100
    """Place in lists; the first that is installed is the default backend."""

    @property
    def advice(self) -> str:
        """The command that installs the framework, or the reason why it can't be installed here."""
        python = ".".join(platform.python_version_tuple()[:2])
        if self.pythons and python not in self.pythons:
            return f"it can be installed in Python {' and '.join(self.pythons)} only, and this is Python {python}"
        return f"{install_command(self.install)} brings it"
