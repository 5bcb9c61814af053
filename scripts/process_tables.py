"""The tables about several processes in docs/distributed.md and docs/reliability.md, for results.py."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from acz.foundation.files.tables import markdown, read_csv, replace_table


def parity_of_processes(text: str, checks: Path) -> str:
    """The page on several processes: for each backend the models, the checks, and the check nearest to its bound."""
    rows = []
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_csv(checks):
        groups[row["backend"]].append(row)
    for backend, members in groups.items():
        passed = sum(row["passed"] == "True" for row in members)
        cells = [backend, str(len({row["model"] for row in members})), f"{passed} of {len(members)}"]
        for precision in ("float64", "float32"):
            measured = [row for row in members if row["precision"] == precision and float(row["bound"])]
            nearest = max(measured, key=lambda row: float(row["measured"]) / float(row["bound"]))
            cells.append(f"{float(nearest['measured']):.1e} of {float(nearest['bound']):.1e}")
        alike = [float(row["measured"]) for row in members if row["check"].startswith("all ranks alike")]
        rows.append([*cells, f"{max(alike):g}"])
    headers = ["backend", "models", "checks passed", "float64", "float32", "difference of ranks"]
    return replace_table(text, "parity_processes", markdown(headers, rows))


def rank_kills(text: str, kills: Path) -> str:
    """The page on reliability: for each command and fault the number of kills, the slowest end, and the work's progress."""
    groups: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for row in read_csv(kills):
        groups[row["backend"], row["command"], row["fault"]].append(row)
    rows = []
    for (backend, command, fault), members in groups.items():
        places = Counter(row["progress"] for row in members)
        slowest = max(float(row["seconds"]) for row in members)
        progress = ", ".join(f"{place} {count}" for place, count in places.items())
        rows.append([f"`acz {command}`, {backend}", fault, str(len(members)), f"{slowest:.1f} s", progress])
    headers = ["command", "fault", "times", "slowest end", "where it was"]
    return replace_table(text, "rank_kills", markdown(headers, rows))
