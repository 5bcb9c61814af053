"""YAML of configurations, read with limits and without tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from acz.foundation.errors import SpecError

LONGEST, MOST_VALUES = 2**17, 2**15
"""Characters of a file, and values in it."""


TEXTS, NUMBERS = (":timestamp", ":value"), (":int", ":float")
"""Ends of YAML's own names for the kinds of plain words."""


class ConfigLoader(yaml.SafeLoader):
    """The YAML of a configuration: mappings, lists, texts, numbers, truth values and null, in a bounded number.

    It refuses a key given twice, so that nothing is dropped silently. It refuses tags, which would ask for other kinds
    of values, and aliases that stand for themselves or for more than MOST_VALUES values. Dates, and numbers to the base
    60 (`1:30`), are texts.
    """

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return self.DEFAULT_SCALAR_TAG if tag.endswith(TEXTS) or (tag.endswith(NUMBERS) and ":" in str(value)) else tag

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            self._count(node, {})
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError(f"the tag {event.tag} is not taken, line {event.start_mark.line + 1}")
        return super().compose_node(parent, index)

    def _count(self, node: yaml.Node, counted: dict[yaml.Node, int]) -> int:
        """The number of values that a node stands for; values behind an alias count each time. Raises YAMLError."""
        if node in counted:
            if not counted[node]:
                raise yaml.YAMLError(f"a value holds itself, line {node.start_mark.line + 1}")
            return counted[node]
        counted[node] = 0  # while it is being counted
        total = 1
        if isinstance(node, yaml.CollectionNode):
            for inner in node.value:
                total += sum(self._count(part, counted) for part in (inner if isinstance(inner, tuple) else (inner,)))
        if total > MOST_VALUES:
            raise yaml.YAMLError(f"it stands for more than {MOST_VALUES:,} values")
        counted[node] = total
        return total

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f"the key '{key.value}' is given twice in one mapping, line {line}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of one mapping, with the limits of a configuration. Raises SpecError."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise SpecError(f"{path}: longer than {LONGEST:,} characters, which no configuration is")
        tree = yaml.load(text, ConfigLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise SpecError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from None
    if not isinstance(tree, dict):
        raise SpecError(f"{path}: must be a mapping, got {type(tree).__name__}")
    return tree


def copy_tree(value: Any, depth: int = 0) -> Any:
    """A copy of mappings within mappings; other values are shared. Raises SpecError where they are nested too deep."""
    if depth > 32:
        raise SpecError("the configuration is nested more than 32 deep, or holds itself")
    return {k: copy_tree(v, depth + 1) for k, v in value.items()} if isinstance(value, Mapping) else value


def parse_value(text: str, place: str) -> Any:
    """One YAML value, read with the limits of a configuration. Raises SpecError that names the place."""
    try:
        return yaml.load(text, ConfigLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise SpecError(f"{place}: '{text}' is not a YAML value: {' '.join(str(error).split())}") from None
