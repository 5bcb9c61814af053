"""The files of the zoo: their names, forms and variants."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.foundation.errors import SpecError, nearest
from acz.foundation.files.local import require_local
from acz.foundation.files.yaml import read_yaml

EXPERIMENTS = "experiments"
"""The folder of the zoo with sweeps in place of models."""
FEATURES = "features"
"""The folder of the zoo with extractors of features in place of models."""

CHANGES = ("forms", "variants")
"""Sections of named changes. They may follow a name, as in `:circulant_fc:tiny`, and apply in that order."""


def config_folder() -> Path:
    """Give the folder of the zoo: beside the package in a checkout, inside the package in an installed wheel."""
    packaged = Path(__file__).parents[1] / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def config_names(pattern: str = "*") -> list[str]:
    """List the names in the zoo, each followed by its forms and variants.

    Args:
        pattern: a part of a name, or wildcards. Wildcards match a whole name, with or without its folders.
    """
    names = []
    for name in main_names():
        names += [name, *(f"{name}:{change}" for change in named_changes(read_config_file(_path(name))))]
    wildcards = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [n for n in names if fnmatch.fnmatchcase(n, wildcards) or fnmatch.fnmatchcase(n, f"*/{wildcards}")]


def main_names() -> list[str]:
    """List the names in the zoo without their forms and variants. No file is read."""
    paths = (path.relative_to(config_folder()).with_suffix("") for path in sorted(config_folder().rglob("*.yaml")))
    return [path.as_posix() for path in paths if path.parts[0] not in (EXPERIMENTS, FEATURES)]


def complete_name(beginning: str) -> list[str]:
    """List the names that begin like this. Forms and variants are listed where one model is left."""
    stem, colon, _ = beginning.rpartition(":")
    main = (stem or beginning).partition(":")[0]
    names = [name for name in main_names() if name == main or (not colon and name.startswith(main))]
    if len(names) == 1:
        changes = named_changes(read_config_file(_path(names[0])))
        names += [f"{stem or names[0]}:{change}" for change in changes if change not in stem.split(":")]
    return [name for name in names if name.startswith(beginning)]


def _path(name: str) -> Path:
    """The file of a main name."""
    return config_folder() / f"{name}.yaml"


def named_changes(tree: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Map the name of each form and variant of a file to its changes, {dotted path: value}."""
    return {name: change for section in CHANGES for name, change in (tree.get(section) or {}).items()}


def find_file(name: str) -> tuple[Path, list[str]]:
    """Find the file of a name.

    Args:
        name: a name in the zoo, with `:change` for each form or variant, or the path of a file.

    Returns:
        The file, and the names of the changes.

    Raises:
        SpecError: there is no such file. The message has the nearest name.
    """
    require_local(name)
    base, *changes = name.split(":") if not Path(name).is_file() else [name]
    for candidate in (Path(base), config_folder() / f"{base}.yaml"):
        if candidate.is_file():
            return candidate, changes
    raise SpecError(f"'{base}' is not a model or a file; {nearest(base, config_names())}")


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a configuration file and check its forms and variants. Raises SpecError."""
    tree = read_yaml(path)
    for section in CHANGES:
        changes = tree.get(section) or {}
        if not isinstance(changes, dict) or not all(isinstance(change, dict) for change in changes.values()):
            raise SpecError(f"{path}: '{section}' must map names to mappings of paths and values")
    both = set(tree.get("forms") or {}) & set(tree.get("variants") or {})
    if both:
        raise SpecError(f"{path}: '{both.pop()}' is both a form and a variant")
    return tree
