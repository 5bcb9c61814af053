"""Environments of clients: one of pip or npm for each set of requirements, under the build folder."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.catalog import Client

ROOT = Path(__file__).parents[2]
CONSTRAINTS = [ROOT / "constraints.txt", ROOT / "constraints-clients.txt"]
VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


class InstallationFailed(Exception):
    """A client can't be installed here."""


@dataclass(frozen=True)
class Environment:
    """The place of a client."""

    python: Path
    folder: Path
    """The folder that holds `node_modules`, for a client of npm."""
    version: str


def prepare(client: Client, build: Path) -> Environment:
    """Install a client, unless it is installed already.

    Args:
        client: the client.
        build: the folder of all environments.

    Raises:
        InstallationFailed: pip or npm failed.
    """
    if client.npm:
        folder = build / client.npm.replace("/", "-")
        package = folder / "node_modules" / client.package / "package.json"
        if not package.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _run(["npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", folder, client.npm])
        return Environment(Path(sys.executable), folder, json.loads(package.read_text(encoding="utf-8"))["version"])
    python, folder = Path(sys.executable), build
    if client.requirements:
        folder = build / "-".join(client.requirements)
        python = folder / "bin/python"
        installed = folder / "installed"  # written last, so that a broken installation is made again
        wanted = "".join(path.read_text(encoding="utf-8") for path in CONSTRAINTS)
        if not installed.is_file() or installed.read_text(encoding="utf-8") != wanted:
            _run([sys.executable, "-m", "venv", folder])
            if client.on_top:
                _show_packages(folder)
            options = "--quiet --no-compile --disable-pip-version-check".split()
            constraints = [word for path in CONSTRAINTS for word in ("--constraint", path)]
            _run([python, "-m", "pip", "install", *options, *constraints, *client.requirements])
            installed.write_text(wanted, encoding="utf-8")
    return Environment(python, folder, _run([python, "-c", VERSION, client.package]).strip())


def _show_packages(folder: Path) -> None:
    """Let an environment see this environment's packages, after its own."""
    (site,) = folder.glob("lib/python*/site-packages")
    shown = sysconfig.get_path("purelib")
    (site / "on_top.pth").write_text(f"import site; site.addsitedir({shown!r})\n", encoding="utf-8")


def _run(words: Sequence[str | Path]) -> str:
    try:
        ended = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InstallationFailed(f"{words[0]} is not installed") from None
    if ended.returncode:
        lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        raise InstallationFailed(" ".join(lines[-3:]) or f"{words[0]} failed")
    return ended.stdout
