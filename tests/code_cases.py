"""Python files read as code, without running them."""

from __future__ import annotations

import ast
from pathlib import Path


def imports(path: Path) -> set[str]:
    """Names of the top-level packages that a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def definitions(path: Path) -> list[str]:
    """Names of the functions and classes of a file, in its order."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
