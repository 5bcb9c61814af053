"""The zoo's files: their names, forms and variants."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.foundation.errors import SpecError, nearest
from acz.foundation.files.yaml import read_yaml

EXPERIMENTS = "experiments"
"""The folder of the zoo that holds sweeps, and no models."""


CHANGES = ("forms", "variants")
"""Sections of named changes; a name may be followed by some of them, `:circulant_fc:tiny`, applied in that order."""


def config_folder() -> Path:
    """The zoo's folder: beside the package in a checkout, inside it in an installed wheel."""
    packaged = Path(__file__).parents[1] / "configs"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"


def config_names(pattern: str = "*") -> list[str]:
    """Names in the zoo, each followed by its forms and variants; `pattern` is a part of a name, or wildcards for one from any of its folders on."""
    names = []
    for path in sorted(config_folder().rglob("*.yaml")):
        name = path.relative_to(config_folder()).with_suffix("").as_posix()
        if name.startswith(f"{EXPERIMENTS}/"):
            continue
        names += [name, *(f"{name}:{change}" for change in named_changes(read_config_file(path)))]
    wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [name for name in names if fnmatch.fnmatchcase(name, wanted) or fnmatch.fnmatchcase(name, f"*/{wanted}")]


def named_changes(tree: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The forms and the variants of a file, each a mapping of dotted paths to values, by name."""
    return {name: change for section in CHANGES for name, change in (tree.get(section) or {}).items()}


def find_file(name: str) -> tuple[Path, list[str]]:
    """The file of a name and the changes asked for after it, or SpecError with the nearest name."""
    base, *chosen = name.split(":") if not Path(name).is_file() else [name]
    for candidate in (Path(base), config_folder() / f"{base}.yaml"):
        if candidate.is_file():
            return candidate, chosen
    raise SpecError(f"there is no model or file '{base}'; {nearest(base, config_names())}")


def read_config_file(path: Path) -> dict[str, Any]:
    tree = read_yaml(path)
    for section in CHANGES:
        changes = tree.get(section) or {}
        if not isinstance(changes, dict) or not all(isinstance(change, dict) for change in changes.values()):
            raise SpecError(f"{path}: '{section}' must map names to mappings of paths and values")
    both = set(tree.get("forms") or {}) & set(tree.get("variants") or {})
    if both:
        raise SpecError(f"{path}: '{both.pop()}' is both a form and a variant")
    return tree
