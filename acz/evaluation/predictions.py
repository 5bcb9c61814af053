"""Files of predictions: the best labels of each video and their scores. They are written and read in parts.

npz                 `ids` (videos), `labels` int64 and `scores` (videos, top_k), best first
jsonl               a line of JSON for each video: `id` and `labels`; each has `label`, `score` and, if known, `name`
csv, youtube8m-csv  the form of the competition, a line for each video: id, comma, pairs of label and score (six digits)
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from acz.evaluation.metrics import NOTHING
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.atomic import write_atomically, write_text_atomically
from acz.foundation.files.npy import read_header, write_header

Kind = Literal["jsonl", "npz", "csv"]
FORMATS: dict[str, Kind] = {"jsonl": "jsonl", "npz": "npz", "youtube8m-csv": "csv", "csv": "csv"}
"""Maps a value of --format, and the end of a file name, to the kind of file."""
HEADER = "VideoId,LabelConfidencePairs\n"
ROWS = 4096
"""The number of videos that are read at once."""
MOST_ROWS, MOST_COLUMNS = 10**12, 10**9
"""The largest sizes of an array in a file."""


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
            f"--format must be jsonl, npz or youtube8m-csv, got '{name}'; or end --out in .jsonl, .npz or .csv"
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
        yield json.dumps({"id": name, "labels": entries}, ensure_ascii=False) + "\n"


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


JOIN: dict[Kind, Callable[[list[Path], Path], None]] = {
    "jsonl": _join_lines,
    "npz": _join_arrays,
    "csv": lambda files, out: _join_lines(files, out, HEADER),
}


def read_predictions(path: Path) -> Iterator[Part]:
    """Read the predictions of an npz or a CSV file, in its order, ROWS videos at a time.

    Raises:
        DataError: the file is missing, damaged or not a file of predictions, or has a video twice.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with path.open("rb") as file:
        head = file.read(4)
    seen: set[str] = set()
    try:
        for part in _read_npz(path) if head[:2] == b"PK" else _read_csv(path):
            for name in part.ids:
                if name in seen:
                    raise DataError(f"{path}: video {name!r} occurs twice")
                seen.add(name)
            yield part
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged, or not a file of predictions (npz or CSV): {error}") from None


def _read_csv(path: Path) -> Iterator[Part]:
    ids: list[str] = []
    rows: list[list[str]] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        if file.readline(len(HEADER) + 2).rstrip("\r\n") != HEADER.rstrip("\n"):
            raise DataError(
                f"{path}: neither an npz nor a CSV file of predictions: its first line is not {HEADER.rstrip()}"
            )
        for number, line in enumerate(file, start=2):
            name, comma, pairs = line.rstrip("\r\n").partition(",")
            words = pairs.split()
            if not comma or not name or len(words) % 2:
                raise DataError(f"{path}: line {number} must be an id, a comma, and pairs of label and score")
            ids.append(name)
            rows.append(words)
            if len(ids) == ROWS:
                yield _parsed(path, number - ROWS + 1, ids, rows)
                ids, rows = [], []
        if ids:
            yield _parsed(path, number - len(ids) + 1, ids, rows)


def _parsed(path: Path, first: int, ids: list[str], rows: list[list[str]]) -> Part:
    """Predictions of the lines first, first + 1, ... of a CSV file. A row is a list of label, score, label, score."""
    width = max(len(words) for words in rows) // 2
    labels, scores = np.full((len(rows), width), NOTHING), np.zeros((len(rows), width))
    for place, words in enumerate(rows):
        try:
            listed = [int(word) for word in words[::2]]
            labels[place, : len(listed)] = listed
            scores[place, : len(listed)] = [float(word) for word in words[1::2]]
        except (ValueError, OverflowError):
            raise DataError(f"{path}: line {first + place} has a label or a score that is not a number") from None
    part = Part(ids, labels, scores)
    _check(path, part)
    return part


def _read_npz(path: Path) -> Iterator[Part]:
    with (
        zipfile.ZipFile(path) as archive,
        _array(archive, "ids") as (ids, length),
        _array(archive, "labels") as (labels, shape),
        _array(archive, "scores") as (scores, shape_of_scores),
    ):
        if len(length) != 1 or len(shape) != 2 or shape != shape_of_scores or shape[0] != length[0]:
            raise DataError(
                f"{path}: ids, labels and scores are {length}, {shape} and {shape_of_scores}, not (n), (n, k) and (n, k)"
            )
        for start in range(0, length[0], ROWS):
            count = min(ROWS, length[0] - start)
            names, classes, values = ids(count), labels(count), scores(count)
            if names.dtype.kind != "U" or classes.dtype.kind not in "iu" or values.dtype.kind != "f":
                kinds = f"{names.dtype}, {classes.dtype} and {values.dtype}"
                raise DataError(f"{path}: ids, labels and scores must be text, integers and numbers, got {kinds}")
            part = Part(names.tolist(), classes.astype(np.int64), values)
            _check(path, part)
            yield part


@contextmanager
def _array(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[Callable[[int], Array], tuple[int, ...]]]:
    """Open an array in an npz: give a function that reads the next `count` rows, and the shape."""
    with archive.open(f"{name}.npy") as file:
        dtype, shape, fortran, _ = read_header(file)
        if fortran or len(shape) > 2 or shape[0] >= MOST_ROWS or (len(shape) == 2 and shape[1] >= MOST_COLUMNS):
            raise ValueError(f"{name} is not an array (rows) or (rows, columns)")
        width = int(np.prod(shape[1:], dtype=np.int64))

        def rows(count: int) -> Array:
            content = file.read(count * width * dtype.itemsize)
            return np.frombuffer(content, dtype, count * width).reshape(count, *shape[1:])

        yield rows, shape


def _check(path: Path, part: Part) -> None:
    """Check the predictions.

    Raises DataError where a score is NaN, a label is below 0, or a video has a label twice.
    """
    labels = np.sort(part.labels, axis=1)
    twice = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != NOTHING)
    for problem, bad in (
        ("a score that is NaN", np.isnan(part.scores)),
        ("a label below 0", part.labels < NOTHING),
        ("a label twice", twice),
    ):
        if bad.any():
            raise DataError(f"{path}: video {part.ids[int(bad.any(axis=1).argmax())]!r} has {problem}")
