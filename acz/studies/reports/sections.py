"""The parts of a report that are made from what the run folders hold."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from acz.evaluation.metrics.figures import FIGURES, SEVERAL_LABELS, deciding
from acz.foundation.errors import DataError
from acz.foundation.files.tables import read_csv
from acz.studies.reports.curves import Curve, chart, number
from acz.studies.reports.page import figure, folded, note, table
from acz.studies.reports.run_comparison import Reported, largest_differences, settings_that_differ

NAMES = {name: f"test {figure.label}" for name, figure in FIGURES.items()} | {
    f"train_{name}": f"training {FIGURES[name].label}" for name in ("loss", "top1")
}
"""Figures of an epoch by their keys, in words."""
CHECKOUT = Path(__file__).parents[3] / "docs/results/parity.csv"


def key(runs: Sequence[Reported]) -> str:
    """Which colour is which run."""
    line = '<svg aria-hidden="true" viewBox="0 0 32 12"><line class="run{}" stroke-width="5" x1="0" x2="32" y1="6" y2="6"/></svg>'
    entries = (
        f"<li>{line.format(run.number % 8)}{escape(run.label)} ({escape(str(run.run['backend']))})</li>" for run in runs
    )
    return f'<ul class="key">{"".join(entries)}</ul>'


def overview(runs: Sequence[Reported]) -> str:
    """A row for each run: where it ran, and how well."""
    several = len({run.run["name"] for run in runs}) > 1
    figures = _figures_of(runs)
    decides = [name for name in ("gap", "top1") if name in figures]
    rows = []
    for run in runs:
        best, last = run.best, run.epochs[-1] if run.epochs else {}
        speeds = sorted(line["videos_per_second"] for line in run.lines if "videos_per_second" in line)
        rows.append(
            [
                run.label,
                *([str(run.run["name"])] if several else []),
                ", ".join(dict.fromkeys([run.run["backend"], *(line["backend"] for line in run.epochs)])),
                str(run.run["device"]),
                f"{len(run.epochs)} of {run.config.recipe.epochs}",
                *(_figure(best, name, True) for name in decides),
                str(best.get("epoch", "")),
                *(_figure(last, name, FIGURES[name].percent) for name in figures),
                f"{speeds[len(speeds) // 2]:,.0f}" if speeds else "",
            ]
        )
    headers = ["run", *(["model"] if several else []), "framework", "device", "epochs"]
    headers += [*(NAMES[name].replace("test", "best") for name in decides), "at epoch"]
    headers += [*(NAMES[name].replace("test", "last") for name in figures), "videos/s"]
    return table(
        "Figures on the test split; videos/s is the median over the training", headers, rows, (1, 2, 2 + several)
    )


def _figures_of(runs: Sequence[Reported]) -> list[str]:
    """Names of what evaluations measured; top-1 of several labels is Hit@1, so it is left out where all runs have that."""
    several = [run.several_labels for run in runs]
    shown = set(SEVERAL_LABELS if any(several) else ()) | {"top5", "loss"} | (set() if all(several) else {"top1"})
    decides = deciding(shown).name
    return sorted(shown & set(FIGURES), key=lambda name: (name != decides, list(FIGURES).index(name)))


def _figure(line: dict[str, Any], name: str, percent: bool) -> str:
    return number(line[name], percent) if name in line else ""


def curves(runs: Sequence[Reported], groups: Sequence[Sequence[Reported]]) -> str:
    """Loss and accuracy of all runs in one chart each, and how far apart runs of the same experiment are."""
    parts = [key(runs)]
    if len(runs) > 1:
        parts.append(
            note(
                "Each curve is drawn thinner on top of the one before: where they lie on each other, stripes are seen."
            )
        )
    charts = []
    for name in ("loss", *(name for name in _figures_of(runs) if name not in ("loss", "top5")), "train_loss", "top5"):
        lines = [_curve(run, run.epochs, name, "epoch") for run in runs]
        charts.append(figure(chart(NAMES[name], "epoch", lines, not name.endswith("loss")), NAMES[name]))
    lines = [_curve(run, run.of_kind("train"), "loss", "step") for run in runs]
    charts.append(
        figure(chart("training loss by step", "step", lines), "training loss by step, the mean over the epoch so far")
    )
    lines = [_curve(run, run.of_kind("train"), "top1", "step") for run in runs]
    charts.append(
        figure(
            chart("training top-1 by step", "step", lines, True),
            "training top-1 by step, the mean over the epoch so far",
        )
    )
    parts.append(f'<div class="charts">{"".join(charts)}</div>')
    parts += [differences(group) for group in groups if len(group) > 1]
    if len(runs) > 1 and all(len(group) == 1 for group in groups):
        parts.append(
            note("These are different experiments (another model, recipe or data set), so no differences are given.")
        )
    parts.append(folded("The numbers of each epoch", _numbers(runs)))
    return "\n".join(parts)


def _curve(run: Reported, lines: Sequence[dict[str, Any]], name: str, x: str) -> Curve:
    having = [line for line in lines if name in line and x in line]
    return Curve(run.label, run.number, [line[x] for line in having], [line[name] for line in having])


def differences(runs: Sequence[Reported]) -> str:
    """How far apart runs of one experiment are, in numbers and drawn large."""
    found = largest_differences(runs)
    if not found:
        return note("The runs of this experiment have no epoch in common yet, so nothing can be compared.")
    loss = next(d for d in found if d.figure == "loss") if any(d.figure == "loss" for d in found) else found[0]
    share = f" ({number(loss.value / loss.scale, True)} of it)" if loss.scale else ""
    decides = deciding(d.figure for d in found).name
    share_of = next((d for d in found if d.figure == decides), None)
    text = f"Largest difference between {len(runs)} runs of the same experiment: {NAMES[loss.figure]} {loss.value:.4g}{share} at epoch {loss.epoch}"
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
        [NAMES[d.figure], f"{d.value:.3g}", str(d.epoch), f"{d.value / d.scale:.2e}" if d.scale else ""] for d in found
    ]
    headers = ["figure", "largest difference", "at epoch", "relative"]
    return (
        f'<h3>How far apart</h3><p class="number">{escape(text)}</p><div class="charts">{"".join(charts)}</div>'
        + table("Largest difference between the runs, over all epochs", headers, rows)
    )


def _numbers(runs: Sequence[Reported]) -> str:
    epochs = sorted({line["epoch"] for run in runs for line in run.epochs})
    parts = []
    for name in ("loss", *_figures_of(runs)[:-1]):
        by_run = [{line["epoch"]: line for line in run.epochs} for run in runs]
        rows = [
            [str(epoch), *(_figure(lines.get(epoch, {}), name, name != "loss") for lines in by_run)] for epoch in epochs
        ]
        parts.append(table(f"{NAMES[name]} after each epoch", ["epoch", *(run.label for run in runs)], rows))
    return "\n".join(parts)


def configuration(runs: Sequence[Reported]) -> str:
    """The resolved configuration, once where all runs share it, and what differs between them."""
    parts = []
    different = settings_that_differ(runs)
    if len(runs) > 1:
        headers = ["setting", *(run.label for run in runs)]
        words = range(1, len(headers))
        parts.append(table("What differs", headers, different, words) if different else note("Nothing differs."))
    texts: dict[str, list[str]] = {}
    for run in runs:
        text = yaml.safe_dump(run.run["config"], sort_keys=False, allow_unicode=True, width=100)
        texts.setdefault(text, []).append(run.label)
    for text, labels in texts.items():
        parts.append(f'<h3>{escape(", ".join(labels))}</h3><pre tabindex="0">{escape(text)}</pre>')
    return "\n".join(parts)


def versions(runs: Sequence[Reported]) -> str:
    """What each run was begun with."""
    all_of = [{"acz": run.run.get("acz", "")} | dict(run.run.get("versions") or {}) for run in runs]
    names = list(dict.fromkeys(name for one in all_of for name in one))
    rows = [[run.label, *(str(one.get(name, "")) for name in names)] for run, one in zip(runs, all_of, strict=True)]
    return table("Versions that each run was begun with", ["run", *names], rows)


def parity(runs: Sequence[Reported], given: Path | None) -> str:
    """The check of each level and backend that came nearest to its bound, for the runs' models or their tiny variants.

    From `given`, else from parity.csv in a run folder, else from the checkout's own results. Raises DataError for a given
    file that is none.
    """
    if given is not None and not given.is_file():
        raise DataError(f"there is no file {given}; 'acz parity-check --csv {given}' writes one")
    places = [given] if given else [*(run.folder / "parity.csv" for run in runs), CHECKOUT]
    models = {str(run.run["name"]).partition(":")[0] for run in runs}
    hashes = {run.spec.hash for run in runs}
    for path in places:
        if not path.is_file():
            continue
        try:
            rows = [
                row for row in read_csv(path) if row["spec_hash"] in hashes or row["model"].partition(":")[0] in models
            ]
            if rows:
                return _nearest(rows, path)
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            return note(f"{path} is no table of 'acz parity-check --csv': {type(error).__name__}: {error}")
    return note(
        f"No parity results for {', '.join(sorted(models))}; 'acz parity-check {min(models)} --csv {runs[0].folder}/parity.csv' "
        "measures them"
    )


def _nearest(rows: Sequence[dict[str, str]], path: Path) -> str:
    """A table for each model in the file, with the backends side by side."""
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
        caption = (
            f"{model}: the check nearest to its bound, measured of bound, on the model's tiny variant ({path.name})"
        )
        tables.append(table(caption, ["level", "precision", *backends], lines, words=(1,)))
    return "\n".join(tables)


def exports(runs: Sequence[Reported]) -> str:
    """The artefacts of the runs with their proof, from the reports that `acz export` writes beside them."""
    rows = []
    for run in runs:
        for path in sorted((run.folder / "export").glob("*.report.json")):
            rows.append([run.label, path.name.removesuffix(".report.json"), *_export(path)])
    if not rows:
        return note(f"Nothing is exported yet; 'acz export {runs[0].folder} --format onnx' does, and proves it.")
    headers = ["run", "artefact", "format", "passed", "checks", "nearest to its bound", "MiB"]
    headers += ["ms, batch 1", "ms, batch 256", "runtime"]
    return table("Artefacts, compared with the NumPy reference in their own runtime", headers, rows, words=(1, 2, 3, 9))


def _export(path: Path) -> list[str]:
    """The cells of one report; what is missing stays empty, since a report may be of another version."""
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
