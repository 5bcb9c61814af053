"""The walks of docs/walks.md are true: files, functions, and the names that lead from one to the next."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from acz.model.layers import LAYERS
from acz.parity.levels import LEVELS

ROOT = Path(__file__).parent.parent
TABLES = {
    "LAYERS": {layer.__name__ for layer in LAYERS.values()},
    "LEVELS": {type(level).__name__ for level in LEVELS},
}
"""The classes that a table holds: they are reached by its name."""


@dataclass
class Stop:
    file: str
    functions: list[str]
    uses: set[str]


def walks() -> dict[str, list[Stop]]:
    """The stops of each walk, by its title."""
    titled: dict[str, list[Stop]] = {}
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "docs/walks.md").read_text(), re.M | re.S):
        rows = [line.split("|")[2:5] for line in body.splitlines() if re.match(r"\| \d+ \|", line)]
        names = [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]
        titled[title] = [Stop(file, functions, set(uses)) for (file,), functions, uses in names]
    return titled


WALKS = walks()
with_stop = pytest.mark.parametrize("stop", [pytest.param(s, id=s.file) for walk in WALKS.values() for s in walk])


def definition(tree: ast.AST, path: str) -> ast.AST:
    """The function or class of a dotted path: `Split.epoch`."""
    for name in path.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        tree = next(node for node in ast.iter_child_nodes(tree) if isinstance(node, kinds) and node.name == name)
    return tree


def names_used(tree: ast.Module, function: str) -> set[str]:
    """Names and attributes in a function, those that are imported under another name by their own too."""
    aliases = {a.asname: a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names if a.asname}
    used: set[str] = set()
    root = definition(tree, function)
    for node in ast.walk(root):
        if isinstance(node, ast.Name):
            used |= {node.id, aliases.get(node.id, node.id)}
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.FunctionDef) and node is not root:
            used.add(node.name)  # a method of a class that is named as a whole
    return used


@with_stop
def test_the_functions_of_a_stop_use_the_names_that_the_page_gives(stop: Stop) -> None:
    tree = ast.parse((ROOT / stop.file).read_text(encoding="utf-8"))
    used = set().union(*(names_used(tree, function) for function in stop.functions))
    assert stop.uses <= used, f"{stop.file}: {stop.functions} do not use {stop.uses - used}"


@pytest.mark.parametrize("title", WALKS)
def test_every_stop_is_reached_from_one_before_it(title: str) -> None:
    first, *others = WALKS[title]
    reached = set(first.uses)
    for stop in others:
        called = {part for function in stop.functions for part in function.split(".")}
        through = {table for table, names in TABLES.items() if called & names}
        assert (called | through) & reached, f"{stop.file}: nothing before it uses {called}"
        reached |= stop.uses


def test_there_are_two_walks() -> None:
    assert [len(stops) >= 15 for stops in WALKS.values()] == [True, True]
