"""Averages of weights and distillation on synthetic YouTube-8M videos: figures beside those without, and the time of a step.

python scripts/averages.py docs/results/averages.csv runs/averages
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import acz
from acz.backend.registry import find_backend
from acz.backend.versions import environment
from acz.foundation.files.tables import write_csv
from acz.model.optimizer import Adam, AveragedAdam
from acz.reference.samples import Case

MODEL, BACKEND = "youtube8m/attention_cluster:small", "torch"
VIDEOS, VALIDATION, CLASSES, FRAMES = 2000, 500, 100, (20, 30)
HALFLIFE = 62
"""Steps: two epochs."""
SEEDS = (0, 1)
STUDENT, TOP_K = "youtube8m/frame_average:small", 20
SETTINGS = {
    "model.trunk.logits.units": CLASSES,
    "model.trunk.logits.bias_start": -3.5,
    "data.reading.sampling.frames": 20,
    "train.batch_size": 64,
}
READING = {"sampling": {"type": "strata", "frames": 20}}
"""Frames of a video, as in training."""
STEPS = 20


def main(table: Path, folder: Path) -> None:
    """Write the table. Runs in the folder that are complete are read again."""
    data = folder / "data"
    if not data.exists():
        acz.synthesize_youtube8m(data, VIDEOS, validation=VALIDATION, frames=FRAMES, classes=CLASSES)
    rows = []
    for seed in SEEDS:
        run = folder / f"seed_{seed}"
        average = {"train.average.halflife": HALFLIFE, "train.epochs": 8, "train.seed": seed}
        if not (run / "run.json").exists():
            acz.train(MODEL, backend=BACKEND, data=data, out=run, overrides={**SETTINGS, **average}, threads=1)
        rows += [
            row_of(f"{what}, seed {seed}", file, data)
            for what, file in (
                ("weights after 8 epochs", run / "last.safetensors"),
                (f"their average, best epoch, half-life {HALFLIFE} steps", run / "best.safetensors"),
            )
        ]
    ends = []
    for seed in (1, 2, 3):
        run = folder / f"further_{seed}"
        further = {"train.epochs": 2, "train.seed": seed, "train.average": None}
        if not (run / "run.json").exists():
            start = folder / "seed_0/last.safetensors"
            acz.train(start_from=start, backend=BACKEND, data=data, out=run, overrides=further, threads=1)
        ends.append(run / "last.safetensors")
        rows.append(row_of(f"2 epochs more from seed 0's last weights, seed {seed}", ends[-1], data))
    mean = acz.average_checkpoints(ends, folder / "mean.safetensors").checkpoint
    rows.append(row_of("acz average of these three", mean, data))
    apart = [folder / f"seed_{seed}/last.safetensors" for seed in SEEDS]
    mean = acz.average_checkpoints(apart, folder / "apart.safetensors").checkpoint
    rows.append(row_of("acz average of the two seeds' weights, which began apart", mean, data))
    file = folder / "teacher.npz"
    if not file.exists():
        acz.infer(
            folder / "seed_0/last.safetensors", file, backend=BACKEND, data=data, split="train", top_k=TOP_K, threads=1
        )
    for what, distill in (("alone", None), (f"taught by seed 0, {TOP_K} best classes", {"predictions": str(file)})):
        run = folder / f"student_{'taught' if distill else 'alone'}"
        if not (run / "run.json").exists():
            settings = {**SETTINGS, "train.epochs": 8, "train.distill": distill}
            acz.train(STUDENT, backend=BACKEND, data=data, out=run, overrides=settings, threads=1)
        rows.append(row_of(f"{STUDENT} {what}, best epoch", run / "best.safetensors", data))
    steps = {"step_ms": step_time(False), "step_ms_with_average": step_time(True)}
    versions = {"model": MODEL, "backend": BACKEND, "videos": VIDEOS, **environment()}
    write_csv(table, [{**row, **{name: f"{value:.2f}" for name, value in steps.items()}, **versions} for row in rows])


def row_of(what: str, file: Path, data: Path) -> dict[str, Any]:
    """The figures of a checkpoint."""
    figures = acz.evaluate(file, backend=BACKEND, data=data, reading=READING, threads=1).figures
    return {"weights": what, **{name: f"{figures[name]:.5f}" for name in ("gap", "hit_at_1", "loss")}}


def step_time(with_average: bool) -> float:
    """The median time of a step on one thread, in milliseconds of the processor, which other programs do not change much."""
    spec = acz.load_spec(MODEL)
    backend, adam = find_backend(BACKEND), Adam()
    backend.set_threads(1)
    case = Case("averages", spec, "sigmoid_cross_entropy")
    optimizer = AveragedAdam(**adam.model_dump(), average=0.99) if with_average else adam
    model = acz.build(spec, BACKEND)
    trainer, batch, times = backend.start_training(model, optimizer, case.loss), case.batch("plain", videos=64), []
    for _ in range(STEPS):
        start = time.process_time()
        loss, _ = backend.training_step(trainer, batch.inputs, batch.labels, batch.dropout, 1e-3)
        float(loss)
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
