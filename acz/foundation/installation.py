"""The source of this copy of acz, and the command that adds a part of it."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

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
    source, editable = find_source()
    if isinstance(source, Path):
        pins = source / "constraints.txt"
        here = source.samefile(os.curdir)
        words += [f"-c {pins.name if here else _quoted(pins)}"] if pins.is_file() else []
        words += ["-e"] if editable else []
        return " ".join([*words, f'"{"." if here else source}{extra}"'])
    return " ".join([*words, f'"{what} @ {source}"' if source else f'"{what}"'])


def find_source() -> tuple[Path | str | None, bool]:
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
