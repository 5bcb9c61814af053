"""Figures of the documents.

`runs OUT.csv RUN ...` collects runs. `tables` writes the tables of the READMEs, docs/benchmarks.md, docs/choosing.md, docs/clients.md,
docs/distributed.md, docs/numerics.md, docs/proof.md, docs/reliability.md, docs/scale.md and docs/results from docs/results/*.csv.

python scripts/results.py runs docs/results/flash_mnist.csv runs/torch runs/tensorflow ...
python scripts/results.py youtube8m docs/results/youtube8m_synthetic.csv runs/youtube8m_synthetic/trials/*
python scripts/results.py compact docs/results/compact_synthetic.csv runs/compact_synthetic
python scripts/results.py flash-mnist docs/results/flash_mnist_best.csv runs/flash_mnist_best runs/flash_mnist_tried
python scripts/results.py tables [--check]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import flash_mnist
from bench_tables import benchmarks, choosing, proofs, videos
from clients.page import page
from process_tables import parity_of_processes, rank_kills
from scale import scale

from acz.api.models import differences
from acz.backend.versions import environment
from acz.data.absent import SETTINGS
from acz.data.folder import read_manifest
from acz.foundation.files.tables import markdown, read_csv, replace_table, write_csv
from acz.studies.reports.run_comparison import read_runs
from acz.studies.sweeps.file import find_sweep, read_sweep
from acz.training.log import read_log
from acz.training.run_folder import read_run
from acz.zoo.catalog import config_names
from acz.zoo.config import load_config

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs/results"
SYNTHETIC = RESULTS / "youtube8m_synthetic.csv"
COMPACT = RESULTS / "compact_synthetic.csv"
AVERAGES = RESULTS / "averages.csv"
FLASH_BEST, FLASH_TABLE = (RESULTS / f"flash_mnist_{name}.csv" for name in ("best", "table"))
CLIENTS = ROOT / "docs/clients.md"
VIDEOS = ROOT / "docs/videos.md"
BENCHMARKS, CHOOSING, PROOF = (ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "choosing", "proof"))
DISTRIBUTED, NUMERICS, RELIABILITY, SCALE = (
    ROOT / "docs" / f"{name}.md" for name in ("distributed", "numerics", "reliability", "scale")
)
CHINESE = {
    "level": "级别",
    "precision": "精度",
    "backend": "后端",
    "test loss": "测试损失",
    "1 outputs": "1 输出",
    "2 gradients": "2 梯度",
    "3 training": "3 训练",
    "4 checkpoints": "4 检查点",
    "5 exports": "5 导出",
    "Flash-MNIST from MNIST": "方法",
    "epochs": "epoch 数",
    "top-1 in %": "top-1 (%)",
    **flash_mnist.STORY,
}
"""Cells of the README's tables."""


def collect(out: Path, folders: list[Path]) -> None:
    """Write one row for each epoch of each run."""
    rows = []
    for folder in folders:
        run = read_run(folder)
        made = read_manifest(Path(run["data"])).made
        for line in read_log(folder / "metrics.jsonl"):
            if line["kind"] == "evaluation":
                figures = ("epoch", "top1", "top5", "loss", "train_loss", "videos_per_second")
                rows.append(
                    {
                        "model": run["name"],
                        "backend": line["backend"],
                        "device": run["device"],
                        **{name: line[name] for name in figures},
                        "seed": run["config"]["train"]["seed"],
                        "spec_hash": run["spec_hash"],
                        "extractor_top1": made["extractor_top1"],
                        "training_videos": made["train_videos_per_label"] * 1024,
                        "data_seed": made["seed"],
                        **environment(),
                    }
                )
    write_csv(out, rows)


