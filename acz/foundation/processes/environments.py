"""Interpreters of other environments in which backends live, since not all frameworks fit into one.

The variable ACZ_PYTHON_NAME names the interpreter of a backend; so does the file that `configuration()` names, which `acz
backends --add` writes. An empty variable means this interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from acz.foundation.errors import DataError, MissingError
from acz.foundation.installation import find_source, install_command
from acz.foundation.version import __version__

VARIABLE = "ACZ_PYTHON_"
PATIENCE = 120.0
"""Seconds in which another interpreter must say what it has."""
QUESTION = """
import json, sys
expected, name = sys.argv[1:]
try:
    from acz.foundation.version import __version__
except ImportError:
    print(json.dumps({"acz": ""}))
    sys.exit()
about = {"acz": __version__}
if __version__ == expected:
    from acz.backend.registry import describe_here
    about.update(describe_here(name))
print(json.dumps(about))
"""
"""The program that another interpreter runs to describe a backend. It must run under every version of acz."""


class LivesElsewhere(MissingError):
    """A backend is wanted in this process, and lives in another environment. The command line runs the command there."""

    def __init__(self, name: str, python: str) -> None:
        super().__init__(
            f"backend '{name}' lives in another environment; run this program there, with {python}, "
            "or type the command of acz, which does so itself"
        )
        self.name, self.python = name, python


def configuration() -> Path:
    """The file with the interpreters by backend: a JSON object."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(given) if given.startswith("/") else Path(os.path.expanduser("~/.config"))
    return base / "acz" / "backends.json"


def interpreters() -> dict[str, str]:
    """The interpreter of each backend that lives in another environment.

    Raises:
        DataError: the file of the configuration is damaged.
    """
    known = _read()
    for variable, value in os.environ.items():
        if variable.startswith(VARIABLE):
            known[variable.removeprefix(VARIABLE).lower()] = value
    return {name: python for name, python in known.items() if python and not _is_this(python)}


def interpreter_of(name: str) -> str | None:
    """The interpreter of another environment in which a backend lives; None where it lives here."""
    return interpreters().get(name)


def set_interpreter(name: str, python: str | None) -> bool:
    """Write a backend's interpreter into the configuration; None removes it. Returns True where one was there."""
    from acz.foundation.files.atomic import write_text_atomically  # it loads NumPy, which 'acz --help' does not need

    known = _read()
    before = known.pop(name, None)
    if python is not None:
        known[name] = os.path.abspath(python)
    path = configuration()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(known, indent=1) + "\n")
    return before is not None


def ask(name: str, python: str) -> dict[str, Any]:
    """The description of a backend by the interpreter of its environment.

    Raises:
        MissingError: the interpreter is missing, has no acz, another version of it, or not this backend.
    """
    about, problem = _ask(name, python)
    if problem:
        raise MissingError(f"backend '{name}' can't start in {python}: {problem}")
    return about


def variables_there(name: str) -> dict[str, str]:
    """The variables for a process in the environment of a backend, where that is the process's own."""
    return {variable_of(name): ""}


def variable_of(name: str) -> str:
    """The variable that names a backend's interpreter."""
    return VARIABLE + name.upper().replace("-", "_")


def run_there(elsewhere: LivesElsewhere) -> None:
    """Become the same command of acz in the environment of a backend."""
    own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    sys.stdout.flush()
    command = [elsewhere.python, "-P", "-m", "acz", *sys.argv[1:]]
    os.execve(elsewhere.python, command, kept | variables_there(elsewhere.name))


def make_environment(folder: Path, backend: str, extra: str | None) -> Path:
    """Make an environment with this copy of acz and a backend, by venv and pip. What pip prints goes to standard error.

    Args:
        folder: the folder, which must not be there yet.
        backend: the name of the backend.
        extra: the extra of acz that brings the backend. None: it is a distribution of its own, `acz-BACKEND`. A checkout has
            it in `backends_outside/acz_BACKEND`, with its constraints.

    Returns:
        The interpreter.

    Raises:
        MissingError: venv or pip failed.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    source, editable = find_source()
    checkout = source if isinstance(source, Path) else None
    here = "." if checkout is None else str(checkout)
    core = here if checkout else f"acz @ {source}" if source else f"acz=={__version__}"
    pins = checkout / "constraints.txt" if checkout else None
    wanted = [f"{core}[{extra}]" if checkout else core.replace("acz", f"acz[{extra}]", 1)] if extra else [core]
    if extra is None:
        own = checkout / "backends_outside" / f"acz_{backend}" if checkout else None
        wanted.append(str(own) if own and own.is_dir() else f"acz-{backend}")
        pins = own / "constraints.txt" if own else None
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    install += ["-c", str(pins)] if pins and pins.is_file() else []
    for what in wanted:
        install += ["-e", what] if editable and what.startswith(here) else [what]
    for words in ([sys.executable, "-m", "venv", str(folder)], install):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), env=environment, check=False)
        if done.returncode:
            raise MissingError(
                f"the environment {folder} could not be made: {' '.join(words[1:4])} ended with exit code "
                f"{done.returncode}, and says why above; remove the folder and type the command again"
            )
    return python


def _read() -> dict[str, str]:
    path = configuration()
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {error}; repair or remove it") from None
    if not isinstance(known, Mapping) or not all(isinstance(python, str) for python in known.values()):
        raise DataError(f"{path} must map backends to interpreters; repair or remove it")
    return dict(known)


def _is_this(python: str) -> bool:
    """True for this interpreter: an environment's Python is a link, so its folder tells."""
    given = os.path.abspath(python)
    prefix = os.path.realpath(os.path.dirname(os.path.dirname(given)))
    return given == os.path.abspath(sys.executable) or (
        sys.prefix != sys.base_prefix and prefix == os.path.realpath(sys.prefix)
    )


@cache
def _ask(name: str, python: str) -> tuple[dict[str, Any], str]:
    """A description and nothing, or nothing and what is wrong."""
    correct = (
        f"correct the variable {variable_of(name)}"
        if os.environ.get(variable_of(name))
        else f"type acz backends --add {name} --python PATH, or acz backends --remove {name}"
    )
    try:
        done = subprocess.run(
            [python, "-E", "-c", QUESTION, __version__, name],
            cwd=tempfile.gettempdir(),
            env=os.environ | variables_there(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except OSError as error:
        return {}, f"{error.strerror or error}; {correct}"
    except subprocess.TimeoutExpired:
        return {}, f"no answer in {PATIENCE:.0f} seconds; {correct}"
    try:
        about = json.loads(done.stdout.strip().rpartition("\n")[2])
        version = about["acz"]
    except (ValueError, TypeError, KeyError):
        words = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2][:300]
        return {}, f"it does not answer as a Python of 3.11 or later with acz ({words or 'no output'}); {correct}"
    install = f"{python} -m {install_command('acz')}"
    if not version:
        return {}, f"acz is not installed there; type {install}"
    if version != __version__:
        return {}, f"acz is {version} there, and {__version__} here; type {install}"
    return about, str(about.get("problem", "")).replace("pip install", f"{python} -m pip install")
