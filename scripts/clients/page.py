"""The tables of docs/clients.md, from the rows of docs/results/clients.csv."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from acz.foundation.files.tables import markdown, replace_table

PASSED = "passed"


def page(text: str, rows: Sequence[Mapping[str, str]]) -> str:
    """The page with its tables as the rows give them."""
    return replace_table(replace_table(text, "clients", clients(rows)), "client_rows", whole(rows))


def clients(rows: Sequence[Mapping[str, str]]) -> str:
    """A row a client: the models that pass, and the one that comes nearest to its bound."""
    groups: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row["client"]].append(row)
    lines = []
    for name, group in groups.items():
        passed = [row for row in group if row["result"] == PASSED]
        nearest = max(passed, key=lambda row: float(row["difference"]) / float(row["bound"]), default=None)
        cell = "" if nearest is None else f"{_figures(nearest)}, `{nearest['model']}`"
        versions = ", ".join(dict.fromkeys(row["version"] for row in group if row["version"]))
        kinds = ", ".join(dict.fromkeys(row["precision"] for row in group))
        lines.append([f"`{name}`", versions, group[0]["format"], kinds, f"{len(passed)} of {len(group)}", cell])
    headers = ["client", "version", "format", "precision", "models that pass", "nearest to its bound"]
    return markdown(headers, lines)


def whole(rows: Sequence[Mapping[str, str]]) -> str:
    """A row a client and model."""
    lines = []
    for row in rows:
        figures = [row["difference"], row["bound"], row["float32_bound"]]
        result = row["result"].replace("|", "\\|").replace("<", "&lt;")
        lines.append([f"`{row['client']}`", row["version"], f"`{row['model']}`", row["format"], *figures, result])
    headers = ["client", "version", "model", "format", "largest difference", "bound", "float32 bound", "result"]
    return markdown(headers, lines)


def _figures(row: Mapping[str, str]) -> str:
    return f"{row['difference']} of {row['bound']}"
