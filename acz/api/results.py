"""What the functions of the API give: results that print well, show as a table in a notebook, and turn into plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any


class Result(ABC):
    """Base of the results. A subclass is a frozen dataclass."""

    @abstractmethod
    def to_json(self) -> Any:
        """The result as numbers, text, lists and dictionaries: what `--json` prints."""

    @abstractmethod
    def __str__(self) -> str:
        """The result for a reader: what a command prints."""

    def _repr_html_(self) -> str:
        """The result as a table, for notebooks."""
        rows = []
        for name, value in self._shown().items():
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append(f"<tr><th style='text-align:left'>{escape(str(name))}</th><td>{escape(text)}</td></tr>")
        return f"<table><caption>{escape(type(self).__name__)}</caption>{''.join(rows)}</table>"

    def _shown(self) -> Mapping[str, Any]:
        """What the notebook's table shows, by name."""
        plain = self.to_json()
        entries = plain if isinstance(plain, dict) else {str(place): value for place, value in enumerate(plain)}
        return {name: value for name, value in entries.items() if not isinstance(value, list) or len(value) <= 8}