def collect_youtube8m(out: Path, folders: list[Path]) -> None:
    """Write two rows for each run on synthetic videos: its best epoch, by GAP, and its last."""
    figures = ("epoch", "gap", "hit_at_1", "perr", "map", "loss", "train_loss", "videos_per_second", "data_wait")
    rows: list[dict[str, Any]] = []
    for run in read_runs(folders):
        made = json.loads((Path(run.run["data"]) / SETTINGS).read_text(encoding="utf-8"))
        for which, line in (("best", run.best), ("last", run.epochs[-1])):
            rows.append(
                {
                    "model": run.run["name"],
                    "backend": line["backend"],
                    "device": run.run["device"],
                    "parameters": run.spec.parameter_count,
                    "epochs": run.config.recipe.epochs,
                    "of": which,
                    **{name: line[name] for name in figures},
                    "seed": run.config.recipe.seed,
                    "spec_hash": run.spec.hash,
                    "training_videos": made["videos"],
                    "validation_videos": made["validation"],
                    "frames": " .. ".join(map(str, made["frames"])),
                    "classes": made["classes"],
                    "data_seed": made["seed"],
                    **environment(),
                }
            )
    write_csv(out, rows)


def collect_compact(out: Path, sweep: Path) -> None:
    """Write one row for each trial of a sweep: its best epoch, the time of a step, the bytes of its checkpoint and of two exports."""
    times = {row["trial"]: row["step_ms"] for row in read_csv(sweep / "times.csv")}
    rows: list[dict[str, Any]] = []
    sizes: dict[str, dict[str, int]] = {}  # whatever framework trained it
    for trial in read_csv(sweep / "sweep.csv"):
        folder = sweep / "trials" / trial["trial"]
        (run,) = read_runs([folder])
        if run.spec.hash not in sizes:
            sizes[run.spec.hash] = {name: _exported(folder / "best.safetensors", name) for name in ("onnx", "pt2")}
        rows.append(
            {
                "model": run.run["name"],
                "backend": trial["backend"],
                "parameters": run.spec.parameter_count,
                "checkpoint_bytes": (folder / "best.safetensors").stat().st_size,
                **{f"{name}_bytes": value for name, value in sizes[run.spec.hash].items()},
                **{name: run.best[name] for name in ("epoch", "gap", "hit_at_1", "map", "loss")},
                "step_ms": times[trial["trial"]],
                "seed": run.config.recipe.seed,
                "spec_hash": run.spec.hash,
                **environment(),
            }
        )
    write_csv(out, rows)


