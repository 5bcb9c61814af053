"""The tables of benchmarks in docs/benchmarks.md and docs/choosing.md, for results.py."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from acz.foundation.files.tables import markdown, read_csv, replace_table
from acz.zoo.config import load_spec


def benchmarks(text: str, results: Path) -> str:
    """The page of benchmarks: a table for each group of figures and number of threads."""
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in sorted(results.glob("bench*.csv")):
        for row in read_csv(path):
            groups[row["group"]].append(row)
    for name, rows in groups.items():
        headers = ["what", "backend", "setting", "threads", "figure", "against", "ratio", "floor"]
        cells = [
            [
                row["what"],
                row["backend"],
                row["setting"],
                row["threads"],
                f"{row['value']} {row['unit']}",
                row["against"],
                row["ratio"],
                f"{row['floor']} {row['unit']}" if row["floor"] else "",
            ]
            for row in rows
        ]
        used = [i for i in range(len(headers)) if any(line[i] for line in cells)]
        table = markdown([headers[i] for i in used], [[line[i] for i in used] for line in cells])
        text = replace_table(text, name, table)
    return text


def choosing(text: str, zoo: Path) -> str:
    """The page on choosing: each model's parameters, and the time and memory of a training step at each batch."""
    figures: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_csv(zoo):
        model, _, batch = row["setting"].partition(", ")
        value = f"{float(row['value']) / 1024:.1f} GiB" if row["unit"] == "MiB" else f"{float(row['value']):.1f} ms"
        figures[model][f"{batch}: {'memory' if row['unit'] == 'MiB' else 'a video'}"] = value
    rows = []
    for model, cells in figures.items():
        spec = load_spec(model)
        frames = max(entry.frames or 0 for entry in spec.inputs.values())
        rows.append([f"`{model}`", f"{spec.parameter_count / 1e6:.1f} M", str(frames), *cells.values()])
    columns = next(iter(figures.values()))
    return replace_table(text, "choosing", markdown(["model", "parameters", "frames", *columns], rows))
