"""The tables of docs/benchmarks.md, docs/choosing.md and docs/proof.md, for results.py."""

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


def videos(text: str, speeds: Path) -> str:
    """The page on videos: the speed of features, beside that of its parts alone."""
    headers = ["what", "frames a second", "of the slower part", "frames a second of processor time", "of both parts"]
    rows = [
        [
            row["what"],
            row["frames_per_second"],
            row["ratio_to_slower_part"],
            row["frames_per_processor_second"],
            row["processor_ratio_to_both_parts"],
        ]
        for row in read_csv(speeds)
    ]
    return replace_table(text, "speed", markdown(headers, rows))


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


def proofs(text: str, results: Path) -> str:
    """The page of proofs: for each level and precision the check of each backend that is nearest to its bound."""
    cells: dict[tuple[str, str], dict[str, tuple[float, str]]] = defaultdict(dict)
    backends = []
    for row in read_csv(results):
        backends.append(row["backend"])
        own = cells[f"{row['level']} {row['check_level']}", row["precision"]]
        if row["passed"] == "missing":
            own.setdefault(row["backend"], (-1.0, "missing"))
            continue
        assert row["passed"] == "True", f"{row['backend']} {row['check']}: a figure of a failed check"
        share = float(row["measured"]) / float(row["bound"])
        shown = (share, f"{float(row['measured']):.1e} of {float(row['bound']):.1e}")
        own[row["backend"]] = max(own.get(row["backend"], (-2.0, "")), shown)
    names = list(dict.fromkeys(backends))
    rows = [[*key, *(own.get(name, (0.0, ""))[1] for name in names)] for key, own in cells.items()]
    return replace_table(text, "proof", markdown(["level", "precision", *names], rows))
