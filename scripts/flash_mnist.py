"""Figures of Flash-MNIST: the rows of run folders, and the tables made of these, for results.py.

python scripts/results.py flash-mnist docs/results/flash_mnist_best.csv runs/flash_mnist_best ...
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from acz.backend.versions import environment
from acz.data.folder import read_manifest
from acz.foundation.files.tables import markdown, read_csv, replace_table, write_csv
from acz.studies.reports.run_comparison import read_runs

STORY = {
    "published, the best row": "已发表的表格中最好的一行",
    "published, linear scores, 2 units": "已发表的表格中线性打分 2 个单元的一行",
    "ours, the same row and recipe": "本项目用同样方法训练的同一行",
    "no model: every digit that any frame is read as": "不用模型的规则 (任何一帧被读出的数字都算)",
    "ours, 64 units, without weight decay": "本项目的 64 个单元且不用权重衰减",
    "ours, classes as sets of digits": "本项目以数字的集合为类别",
    "ours, the same, a deeper extractor": "本项目同上并用更深的特征提取网络",
}
"""The rows of the README's table, and their Chinese names."""
TWO_UNITS, EIGHT_UNITS = "fc1-units2", "fc2-units8"
EPOCHS = (20, 50, 100, 200)
"""Epochs whose accuracy is recorded beside the best and the last."""
Row = dict[str, str]


def collect(out: Path, sweeps: list[Path]) -> None:
    """Add one row for each finished trial of sweeps to a CSV file. A trial of the same names and seed replaces its row.

    Args:
        out: the file; it may exist.
        sweeps: folders of sweeps; a folder's name, up to the first `@`, is the sweep's name in the file.
    """
    keys = ("sweep", "trial", "backend", "seed")
    rows: dict[tuple[str, ...], dict[str, Any]] = {
        tuple(row[key] for key in keys): row for row in (read_csv(out) if out.is_file() else [])
    }
    for sweep in sweeps:
        for run in read_runs(sorted(path.parent for path in sweep.glob("trials/*/run.json"))):
            if len(run.epochs) < run.config.recipe.epochs:
                continue
            made = read_manifest(Path(run.run["data"])).made
            best, last = run.best, run.epochs[-1]
            tops = {line["epoch"]: line["top1"] for line in run.epochs}
            row = {
                "sweep": sweep.name.partition("@")[0],
                "trial": run.folder.name.partition(",")[0],
                "model": run.run["name"],
                "backend": last["backend"],
                "seed": str(run.config.recipe.seed),
                "parameters": run.spec.parameter_count,
                "epochs": run.config.recipe.epochs,
                "best_epoch": best["epoch"],
                "best_top1": best["top1"],
                "last_top1": last["top1"],
                "last_loss": last["loss"],
                "last_gap": last.get("gap", ""),
                **{f"top1_at_{epoch}": tops.get(epoch, "") for epoch in EPOCHS},
                "spec_hash": run.spec.hash,
                "extractor": made.get("extractor_model") or "flash_mnist/extractor",
                "extractor_epochs": made["extractor_epochs"],
                "extractor_top1": made["extractor_top1"],
                "rule_top1": made.get("rule_top1", ""),
                "training_videos": made["train_videos_per_label"] * 1024,
                "data_seed": made["seed"],
                **environment(),
            }
            rows[tuple(str(row[key]) for key in keys)] = row
    write_csv(out, [rows[key] for key in sorted(rows)])


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def summary(rows: list[Row], figure: str = "last_top1") -> list[str]:
    """The mean, the spread and the seeds of some rows, as cells."""
    values = [float(row[figure]) for row in rows]
    spread = f"{percent(min(values))} to {percent(max(values))}" if len(values) > 1 else ""
    return [percent(mean(values)), spread, ", ".join(row["seed"] for row in rows)]


