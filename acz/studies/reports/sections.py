"""The sections of a report that need the run folders alone."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from acz.evaluation.metrics.figures import DECIDING, FIGURES, HITS, SEVERAL_LABELS, deciding
from acz.foundation.errors import DataError
from acz.foundation.files.tables import read_csv
from acz.model.checkpoint import load_checkpoint
from acz.model.proof import HEADERS, read_proof
from acz.studies.reports.curves import Curve, chart, number
from acz.studies.reports.page import figure, folded, note, table
from acz.studies.reports.run_comparison import ReportedRun, largest_differences, settings_that_differ

NAMES = {name: f"test {figure.label}" for name, figure in FIGURES.items()} | {
    f"train_{name}": f"training {FIGURES[name].label}" for name in ("loss", "top1")
}
"""The figures of an epoch in words, by key."""


def key(runs: Sequence[ReportedRun]) -> str:
    """Write the key of the charts: the colour of each run."""
    line = '<svg aria-hidden="true" viewBox="0 0 32 12"><line class="run{}" stroke-width="5" x1="0" x2="32" y1="6" y2="6"/></svg>'
    entries = (
        f"<li>{line.format(run.number % 8)}{escape(run.label)} ({escape(str(run.run['backend']))})</li>" for run in runs
    )
    return f'<ul class="key">{"".join(entries)}</ul>'


def overview(runs: Sequence[ReportedRun]) -> str:
    """Write a table with a row for each run: backend, device, figures and speed."""
    several_models = len({run.run["name"] for run in runs}) > 1
    figures = _figures_of(runs)
    decides = [name for name in DECIDING if name in figures]
    rows = []
    for run in runs:
        best, last = run.best, run.epochs[-1] if run.epochs else {}
        speeds = sorted(line["videos_per_second"] for line in run.lines if "videos_per_second" in line)
        rows.append(
            [
                run.label,
                *([str(run.run["name"])] if several_models else []),
                ", ".join(dict.fromkeys([run.run["backend"], *(line["backend"] for line in run.epochs)])),
                str(run.run["device"]),
                f"{len(run.epochs)} of {run.config.recipe.epochs}",
                *(_figure(best, name, True) for name in decides),
                str(best.get("epoch", "")),
                *(_figure(last, name, FIGURES[name].percent) for name in figures),
                f"{speeds[len(speeds) // 2]:,.0f}" if speeds else "",
            ]
        )
    headers = ["run", *(["model"] if several_models else []), "framework", "device", "epochs"]
    headers += [*(NAMES[name].replace("test", "best") for name in decides), "at epoch"]
    headers += [*(NAMES[name].replace("test", "last") for name in figures), "videos/s"]
    return table(
        "Figures on the split that evaluates (of YouTube-8M's shards: validate); videos/s is the median over the training",
        headers,
        rows,
        (1, 2, 2 + several_models),
    )


def _figures_of(runs: Sequence[ReportedRun]) -> list[str]:
    """The names of the figures to show, the deciding one first.

    Top-1 of several labels is Hit@1, so top-1 is left out where all runs have Hit@1.
    """
    several_labels = [run.several_labels for run in runs]
    names = {"top5", "loss"} | set(SEVERAL_LABELS if any(several_labels) else ())
    names |= set() if all(several_labels) else {"top1"}
    names |= {"map_at_k"} if any("map_at_k" in line for run in runs for line in run.epochs) else set()
    decides = deciding(names).name
    return sorted(names & set(FIGURES), key=lambda name: (name != decides, list(FIGURES).index(name)))


def _figure(line: dict[str, Any], name: str, percent: bool) -> str:
    return number(line[name], percent) if name in line else ""


def curves(runs: Sequence[ReportedRun], groups: Sequence[Sequence[ReportedRun]]) -> str:
    """Write charts of the figures of all runs, and the differences between runs of one experiment.

    Args:
        runs: All runs.
        groups: The runs of each experiment.
    """
    parts = [key(runs)]
    if len(runs) > 1:
        parts.append(note("Each curve is thinner than the one under it. Stripes show where curves coincide."))
    charts = []
    for name in ("loss", *(name for name in _figures_of(runs) if name not in ("loss", "top5")), "train_loss", "top5"):
        lines = [_curve(run, run.epochs, name, "epoch") for run in runs]
        charts.append(figure(chart(NAMES[name], "epoch", lines, not name.endswith("loss")), NAMES[name]))
    lines = [_curve(run, run.of_kind("train"), "loss", "step") for run in runs]
    charts.append(
        figure(chart("training loss by step", "step", lines), "training loss by step, the mean over the epoch so far")
    )
    lines = [_curve(run, run.of_kind("train"), "top1", "step") for run in runs]
    title = f"training {HITS['top1'] if all(run.several_labels for run in runs) else 'top-1'} by step"
    charts.append(figure(chart(title, "step", lines, True), f"{title}, the mean over the epoch so far"))
    parts.append(f'<div class="charts">{"".join(charts)}</div>')
    parts += [differences(group) for group in groups if len(group) > 1]
    if len(runs) > 1 and all(len(group) == 1 for group in groups):
        parts.append(note("The runs differ in model, recipe or data set, so they are not compared in numbers."))
    parts.append(folded("The numbers of each epoch", _numbers(runs)))
    return "\n".join(parts)


def _curve(run: ReportedRun, lines: Sequence[dict[str, Any]], name: str, x: str) -> Curve:
    points = [line for line in lines if name in line and x in line]
    return Curve(run.label, run.number, [line[x] for line in points], [line[name] for line in points])


def differences(runs: Sequence[ReportedRun]) -> str:
    """Write the differences between runs of one experiment: the largest ones in numbers, and charts."""
    largest = largest_differences(runs)
    if not largest:
        return note("The runs of this experiment do not share an epoch yet, so they cannot be compared.")
    loss = next((d for d in largest if d.figure == "loss"), largest[0])
    share = f" ({number(loss.value / loss.scale, True)} of it)" if loss.scale else ""
    decides = deciding(d.figure for d in largest).name
    share_of = next((d for d in largest if d.figure == decides), None)
    text = (
        f"Largest difference between {len(runs)} runs of the same experiment: "
        f"{NAMES[loss.figure]} {loss.value:.4g}{share} at epoch {loss.epoch}"
    )
    if share_of:
        text += f"; {NAMES[decides]} {share_of.value * 100:.2f} percentage points at epoch {share_of.epoch}"
    text += "."
    first = {line["epoch"]: line for line in runs[0].epochs}
    charts = []
    for name in ("loss", decides):
        lines = []
        for run in runs:
            shared = [line for line in run.epochs if name in line and name in first.get(line["epoch"], {})]
            values = [line[name] - first[line["epoch"]][name] for line in shared]
            lines.append(Curve(run.label, run.number, [line["epoch"] for line in shared], values))
        heading = f"{NAMES[name]}: difference from {runs[0].label}"
        charts.append(figure(chart(heading, "epoch", lines, name != "loss", stripes=False), heading))
    rows = [
        [NAMES[d.figure], f"{d.value:.3g}", str(d.epoch), f"{d.value / d.scale:.2e}" if d.scale else ""]
        for d in largest
    ]
    headers = ["figure", "largest difference", "at epoch", "relative"]
    return (
        f'<h3>Differences</h3><p class="number">{escape(text)}</p><div class="charts">{"".join(charts)}</div>'
        + table("Largest difference between the runs, over all epochs", headers, rows)
    )


def _numbers(runs: Sequence[ReportedRun]) -> str:
    epochs = sorted({line["epoch"] for run in runs for line in run.epochs})
    parts = []
    for name in ("loss", *_figures_of(runs)[:-1]):
        by_run = [{line["epoch"]: line for line in run.epochs} for run in runs]
        rows = [
            [str(epoch), *(_figure(lines.get(epoch, {}), name, name != "loss") for lines in by_run)] for epoch in epochs
        ]
        parts.append(table(f"{NAMES[name]} after each epoch", ["epoch", *(run.label for run in runs)], rows))
    return "\n".join(parts)


def configuration(runs: Sequence[ReportedRun]) -> str:
    """Write the resolved configuration once for the runs that share it, and a table of the differences."""
    parts = []
    different = settings_that_differ(runs)
    if len(runs) > 1:
        headers = ["setting", *(run.label for run in runs)]
        words = range(1, len(headers))
        parts.append(
            table("Settings that differ", headers, different, words) if different else note("Nothing differs.")
        )
    texts: dict[str, list[str]] = {}
    for run in runs:
        text = yaml.safe_dump(run.run["config"], sort_keys=False, allow_unicode=True, width=100)
        texts.setdefault(text, []).append(run.label)
    for text, labels in texts.items():
        parts.append(f'<h3>{escape(", ".join(labels))}</h3><pre tabindex="0">{escape(text)}</pre>')
    return "\n".join(parts)


def versions(runs: Sequence[ReportedRun]) -> str:
    """Write the versions that each run began with."""
    by_run = [{"acz": run.run.get("acz", "")} | dict(run.run.get("versions") or {}) for run in runs]
    names = list(dict.fromkeys(name for numbers in by_run for name in numbers))
    rows = [
        [run.label, *(str(numbers.get(name, "")) for name in names)] for run, numbers in zip(runs, by_run, strict=True)
    ]
    return table("Versions that each run began with", ["run", *names], rows)


def parity(runs: Sequence[ReportedRun], files: Sequence[Path]) -> str:
    """Write the check nearest to its bound for each level and backend, for the runs' models or their tiny variants.

    Args:
        runs: The runs.
        files: CSV files of `acz parity-check --csv`. The first one that has rows about the models is used.
    """
    models = {str(run.run["name"]).partition(":")[0] for run in runs}
    hashes = {run.spec.hash for run in runs}
    for path in files:
        if not path.is_file():
            continue
        try:
            rows = [
                row for row in read_csv(path) if row["spec_hash"] in hashes or row["model"].partition(":")[0] in models
            ]
            if rows:
                return _nearest(rows, path)
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            return note(f"{path} is not a table of 'acz parity-check --csv': {type(error).__name__}: {error}")
    return note(
        f"There are no parity results for {', '.join(sorted(models))}. "
        f"Run 'acz parity-check {min(models)} --csv {runs[0].folder}/parity.csv' to measure them."
    )


def _nearest(rows: Sequence[dict[str, str]], path: Path) -> str:
    """Write a table for each model in the file, with a column for each backend."""
    cells: dict[str, dict[tuple[str, str], dict[str, tuple[float, str]]]] = {}
    for row in rows:
        of_model = cells.setdefault(row["model"], {})
        of_row = of_model.setdefault((f"{row['level']} {row['check_level']}", row["precision"]), {})
        if row["passed"] == "missing":
            of_row.setdefault(row["backend"], (0.0, "missing"))
            continue
        measured, bound = float(row["measured"] or "nan"), float(row["bound"] or "nan")
        share = measured / bound if row["passed"] == "True" else math.inf
        text = f"{measured:.1e} of {bound:.1e}{'' if row['passed'] == 'True' else ' FAILED'}"
        text += " (waived)" if row.get("waiver") else ""
        of_row[row["backend"]] = max(of_row.get(row["backend"], (-1.0, "")), (share, text))
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    tables = []
    for model, of_model in cells.items():
        lines = [
            [level, precision, *(of_row.get(backend, (0.0, ""))[1] for backend in backends)]
            for (level, precision), of_row in of_model.items()
        ]
        caption = f"{model}: the check nearest to its bound, as 'measured of bound', on the tiny variant ({path.name})"
        tables.append(table(caption, ["level", "precision", *backends], lines, words=(1,)))
    return "\n".join(tables)


def proofs(runs: Sequence[ReportedRun]) -> str:
    """Write the proofs of the runs' weights at full size, those of other machines too: files `proof*.json` in a run."""
    rows = []
    for run in runs:
        checkpoint = load_checkpoint(run.checkpoint) if run.checkpoint else None
        for path in sorted(run.folder.glob("proof*.json")):
            try:
                proof = read_proof(path)
            except DataError:
                rows.append([run.label, path.name, "damaged", *[""] * (len(HEADERS) + 1)])
                continue
            own = "yes" if checkpoint is not None and proof.belongs_to(checkpoint) else "no"
            machine = proof.environment.get("machine", "")
            rows += [[run.label, path.name, own, machine, *line] for line in proof.lines()]
    if not rows:
        return note(f"There is no proof. Run 'acz parity-check {runs[0].folder}' to check a run's own weights.")
    headers = ["run", "file", "of these weights", "machine", *HEADERS]
    caption = (
        "The weights of each run beside the NumPy reference: in each level and precision the check nearest to its bound"
    )
    return table(caption, headers, rows, words=(1, 2, 3, 4, 6, 10))


