"""The source of this copy of acz, and the command that adds a part of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from acz.foundation.errors import MissingError
from acz.foundation.version import __version__

PACKAGE = Path(__file__).parents[1]
"""The folder `acz` with this file."""


def install_command(what: str, options: str = "") -> str:
    """Give the shell command that installs a part of acz, or another distribution, beside this copy of acz.

    A copy from a checkout takes its parts from there, with the pinned versions. `pip install acz[torch]` would look for
    acz in a package index.

    Args:
        what: `acz`, `acz[EXTRA]`, or the name of another distribution.
        options: Options of `pip install`.
    """
    words = ["pip install", *filter(None, [options])]
    if what.partition("[")[0] != "acz":
        return " ".join([*words, f'"{what}"'])
    extra = what.removeprefix("acz")
    source, editable = _source()
    if isinstance(source, Path):
        pins = source / "constraints.txt"
        here = source.samefile(os.curdir)
        words += [f"-c {pins.name if here else _quoted(pins)}"] if pins.is_file() else []
        words += ["-e"] if editable else []
        return " ".join([*words, f'"{"." if here else source}{extra}"'])
    return " ".join([*words, f'"{what} @ {source}"' if source else f'"{what}"'])


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
    source, editable = _source()
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


def _source() -> tuple[Path | str | None, bool]:
    """The checkout, or the address, from which this copy was installed; None for a package index.

    The second value is True where the checkout itself is imported.
    """
    if (PACKAGE.parent / "pyproject.toml").is_file():
        return PACKAGE.parent, True
    try:
        record = distribution("acz").read_text("direct_url.json")
    except PackageNotFoundError:
        return None, False
    if not record:
        return None, False
    address = json.loads(record)
    url = str(address["url"])
    folder = Path(unquote(urlsplit(url).path))
    if "dir_info" in address and (folder / "pyproject.toml").is_file():
        return folder, False
    version = address.get("vcs_info")
    return (f"{version['vcs']}+{url}@{version['commit_id']}" if version else url), False


def _quoted(path: Path) -> str:
    """A path as one word of a shell."""
    return f'"{path}"' if " " in str(path) else str(path)