def by_trial(rows: list[Row], sweep: str) -> dict[str, list[Row]]:
    """The rows of one sweep by trial."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["sweep"] == sweep:
            found[row["trial"]].append(row)
    return found


def table(text: str, rows: list[Row], published: dict[str, dict[str, float]]) -> str:
    """The page of the published table: both columns beside ours, and two rows that are changed one thing at a time.

    Args:
        text: the page.
        rows: those of flash_mnist_table.csv.
        published: the published columns by row, in percent.
    """
    ours = by_trial(rows, "flash_mnist_table")
    cells = [
        [name, f"{columns['ascend_910']:.1f}", f"{columns['rtx_3090']:.1f}", *summary(ours[name], "best_top1")]
        for name, columns in published.items()
        if name in ours
    ]
    headers = ["row", "Ascend 910", "RTX 3090", "ours", "smallest and largest", "seeds"]
    text = replace_table(text, "flash_mnist_table", markdown(headers, cells))

    seeds = {f"seed {row['seed']}": row for row in ours[TWO_UNITS]}
    changed = {name.replace("_", " "): row for name, (row, *_) in by_trial(rows, "flash_mnist_disagreement").items()}
    cells = [
        [what, *(percent(float(row[f"top1_at_{epoch}"])) for epoch in EPOCHS), percent(float(row["extractor_top1"]))]
        for what, row in {**seeds, **changed}.items()
    ]
    headers = ["what is changed", *(f"epoch {epoch}" for epoch in EPOCHS), "frames that the extractor reads"]
    text = replace_table(text, "flash_mnist_disagreement", markdown(headers, cells))

    forms = {"in the gradient (L2), as in the table": ours[EIGHT_UNITS][0]}
    forms |= {name.replace("_", " "): row for name, (row, *_) in by_trial(rows, "flash_mnist_decay").items()}
    cells = [
        [what, *(percent(float(row[f"top1_at_{epoch}"])) for epoch in EPOCHS), percent(float(row["best_top1"]))]
        for what, row in forms.items()
    ]
    headers = ["weight decay of 1e-4", *(f"epoch {epoch}" for epoch in EPOCHS), "best epoch"]
    return replace_table(text, "flash_mnist_decay", markdown(headers, cells))


def best(text: str, rows: list[Row]) -> str:
    """The page of the best models: three seeds each, then what else was tried, each beside the rule on the same features."""
    cells = []
    for name, members in by_trial(rows, "flash_mnist_best").items():
        figure = "last_gap" if members[0]["last_gap"] else "last_top1"
        one = members[0]
        what = [f"`{name}`", f"`{one['model']}`", f"`{one['extractor'].partition('/')[2]}`", one["epochs"]]
        unit = " (GAP)" if figure == "last_gap" else ""
        value, spread, seeds = summary(members, figure)
        cells.append([*what, value + unit, spread, seeds, percent(float(one["rule_top1"]))])
    headers = ["trial", "model", "extractor", "epochs", "top-1", "smallest and largest", "seeds", "the rule"]
    text = replace_table(text, "flash_mnist_best", markdown(headers, cells))
    cells = [
        [f"`{name}`", one["extractor"].partition("/")[2], one["epochs"], percent(float(one["last_top1"]))]
        for name, (one, *_) in by_trial(rows, "flash_mnist_tried").items()
    ]
    return replace_table(text, "flash_mnist_tried", markdown(["trial", "extractor", "epochs", "top-1"], cells))


def story(best_rows: list[Row], table_rows: list[Row], published: dict[str, dict[str, float]]) -> str:
    """The README's table: what was published, ours by the same recipe, and ours."""
    ours, trials = by_trial(table_rows, "flash_mnist_table"), by_trial(best_rows, "flash_mnist_best")
    one, top = trials["sets"][0], max(published.values(), key=lambda columns: columns["rtx_3090"])
    mean_of = {trial: summary(members)[0] for trial, members in trials.items()}
    columns, same = published[TWO_UNITS], summary(ours[TWO_UNITS], "best_top1")[0]
    cells = [
        ["200", f"{top['ascend_910']:.1f} (Ascend 910), {top['rtx_3090']:.1f} (RTX 3090)"],
        ["200", f"{columns['ascend_910']:.1f} (Ascend 910), {columns['rtx_3090']:.1f} (RTX 3090)"],
        ["200", same],
        ["", percent(float(one["rule_top1"]))],
        *([trials[name][0]["epochs"], mean_of[name]] for name in ("dense", "sets", "deep_sets")),
    ]
    rows = [[what, *figures] for what, figures in zip(STORY, cells, strict=True)]
    return markdown(["Flash-MNIST from MNIST", "epochs", "top-1 in %"], rows)
