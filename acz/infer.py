"""Predictions for every example of a split, in its order, written so that an interrupted inference goes on.

Beside the output lies a folder `.OUT.part` while it is made: the settings, and a file for each stretch of examples. Memory
does not grow with the number of examples.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy

from acz.checkpoint import remove_leftovers, remove_leftovers_of, write_text_whole, write_whole
from acz.concurrency import ahead, locked
from acz.data.features import Split
from acz.errors import CheckFailed, DataError
from acz.evaluate import padded
from acz.layers import Array
from acz.spec import Spec

Predict = Callable[[Mapping[str, Array]], Array]
"""The output (videos, classes) of a batch of inputs by name."""

STRETCH = 16
"""Batches in one file of the work folder."""


@dataclass(frozen=True)
class Settings:
    """What determines every byte of a prediction file."""

    model: str
    """SHA-256 of the checkpoint or artefact."""
    backend: str
    data: str
    split: str
    top_k: int
    labels: str
    kind: Literal["jsonl", "npz"]
    batch_size: int


def read_labels(path: Path) -> list[str]:
    """Names of the classes: a line each, or a CSV file with the columns Index and Name (YouTube-8M's vocabulary).

    Raises DataError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read as labels: {error}") from None
    if path.suffix.lower() != ".csv":
        return text.splitlines()
    try:
        rows = {int(row["Index"]): row["Name"] for row in csv.DictReader(text.splitlines())}
    except (KeyError, TypeError, ValueError, csv.Error):
        raise DataError(f"{path}: a CSV file of labels needs the columns Index and Name") from None
    if not rows or min(rows) < 0 or max(rows) >= 10_000_000:
        raise DataError(f"{path}: holds no labels, or an Index that is none")
    return [rows.get(index) or "" for index in range(max(rows) + 1)]


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of every file in a folder with its name."""
    total = hashlib.sha256()
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file():
            total.update(one.relative_to(path).as_posix().encode())
            with one.open("rb") as file:
                while part := file.read(1 << 20):
                    total.update(part)
    return total.hexdigest()


def best(scores: Array, count: int) -> tuple[Array, Array]:
    """The `count` best classes of each video and their scores, (videos, count); of equal scores the smaller class first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(scores, order, axis=1)


def infer(
    predict: Predict,
    spec: Spec,
    split: Split,
    out: Path,
    settings: Settings,
    names: list[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the predictions of a split to `out`, or go on with what an interrupted call left; gives the number of examples.

    A line of JSON each: `id`, and `labels`, the best with `label`, `score` and, with `names`, `name`; or an npz of `ids` (examples),
    `labels` and `scores` (examples, top_k).

    Raises DataError where the work folder is of another inference, CheckFailed where an output is not finite.
    """
    if names is not None and len(names) < spec.width:
        raise DataError(f"the label file has {len(names):,} names, the model has {spec.width:,} classes")
    work = out.with_name(f".{out.name}.part")
    with locked(work):
        remove_leftovers(work)
        remove_leftovers_of(out)
        _claim(work, settings)
        stretch = settings.batch_size * STRETCH
        total, done = len(split), 0
        missing = []
        for start in range(0, total, stretch):
            if (work / f"{start:012d}.{settings.kind}").is_file():
                done += min(stretch, total - start)
            else:
                missing.append(start)
        progress(done, total)
        for start in missing:
            parts = []
            for ids, scores in _predicted(predict, spec, split, start, min(start + stretch, total), settings):
                parts.append((ids, *best(scores, min(settings.top_k, spec.width))))
                done += len(ids)
                progress(done, total)
            _write_stretch(work / f"{start:012d}.{settings.kind}", parts, names)
        files = [work / f"{start:012d}.{settings.kind}" for start in range(0, total, stretch)]
        write_whole(out, lambda temporary: JOIN[settings.kind](files, temporary))
        for file in files:
            file.unlink()  # before the settings that say what they belong to
        shutil.rmtree(work)
    return total


def _claim(work: Path, settings: Settings) -> None:
    """Take the work folder for an inference. Raises DataError where it holds the beginning of another."""
    path = work / "settings.json"
    wanted = asdict(settings)
    if path.is_file():
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            held = {}
        different = [key for key in wanted if not isinstance(held, dict) or held.get(key) != wanted[key]]
        if different:
            raise DataError(
                f"{work} holds the beginning of another inference (other {', '.join(different)}); "
                "finish that one, remove the folder, or choose another --out"
            )
        return
    write_text_whole(path, json.dumps(wanted))


def _predicted(
    predict: Predict, spec: Spec, split: Split, start: int, stop: int, settings: Settings
) -> Iterator[tuple[list[str], Array]]:
    """Ids and scores of examples start .. stop - 1, batch by batch; every batch has one size, so that it compiles once."""
    size = min(settings.batch_size, len(split))
    names = list(spec.inputs)
    numbers = (np.arange(first, min(first + size, stop)) for first in range(start, stop, size))
    for examples in ahead(split.take(some, names) for some in numbers):
        scores = predict(padded(examples.inputs, size))[: len(examples.numbers)]
        ids = split.ids(examples.numbers)
        if not np.isfinite(scores).all():
            bad = int(np.argmax(~np.isfinite(scores).all(axis=1)))
            raise CheckFailed(f"the model gives NaN or infinity on example {ids[bad]} ({split.folder}, {split.name})")
        yield ids, scores


Part = tuple[list[str], Array, Array]


def _write_stretch(path: Path, parts: list[Part], names: list[str] | None) -> None:
    if path.suffix == ".jsonl":
        write_text_whole(path, "".join(line for part in parts for line in _lines(part, names)))
        return
    ids = np.array([one for part in parts for one in part[0]], dtype=np.str_)
    labels, scores = (np.concatenate([part[place] for part in parts]) for place in (1, 2))

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, ids=ids, labels=labels.astype(np.int64), scores=scores)

    write_whole(path, save)


def _lines(part: Part, names: list[str] | None) -> Iterator[str]:
    for name, labels, scores in zip(*part, strict=True):
        found: list[dict[str, Any]] = []
        for label, score in zip(labels.tolist(), scores, strict=True):
            one = {"label": label, "name": names[label]} if names else {"label": label}
            found.append({**one, "score": float(f"{score:.9g}")})  # nine digits tell float32 numbers apart
        yield json.dumps({"id": name, "labels": found}, ensure_ascii=False) + "\n"


def _join_lines(files: list[Path], out: Path) -> None:
    with out.open("wb") as whole:
        for path in files:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole)


def _join_arrays(files: list[Path], out: Path) -> None:
    """One npz from many, an array at a time, a part at a time."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as whole:
        for name in ("ids", "labels", "scores"):
            rows, kind, shape = 0, np.dtype("U1"), ()
            for path in files:
                with np.load(path, allow_pickle=False) as part:
                    value = part[name]
                    kind = value.dtype if name != "ids" else max(kind, value.dtype, key=lambda one: one.itemsize)
                    rows, shape = rows + len(value), value.shape[1:]
            with whole.open(f"{name}.npy", "w", force_zip64=True) as file:
                _write_header(file, (rows, *shape), kind)
                for path in files:
                    with np.load(path, allow_pickle=False) as part:
                        file.write(np.ascontiguousarray(part[name], dtype=kind).tobytes())


def _write_header(file: Any, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    header = {"descr": kind.str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]


JOIN: dict[str, Callable[[list[Path], Path], None]] = {"jsonl": _join_lines, "npz": _join_arrays}
