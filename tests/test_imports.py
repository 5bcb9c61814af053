"""The rule of imports: chapters stand on one another in one order, and nothing imports in a circle.

Every import counts: at the top of a file, inside a function, and under TYPE_CHECKING. There is no list of exceptions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHAPTERS = [
    {"foundation"},
    {"model"},
    {"backend"},
    {"reference", "data"},
    {"zoo", "evaluation"},
    {"training", "exchange"},
    {"parity", "studies"},
    {"api"},
    {"cli"},
    {"__main__"},
]
"""From the ground up. A file imports from its own chapter or from lower ones; chapters of one line do not import each other."""
FOUNDATION = [
    {"errors", "arrays", "version", "installation"},
    {"randomness", "settings", "progress"},
    {"files"},
    {"processes"},
]
"""The same inside the foundation, from the ground up."""
COMMANDS = {"api", "foundation", "cli"}
"""Chapters that the command line may import."""
ADAPTERS = {"foundation", "model", "backend"}
"""Chapters of acz that an adapter may import."""
STANDALONE = [
    "acz/exchange/artefacts/server.py",
    "acz/exchange/artefacts/onnx/runtime.py",
    "acz/exchange/artefacts/onnx/evaluator.py",
    *(f"backends/acz_{name}/runtime.py" for name in ("torch", "tensorflow", "paddle", "mindspore")),
    "backends/acz_tensorflow/litert.py",
]
"""Files that run in a process without acz."""
LOADERS = {"acz/__init__.py", "acz/backend/registry.py", "acz/backend/worker.py"}
"""Files that import by a name: the public names, entry points, and functions of jobs."""

LONGEST = 360
"""Lines of a file: about 300. The validation of a model stays in one file."""
FILES = sorted((ROOT / "acz").rglob("*.py"))
ADAPTER_FILES = sorted((ROOT / "backends").rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name of a file: acz/model/spec.py is acz.model.spec, acz/model/__init__.py is acz.model."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, each with whether the import stands inside a function."""

    def visit(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            within = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: imports are absolute"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield (full if full in MODULES else str(child.module)), inside
            yield from visit(child, within)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


def chapter_of(module: str) -> str:
    """The chapter of a module: the second part of its name."""
    return module.split(".")[1] if "." in module else ""


def level(name: str, order: list[set[str]]) -> int:
    """The place of a name in an order."""
    return next(place for place, names in enumerate(order) if name in names)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_from_its_own_chapter_and_from_lower_ones(path: Path) -> None:
    own = chapter_of(module_of(path))
    for module, _ in imported(path):
        if module.partition(".")[0] != "acz" or path == ROOT / "acz/__init__.py":
            continue
        assert module != "acz", f"{path.relative_to(ROOT)} imports acz itself"
        other = chapter_of(module)
        if other != own:
            assert level(other, CHAPTERS) < level(own, CHAPTERS), f"{path.relative_to(ROOT)} imports {module}"
        elif own == "foundation":
            mine, theirs = module_of(path).split(".")[2:3], module.split(".")[2:3]
            if mine and mine != theirs:
                assert level(theirs[0], FOUNDATION) < level(mine[0], FOUNDATION), f"{path.relative_to(ROOT)}: {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "acz/cli").rglob("*.py")), ids=module_of)
def test_commands_import_the_api_inside_their_functions_and_nothing_below_it(path: Path) -> None:
    for module, inside in imported(path):
        if module.startswith("acz."):
            assert chapter_of(module) in COMMANDS, f"{path.relative_to(ROOT)} imports {module}"
            if chapter_of(module) == "api":
                assert inside, f"{path.relative_to(ROOT)} imports {module} before it is needed"


@pytest.mark.parametrize("path", ADAPTER_FILES, ids=module_of)
def test_adapters_import_the_seam_and_what_is_below_it(path: Path) -> None:
    for module, _ in imported(path):
        if module.partition(".")[0] == "acz":
            assert chapter_of(module) in ADAPTERS, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("name", STANDALONE)
def test_what_runs_without_acz_imports_nothing_of_it(name: str) -> None:
    for module, _ in imported(ROOT / name):
        assert not module.startswith("acz"), f"{name} imports {module}"


def test_modules_are_loaded_by_name_only_for_entry_points_and_jobs() -> None:
    for path in [*FILES, *ADAPTER_FILES]:
        text = path.read_text(encoding="utf-8")
        if "import_module(" in text or "__import__(" in text:
            assert path.relative_to(ROOT).as_posix() in LOADERS, path


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Names on a circle of a graph, or none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, set())):
            if way_round := walk(other, [*way, name]):
                return way_round
        done.add(name)
        return []

    for name in sorted(edges):
        if way_round := walk(name, []):
            return way_round
    return []


def test_no_two_files_import_each_other_in_a_circle() -> None:
    edges = {
        module: {name for name, _ in imported(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    assert not circle(edges)


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in FILES}), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_two_entries_of_a_folder_import_each_other_in_a_circle(folder: Path) -> None:
    """Sub-folders and files of one folder, each taken as a whole."""
    prefix = module_of(folder)
    edges: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if not module.startswith(f"{prefix}."):
            continue
        own = module.removeprefix(f"{prefix}.").partition(".")[0]
        for name, _ in imported(path):
            if name.startswith(f"{prefix}."):
                other = name.removeprefix(f"{prefix}.").partition(".")[0]
                if other != own:
                    edges.setdefault(own, set()).add(other)
    assert not circle(edges), prefix


def test_a_folder_has_at_most_fifteen_entries_and_a_file_is_short() -> None:
    for folder in {path.parent for path in FILES}:
        entries = [entry for entry in folder.iterdir() if entry.name not in ("__pycache__", "py.typed")]
        assert len(entries) <= 15, folder
    for path in FILES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST or path == ROOT / "acz/model/spec.py", f"{path} has {lines} lines"


def test_the_rule_is_tested_to_fail() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []
    assert level("files", FOUNDATION) > level("settings", FOUNDATION)


def test_the_page_on_the_layout_gives_this_order() -> None:
    text = (ROOT / "docs/layout.md").read_text(encoding="utf-8").partition("## The rule of imports")[2]
    rows = re.findall(r"^\d+\. (`.*)$", text, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == CHAPTERS