def exports(runs: Sequence[ReportedRun]) -> str:
    """Write a table of the runs' artefacts, from the reports that `acz export` writes beside them."""
    rows = []
    for run in runs:
        for path in sorted((run.folder / "export").glob("*.report.json")):
            rows.append([run.label, path.name.removesuffix(".report.json"), *_export(path)])
    if not rows:
        return note(
            f"Nothing is exported yet. Run 'acz export {runs[0].folder} --format onnx' to export and verify a model."
        )
    headers = ["run", "artefact", "format", "passed", "checks", "nearest to its bound", "MiB"]
    headers += ["ms, batch 1", "ms, batch 256", "runtime"]
    return table("Artefacts, compared with the NumPy reference in their own runtime", headers, rows, words=(1, 2, 3, 9))


def _export(path: Path) -> list[str]:
    """The cells for one report. A missing value is left empty, because the report may be of another version."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        checks = [check for check in report.get("checks") or [] if check.get("bound")]
        nearest = max(checks, key=lambda check: check["measured"] / check["bound"], default=None)
        latency = report.get("latency_ms") or {}
        return [
            str(report.get("format", "")),
            {True: "yes", False: "no"}.get(report.get("passed"), ""),
            str(len(checks)),
            f"{nearest['measured']:.1e} of {nearest['bound']:.1e}" if nearest else "",
            f"{report['size_bytes'] / 2**20:.2f}" if "size_bytes" in report else "",
            *(f"{latency[batch]:.2f}" if batch in latency else "" for batch in ("1", "256")),
            ", ".join(f"{name} {version}" for name, version in (report.get("runtime") or {}).items()),
        ]
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return ["damaged report", *[""] * 7]
