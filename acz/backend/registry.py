"""The registry of backends: all that are registered, those that are installed, and loading one.

A backend registers a `BackendInfo` under the entry-point group `acz.backends`, from any distribution; the core keeps no table
of frameworks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from acz.backend.info import GROUP, ArtefactFormat, BackendInfo, NativeFormat
from acz.backend.protocol import Backend
from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.installation import install_command
from acz.foundation.processes.environments import LivesElsewhere, ask, interpreter_of, interpreters, variables_there
from acz.foundation.processes.silence import silence_output
from acz.model.spec import Spec

REFERENCE = "numpy"
"""The name of the reference's own backend, which the others are compared with. It is always installed."""


@cache
def _loaded() -> tuple[dict[str, BackendInfo], dict[str, str]]:
    """The described backends, in order, and what is wrong with entry points that can't be loaded."""
    found: list[BackendInfo] = []
    broken: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        try:
            info = point.load()
            if not isinstance(info, BackendInfo) or info.name != point.name:
                raise TypeError(f"{point.value} must be a BackendInfo of the name '{point.name}', got {info!r:.80}")
            found.append(info)
        except Exception as error:  # somebody else's distribution: the other backends work without it
            broken[point.name] = f"{type(error).__name__}: {error}"
    return {info.name: info for info in sorted(found, key=lambda info: (info.order, info.name))}, broken


def infos() -> dict[str, BackendInfo]:
    """Every registered backend by name, the reference and those of other environments included. Imports no framework."""
    known = _loaded()[0] | _described_there()[0]
    return {info.name: info for info in sorted(known.values(), key=lambda info: (info.order, info.name))}


def broken() -> dict[str, str]:
    """Registered backends whose description can't be loaded, with the reason."""
    return _loaded()[1] | _described_there()[1]


def _described_there() -> tuple[dict[str, BackendInfo], dict[str, str]]:
    """Backends that only another environment describes, and what is wrong with those that can't be described."""
    described, problems = {}, {}
    for name, python in interpreters().items():
        if name not in _loaded()[0]:
            try:
                described[name] = _from_there(name, python)
            except MissingError as error:
                problems[name] = str(error)
    return described, problems


def _from_there(name: str, python: str) -> BackendInfo:
    """The description of a backend by its environment. What is code in it is run there."""
    about = dict(ask(name, python)["info"])
    artefacts = []
    for artefact in about.pop("artefacts"):
        values: dict[str, Any] = {
            key: tuple(value) if type(value) is list else value for key, value in artefact.items()
        }
        artefacts.append(ArtefactFormat(**values))
    native = about.pop("native")
    for field in ("distributions", "pythons"):
        about[field] = tuple(about[field])
    for field in ("reserved_names", "reserved_streams"):
        about[field] = frozenset(about[field])
    kind = NativeFormat(**native, recognises=partial(_recognises_there, name, python)) if native else None
    return BackendInfo(**about, artefacts=tuple(artefacts), native=kind)


def _recognises_there(name: str, python: str, path: Path) -> bool:
    code = (
        "import sys, pathlib; from acz.backend.registry import infos; "
        "print(infos()[sys.argv[1]].native.recognises(pathlib.Path(sys.argv[2])))"
    )
    words = [python, "-E", "-c", code, name, str(path.absolute())]
    environment = os.environ | variables_there(name)
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=path.parent)
    return done.stdout.strip().endswith("True")


def describe_here(name: str) -> dict[str, Any]:
    """A backend of this environment for another one, as JSON: `info`, `versions` and `scripts`, or the `problem`."""
    try:
        info = find_info(name)
        scripts = {artefact.script: str(script_of(info, artefact)) for artefact in info.artefacts}
    except (MissingError, SpecError) as error:
        return {"problem": str(error)}
    plain = {
        field: getattr(info, field)
        for field in "name module framework install mixed_precision fft_cost exclusive order".split()
    }
    for field in ("distributions", "pythons", "reserved_names", "reserved_streams"):
        plain[field] = sorted(getattr(info, field))
    native = info.native
    plain["native"] = native and {"kind": native.kind, "suffix": native.suffix, "opened": native.opened}
    plain["artefacts"] = [asdict(artefact) for artefact in info.artefacts]
    return {"info": plain, "versions": versions_of(info), "scripts": scripts}


def versions_of(info: BackendInfo) -> dict[str, str]:
    """The versions of a backend's distributions, where it lives."""
    python = interpreter_of(info.name)
    if python is not None:
        try:
            return dict(ask(info.name, python)["versions"])
        except MissingError:
            return {}
    versions = {}
    for name in info.distributions:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def script_of(info: BackendInfo, artefact: ArtefactFormat) -> Path:
    """The file that runs a backend's artefact. Raises MissingError where it is missing."""
    python = interpreter_of(info.name)
    if python is not None:
        return Path(ask(info.name, python)["scripts"][artefact.script])
    module = find_spec(artefact.script)
    if module is None or module.origin is None:
        raise MissingError(f"backend '{info.name}' has no module {artefact.script}")
    return Path(module.origin)


