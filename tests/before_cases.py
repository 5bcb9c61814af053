"""Files that were written before the code moved: what they must still say, and the comparison."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

FILES = Path(__file__).parent / "fixtures/before_the_house"
EXPECTED: dict[str, Any] = json.loads((FILES / "expected.json").read_text())
SPEEDS = {"videos_per_second", "data_wait", "backend"}
"""Parts of a line of the metrics that another machine or framework says differently."""


def as_before(value: Any, recorded: Any, rel: float = 1e-5) -> bool:
    """Tell whether something holds all that was recorded; numbers may differ by rounding, and keys may be new."""
    if isinstance(recorded, dict):
        return recorded.keys() <= value.keys() and all(as_before(value[key], recorded[key], rel) for key in recorded)
    if isinstance(recorded, list):
        return len(value) == len(recorded) and all(as_before(a, b, rel) for a, b in zip(value, recorded, strict=True))
    return math.isclose(value, recorded, rel_tol=rel) if isinstance(recorded, float) else bool(value == recorded)


def same_bits(arrays: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Fail unless these are the same arrays by name, to the last bit."""
    assert arrays.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape), name
        assert arrays[name].tobytes() == value.tobytes(), name


def read_scores(path: Path) -> tuple[list[str], dict[tuple[str, int], float]]:
    """Read a file of predictions without acz: the ids in their order, and a score for each id and label."""
    scores: dict[tuple[str, int], float] = {}
    if path.suffix == ".npz":
        with np.load(path) as file:
            ids, labels, values = file["ids"].tolist(), file["labels"].tolist(), file["scores"].tolist()
        for name, row, numbers in zip(ids, labels, values, strict=True):
            scores |= {(name, label): number for label, number in zip(row, numbers, strict=True)}
    elif path.suffix == ".csv":
        head, *lines = path.read_text().splitlines()
        assert head == "VideoId,LabelConfidencePairs"
        ids = [line.partition(",")[0] for line in lines]
        for line in lines:
            name, _, pairs = line.partition(",")
            words = pairs.split()
            scores |= {(name, int(a)): float(b) for a, b in zip(words[::2], words[1::2], strict=True)}
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        ids = [row["id"] for row in rows]
        scores = {(row["id"], entry["label"]): entry["score"] for row in rows for entry in row["labels"]}
    return ids, scores


def same_scores(path: Path, recorded: Path, atol: float = 2e-6) -> None:
    """Fail unless two files of predictions give the same labels and scores of the same videos, but for rounding."""
    (ids, scores), (wanted_ids, wanted) = read_scores(path), read_scores(recorded)
    assert ids == wanted_ids
    assert scores.keys() == wanted.keys()
    np.testing.assert_allclose([scores[key] for key in wanted], list(wanted.values()), rtol=0, atol=atol)


def compare_runs(run: Path, whole: Path, rtol: float, atol: float) -> None:
    """Fail unless a resumed run ended as the one that was never interrupted, in all of its files."""
    for name in ("best", "last"):
        values, wanted = load_file(run / f"{name}.safetensors"), load_file(whole / f"{name}.safetensors")
        assert values.keys() == wanted.keys()
        for key, value in wanted.items():
            np.testing.assert_allclose(values[key], value, rtol, atol, err_msg=f"{name}: {key}")
    lines, wanted_lines = (
        [{k: v for k, v in json.loads(line).items() if k not in SPEEDS} for line in text.splitlines()]
        for text in ((folder / "metrics.jsonl").read_text() for folder in (run, whole))
    )
    assert as_before(lines, wanted_lines, rtol)