def _exported(checkpoint: Path, name: str) -> int:
    """Export a checkpoint and give the bytes of the artefact."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["export", checkpoint, "--format", name, "--out", Path(folder) / f"model.{name}", "--json"]
        command = [sys.executable, "-m", "acz", *map(str, words)]
        return int(
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[name]["size_bytes"]
        )


def documents() -> dict[Path, str]:
    """Every document with figures, with its tables as the results give them."""
    readme = tables()
    return {
        SYNTHETIC.with_suffix(".md"): synthetic(),
        COMPACT.with_suffix(".md"): compact(),
        AVERAGES.with_suffix(".md"): averages(),
        FLASH_TABLE.with_suffix(".md"): flash_mnist.table(
            FLASH_TABLE.with_suffix(".md").read_text(encoding="utf-8"), read_csv(FLASH_TABLE), published_table()
        ),
        FLASH_BEST.with_suffix(".md"): flash_mnist.best(
            FLASH_BEST.with_suffix(".md").read_text(encoding="utf-8"), read_csv(FLASH_BEST)
        ),
        ROOT / "README.md": readme,
        ROOT / "docs/README.zh.md": chinese(readme),
        BENCHMARKS: benchmarks(BENCHMARKS.read_text(encoding="utf-8"), RESULTS),
        CHOOSING: choosing(CHOOSING.read_text(encoding="utf-8"), RESULTS / "bench_zoo.csv"),
        NUMERICS: replace_table(
            NUMERICS.read_text(encoding="utf-8"), "precisions", nearest_to_bounds(RESULTS / "parity_precisions.csv")
        ),
        PROOF: proofs(PROOF.read_text(encoding="utf-8"), RESULTS / "proof.csv"),
        DISTRIBUTED: parity_of_processes(DISTRIBUTED.read_text(encoding="utf-8"), RESULTS / "parity_processes.csv"),
        RELIABILITY: rank_kills(RELIABILITY.read_text(encoding="utf-8"), RESULTS / "rank_kills.csv"),
        SCALE: scale(SCALE.read_text(encoding="utf-8"), RESULTS),
        VIDEOS: videos(VIDEOS.read_text(encoding="utf-8"), RESULTS / "videos_speed.csv"),
        CLIENTS: page(CLIENTS.read_text(encoding="utf-8"), read_csv(RESULTS / "clients.csv")),
    }


def chinese(readme: str) -> str:
    """The Chinese README with the tables of the English one."""
    text = (ROOT / "docs/README.zh.md").read_text(encoding="utf-8")
    for name in ("parity", "flash_mnist", "flash_mnist_backends"):
        table = readme.split(f"<!-- table: {name} -->\n")[1].split("\n<!-- end -->")[0]
        for word, translated in CHINESE.items():
            table = table.replace(f"| {word} |", f"| {translated} |")
        text = replace_table(text, name, table)
    return text


def synthetic() -> str:
    """The page of the synthetic videos.

    It has the best epoch's GAP of each model in each framework, the largest difference among frameworks, and the distance
    to the frame average of the same framework.
    """
    best: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in read_csv(SYNTHETIC):
        if row["of"] == "best":
            best[row["model"]][row["backend"]] = row
    average = next(runs for model, runs in best.items() if "frame_average" in model)
    rows = []
    for model, runs in best.items():
        gaps = [float(row["gap"]) for row in runs.values()]
        above = min(float(row["gap"]) - float(average[backend]["gap"]) for backend, row in runs.items())
        cells = [f"{gap:.4f} (epoch {row['epoch']})" for gap, row in zip(gaps, runs.values(), strict=True)]
        parameters = f"{int(next(iter(runs.values()))['parameters']):,}"
        rows.append([f"`{model}`", parameters, *cells, f"{max(gaps) - min(gaps):.1e}", f"{above:.4f}" if above else ""])
    headers = ["model", "parameters", *average, "apart at most", "above the frame average at least"]
    text = SYNTHETIC.with_suffix(".md").read_text(encoding="utf-8")
    return replace_table(text, "youtube8m_synthetic", markdown(headers, rows))


def averages() -> str:
    """The page of averages of weights: the figures of each checkpoint."""
    rows = [
        [row["weights"], *(f"{float(row[name]):.4f}" for name in ("gap", "hit_at_1", "loss"))]
        for row in read_csv(AVERAGES)
    ]
    text = AVERAGES.with_suffix(".md").read_text(encoding="utf-8")
    return replace_table(text, "averages", markdown(["weights", "GAP", "Hit@1", "loss"], rows))


def compact() -> str:
    """The page of the compact models: each beside its dense twin, in both frameworks."""
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for row in read_csv(COMPACT):
        found[row["model"]][row["backend"]] = row
    rows = []
    for model, runs in found.items():
        one = next(iter(runs.values()))
        dense = next(iter(found[f"{model.split(':')[0]}:small:few_steps"].values()))
        sizes = ("parameters", "checkpoint_bytes", "onnx_bytes", "pt2_bytes")
        smaller = [f"{int(one[name]):,} ({int(dense[name]) / int(one[name]):.1f})" for name in sizes]
        figures = [f"{float(row['gap']):.4f}, {float(row['step_ms']):.0f} ms" for row in runs.values()]
        rows.append([f"`{model.removeprefix('youtube8m/compact/')}`", *smaller, *figures])
    sizes_named = [
        f"{name} (dense / own)" for name in ("parameters", "bytes of a checkpoint", "of an ONNX file", "of a pt2 file")
    ]
    headers = ["model", *sizes_named, *(f"{name}: GAP, step" for name in next(iter(found.values())))]
    text = COMPACT.with_suffix(".md").read_text(encoding="utf-8")
    return replace_table(text, "compact_synthetic", markdown(headers, rows))


def tables() -> str:
    """The README with its tables as the results give them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    configs = [load_config(name) for name in config_names() if ":" not in name]
    rows = [
        [f"`{c.name}`", f"{c.spec.parameter_count:,}", c.description, str(c.published or ""), c.source] for c in configs
    ]
    table = markdown(["model", "parameters", "what", "published", "source"], rows)
    notes = [f"- `{names}`: {text}." for names, text in differences(configs).items()]
    text = replace_table(text, "models", "\n".join([table, "", *notes]))

    text = replace_table(text, "parity", nearest_to_bounds(RESULTS / "parity.csv"))
    story = flash_mnist.story(read_csv(FLASH_BEST), read_csv(FLASH_TABLE), published_table())
    text = replace_table(text, "flash_mnist", story)

    last: dict[str, dict[str, str]] = {}
    for row in read_csv(RESULTS / "flash_mnist.csv"):
        last[row["backend"]] = row
    rows = [
        [backend, *(f"{float(row[name]) * 100:.2f} %" for name in ("top1", "top5")), f"{float(row['loss']):.4f}"]
        for backend, row in last.items()
    ]
    return replace_table(text, "flash_mnist_backends", markdown(["backend", "top-1", "top-5", "test loss"], rows))


