"""Files of predictions: the best labels of each video and their scores. They are written in parts.

npz                 `ids` (videos), `labels` int64 and `scores` (videos, top_k), best first
jsonl               a line of JSON for each video: `id` and `labels`; each has `label`, `score` and, if known, `name`
csv, youtube8m-csv  the form of the competition, a line for each video: id, comma, pairs of label and score (six digits)
segments-csv        the form of the challenge of 2019, a line for each class: see `acz.evaluation.submission`
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from acz.evaluation.submission import write_submission
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.atomic import write_atomically, write_text_atomically
from acz.foundation.files.npy import write_header
from acz.foundation.files.texts import is_utf8

Kind = Literal["jsonl", "npz", "csv", "segments"]
FORMATS: dict[str, Kind] = {
    "jsonl": "jsonl",
    "npz": "npz",
    "youtube8m-csv": "csv",
    "csv": "csv",
    "segments-csv": "segments",
}
"""Maps a value of --format, and the end of a file name, to the kind of file."""
HEADER = "VideoId,LabelConfidencePairs\n"
SUBMITTED = 20
"""Labels of a video that a submission has, and that GAP counts."""
KEPT: dict[Kind, int] = {"jsonl": 50, "npz": 50, "csv": SUBMITTED, "segments": SUBMITTED}
"""Labels of a video that a file has by default: enough for a mean with other files, or a submission."""


@dataclass
class Part:
    """Predictions for a part of the videos: labels and scores, (videos, k)."""

    ids: list[str]
    labels: Array
    scores: Array


def kind_of(out: Path, format: str | None) -> Kind:
    """Give the kind of file to write.

    Args:
        out: the file. The end of its name decides where `format` is None.
        format: a value of --format.

    Raises:
        SpecError: neither names a kind.
    """
    name = format or out.suffix.removeprefix(".")
    if name not in FORMATS:
        raise SpecError(
            f"--format must be jsonl, npz, youtube8m-csv or segments-csv, got '{name}'; or end --out in .jsonl, .npz or .csv"
        )
    return FORMATS[name]


def write_part(path: Path, parts: Iterable[Part], names: list[str] | None = None) -> None:
    """Write predictions to a file of its own. `join` makes one file from several.

    Args:
        path: the file. The end of its name is its kind.
        parts: the predictions.
        names: the names of the classes, for JSON.

    Raises:
        DataError: an id cannot be written to a CSV file.
    """
    if path.suffix == ".jsonl":
        write_text_atomically(path, "".join(line for part in parts for line in _json_lines(part, names)))
    elif path.suffix == ".csv":
        write_text_atomically(path, "".join(line for part in parts for line in csv_lines(part)))
    else:
        parts = list(parts)
        ids = np.array([name for part in parts for name in part.ids], dtype=np.str_)
        labels = np.concatenate([part.labels for part in parts]).astype(np.int64)
        scores = np.concatenate([part.scores for part in parts])

        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, ids=ids, labels=labels, scores=scores)

        write_atomically(path, save)


def join(files: list[Path], out: Path, kind: Kind) -> None:
    """Join files of `write_part`, in their order, to one file. It is written atomically."""
    write_atomically(out, lambda temporary: JOIN[kind](files, temporary))


def csv_lines(part: Part) -> Iterator[str]:
    """Give the lines of the competition's CSV, as the official writer does.

    Labels keep their order, scores have six digits.
    """
    for name, labels, scores in zip(part.ids, part.labels.tolist(), part.scores.tolist(), strict=True):
        if any(sign in name for sign in ',"\r\n'):
            raise DataError(f"the id {name!r} can't be written to a CSV file; write npz or jsonl")
        pairs = " ".join(f"{label} {score:g}" for label, score in zip(labels, scores, strict=True))
        yield f"{name},{pairs}\n"


def _json_lines(part: Part, names: list[str] | None) -> Iterator[str]:
    for name, labels, scores in zip(part.ids, part.labels.tolist(), part.scores, strict=True):
        entries: list[dict[str, Any]] = []
        for label, score in zip(labels, scores, strict=True):
            entry = {"label": label, "name": names[label]} if names else {"label": label}
            entries.append({**entry, "score": float(f"{score:.9g}")})  # nine digits tell float32 numbers apart
        yield json.dumps({"id": name, "labels": entries}, ensure_ascii=not is_utf8(name)) + "\n"


def _join_lines(files: list[Path], out: Path, header: str = "") -> None:
    with out.open("wb") as target:
        target.write(header.encode())
        for path in files:
            with path.open("rb") as part:
                shutil.copyfileobj(part, target)


def _join_arrays(files: list[Path], out: Path) -> None:
    """Join npz files to one: array by array, part by part, so that one part is in memory."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as target:
        for name in ("ids", "labels", "scores"):
            rows, kind, shape = 0, np.dtype("U1"), ()
            for path in files:
                with np.load(path, allow_pickle=False) as part:
                    value = part[name]
                    kind = value.dtype if name != "ids" else max(kind, value.dtype, key=lambda dtype: dtype.itemsize)
                    rows, shape = rows + len(value), value.shape[1:]
            with target.open(f"{name}.npy", "w", force_zip64=True) as file:
                write_header(file, (rows, *shape), kind)
                for path in files:
                    with np.load(path, allow_pickle=False) as part:
                        file.write(np.ascontiguousarray(part[name], dtype=kind).tobytes())


def _arrays_of(files: list[Path]) -> Iterator[tuple[list[str], Array, Array]]:
    for path in files:
        with np.load(path, allow_pickle=False) as part:
            yield part["ids"].tolist(), part["labels"], part["scores"]


JOIN: dict[Kind, Callable[[list[Path], Path], None]] = {
    "jsonl": _join_lines,
    "npz": _join_arrays,
    "csv": lambda files, out: _join_lines(files, out, HEADER),
    "segments": lambda files, out: write_submission(_arrays_of(files), out),
}