def require_here(name: str) -> None:
    """Check that a backend lives in this environment, so that this process can load it.

    Raises:
        LivesElsewhere: it lives in another one, where the command line then runs the command.
        MissingError: it can't start there.
    """
    python = interpreter_of(name)
    if python is not None:
        ask(name, python)
        raise LivesElsewhere(name, python)


def native_formats() -> dict[str, tuple[BackendInfo, NativeFormat]]:
    """The backends that have a kind of file of their own, by the name of the kind."""
    return {info.native.kind: (info, info.native) for info in infos().values() if info.native}


def installed() -> list[str]:
    """Names of the backends whose framework is installed, found without importing it; the reference is not among them."""
    return [name for name, info in infos().items() if name != REFERENCE and is_installed(info)]


def is_installed(info: BackendInfo) -> bool:
    """Tell whether a backend's framework can be imported, without importing it. Another environment is trusted to have it."""
    return interpreter_of(info.name) is not None or is_importable(info.framework)


def is_importable(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    return module in sys.modules or find_spec(module) is not None


def find_info(name: str) -> BackendInfo:
    """The description of an installed backend.

    Raises:
        SpecError: the name is unknown.
        MissingError: the backend is broken, its framework is not installed, or its environment can't start it; the message
            says what to type.
    """
    python = interpreter_of(name)
    if python is not None:
        ask(name, python)
    known = infos()
    if name in broken():
        raise MissingError(f"backend '{name}' is registered but can't be loaded: {broken()[name]}")
    if name not in known:
        raise SpecError(f"there is no backend '{name}'; {nearest(name, known)}")
    info = known[name]
    if not is_installed(info):
        here = ", ".join(installed()) or "none"
        raise MissingError(
            f"backend '{name}' needs {info.framework}, which is not installed; {info.advice}. Installed: {here}"
        )
    return info


def find_backend(name: str) -> Backend:
    """Import a backend by name; what its framework prints at import is kept off the terminal.

    Raises:
        SpecError: the name is unknown.
        MissingError: the framework is not installed, can't be loaded, or another framework is in this process.
    """
    require_here(name)
    info = find_info(name)
    frameworks = {other.framework for other in infos().values() if other.exclusive} - {info.framework}
    others = sorted(framework for framework in frameworks if framework in sys.modules)
    if others and info.exclusive:
        raise MissingError(
            f"backend '{name}' can't be loaded beside {', '.join(others)}, which this process has imported: "
            "two frameworks in one process crash; start another process"
        )
    for variable, value in info.environment.items():
        os.environ.setdefault(variable, value)
    try:
        with silence_output():
            backend = cast(Backend, import_module(info.module))
    except (ImportError, OSError) as error:
        raise MissingError(
            f"backend '{name}' is installed but can't be loaded: {type(error).__name__}: {error}; "
            f"{install_command(info.install, '--force-reinstall')} repairs most of these"
        ) from None
    if name != backend.NAME:
        raise MissingError(f"{info.module}.NAME must be '{name}', as its entry point, got '{backend.NAME}'")
    return backend


def check_names(spec: Spec) -> None:
    """Check that every backend can give a spec's streams, inputs and layers their names: a model runs in any of them.

    Raises:
        SpecError: a backend uses one of the names itself.
    """
    streams = {name: f"model.streams.{name}.layers" for name in spec.streams}
    places = [
        ("model.streams", spec.streams, True),
        ("model.inputs", spec.inputs, True),
        ("model.trunk", spec.trunk, False),
    ]
    places += [(place, spec.streams[name].layers, False) for name, place in streams.items()]
    for info in infos().values():
        for place, names, of_streams in places:
            reserved = info.reserved_names | info.reserved_streams if of_streams else info.reserved_names
            for name in names:
                if name in reserved:
                    raise SpecError(
                        f"{place}: the name '{name}' is taken in backend '{info.name}'; take another, such as '{name}_1'"
                    )


def default_backend(name: str | None = None) -> str:
    """The named backend, or else the one whose framework is loaded, or the first installed one.

    Raises:
        MissingError: no backend is installed.
    """
    if name:
        return name
    here = sorted(installed(), key=lambda known: interpreter_of(known) is not None)  # those of this environment first
    loaded = [known for known in here if infos()[known].framework in sys.modules]  # no other fits beside it
    if loaded:
        return loaded[0]
    if not here:
        raise MissingError(f"no framework is installed; {install_command('acz[torch]')} brings the smallest")
    return here[0]