def published_table() -> dict[str, dict[str, float]]:
    """The columns of the published table, by the trials of its sweep."""
    trials = read_sweep(find_sweep("flash_mnist_table")).trials
    return {str(trial.name): {name: float(value) for name, value in trial.published.items()} for trial in trials}


def nearest_to_bounds(checks: Path) -> str:
    """A table of the check that came nearest to its bound, for each level, precision and backend.

    Args:
        checks: what `acz parity-check --csv` wrote.
    """
    nearest: dict[tuple[str, str], dict[str, tuple[float, str]]] = defaultdict(dict)
    table = [row for row in read_csv(checks) if row["passed"] not in ("missing", "not bounded")]
    for row in table:
        measured, bound = float(row["measured"]), float(row["bound"])
        if not bound:
            continue  # the loss scale of float16, which is equal or not
        key = (f"{row['level']} {row['check_level']}", row["precision"])
        cell = f"{measured:.1e} of {bound:.1e}" + (" (waived)" if row["waiver"] else "")
        nearest[key][row["backend"]] = max(nearest[key].get(row["backend"], (-1.0, "")), (measured / bound, cell))
    backends = list(dict.fromkeys(row["backend"] for row in table))
    rows = [
        [level, precision, *(cells.get(backend, (0.0, ""))[1] for backend in backends)]
        for (level, precision), cells in sorted(nearest.items(), key=lambda item: (item[0][0], item[0][1] != "float64"))
    ]
    return markdown(["level", "precision", *backends], rows)


def main(words: list[str]) -> int:
    if len(words) > 2 and words[0] == "runs":
        collect(Path(words[1]), [Path(word) for word in words[2:]])
        return 0
    if len(words) > 2 and words[0] == "youtube8m":
        collect_youtube8m(Path(words[1]), [Path(word) for word in words[2:]])
        return 0
    if len(words) == 3 and words[0] == "compact":
        collect_compact(Path(words[1]), Path(words[2]))
        return 0
    if len(words) > 2 and words[0] == "flash-mnist":
        flash_mnist.collect(Path(words[1]), [Path(word) for word in words[2:]])
        return 0
    if words[:1] == ["tables"]:
        stale = [path for path, text in documents().items() if path.read_text(encoding="utf-8") != text]
        if "--check" not in words:
            for path, text in documents().items():
                path.write_text(text, encoding="utf-8")
            return 0
        for path in stale:
            print(f"{path.name} is not what docs/results say; python scripts/results.py tables", file=sys.stderr)
        return int(bool(stale))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
