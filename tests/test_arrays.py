"""`acz data from-arrays` and `acz.write_data`: what a model reads is what was given, to the last number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.data.arrays import writing
from acz.data.folder import Split
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.progress import Progress
from tests.conftest import Answer

SILENT = Progress()


def write(folder: Path, **splits: Any) -> Split:
    """Write a data set of splits, and open the first one."""
    acz.write_data(folder, splits, progress=SILENT)
    return Split(folder, next(iter(splits)))


def all_of(split: Split) -> acz.Examples:
    return split.take(np.arange(len(split)), split.input_names)


def saved(path: Path, value: Any) -> str:
    np.save(path, np.asarray(value))
    return str(path)


@pytest.fixture
def rgb(source: np.random.Generator) -> Array:
    return source.standard_normal((5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
def test_features_labels_and_names_come_back_as_they_were(tmp_path: Path, rgb: Array, given: type) -> None:
    audio = np.arange(5 * 2 * 6, dtype=np.uint8).reshape(5, 2, 6)
    names = ["a", "Pok\u00e9mon \u30dd\u30b1", "c" * 70, b"\xff\xe9".decode("utf-8", "surrogateescape"), "4"]
    labels = np.array([2, 0, 5, 1, 2])
    split = write(tmp_path / "d", train={"rgb": rgb.astype(given), "audio": audio, "labels": labels, "id": names})
    examples = all_of(split)
    np.testing.assert_array_equal(examples.inputs["rgb"], rgb.astype(given).astype(np.float32))
    assert examples.inputs["rgb"].dtype == np.float32
    np.testing.assert_array_equal(examples.inputs["audio"], audio)
    assert examples.labels.tolist() == labels.tolist()
    assert examples.labels.dtype == np.int64
    assert split.ids(np.array([3, 1, 0])) == [names[3], names[1], names[0]]
    assert set(examples.inputs) == {"rgb", "audio"}
    assert acz.verify_data(tmp_path / "d", progress=SILENT) == 5


def test_files_are_what_their_arrays_are(tmp_path: Path, rgb: Array) -> None:
    """Files of every kind, names of many types, and arrays in Fortran's order."""
    (tmp_path / "names.txt").write_text("a\nb\r\nc\nd\ne\n")
    (tmp_path / "names.json").write_text('["a", "b", "c", "d", "e"]')
    ids = ["a", "b", "c", "d", "e"]
    names: list[Any] = [ids, np.array(ids), np.array(ids, "S1"), np.array(ids, object), tmp_path / "names.txt"]
    names += [tmp_path / "names.json", saved(tmp_path / "names.npy", ids)]
    features: list[Any] = [rgb, np.asfortranarray(rgb), rgb.tolist(), list(rgb), saved(tmp_path / "rgb.npy", rgb)]
    features += [saved(tmp_path / "fortran.npy", np.asfortranarray(rgb)), Path(tmp_path / "rgb.npy")]
    for number, (own, value) in enumerate(zip(names, features, strict=True)):
        split = write(tmp_path / str(number), train={"rgb": value, "labels": [0] * 5, "id": own})
        np.testing.assert_array_equal(all_of(split).inputs["rgb"], rgb)
        assert split.ids(np.arange(5)) == ids
    numbers = write(tmp_path / "numbers", train={"rgb": rgb, "id": np.array([70, 3, 5, 1, 2])})
    assert numbers.ids(np.array([1, 0])) == ["3", "70"]


SINGLE, LISTS, COLUMNS = [3, 0, 2, 3, 1], [[3], [0, 2], [], [1, 3], [3]], 4
MULTI_HOT = np.array([[0, 0, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]])
SINGLE_FILES = {
    "plain.csv": "3\n0\n2\n3\n1\n",
    "spaces.txt": "3 \n0\r\n2\n3\n1\n\n",
    "titles.csv": "\ufeffID,Label\r\nv3,3\r\nv0,0\r\nv2,2\r\nv4,3\r\nv1,1\r\n",
    "floats.csv": "video;class\nv3;3.0\nv0;0\nv2;2\nv4;3\nv1;1\n",
    "list.json": "[3, 0, 2, 3, 1]",
}
SEVERAL_FILES = {
    "lines.txt": "3\n0 2\n\n1,3\n3\n",
    "titles.csv": 'labels,id\n3,a\n"0,2",b\n,c\n1 3,d\n3,e\n',
    "tabs.tsv": "id\tlabels\na\t3\nb\t0,2\nc\t\nd\t1;3\ne\t3\n",
    "lists.json": json.dumps(LISTS),
    "rows.json": json.dumps(MULTI_HOT.tolist()),
    "rows.csv": "".join(",".join(map(str, row)) + "\n" for row in MULTI_HOT.tolist()),
}


@pytest.mark.parametrize("name", [*SINGLE_FILES, "npy", "array", "list", "objects", "whole floats", "int8"])
def test_a_class_a_video_in_any_form(tmp_path: Path, rgb: Array, name: str) -> None:
    if name in SINGLE_FILES:
        (tmp_path / name).write_text(SINGLE_FILES[name], encoding="utf-8")
    others = {"npy": lambda: saved(tmp_path / "y.npy", SINGLE), "array": lambda: np.array(SINGLE, np.uint16)}
    others |= {"list": lambda: SINGLE, "objects": lambda: np.array(SINGLE, object)}
    others |= {"whole floats": lambda: np.array(SINGLE, float), "int8": lambda: np.array(SINGLE, np.int8)}
    split = write(tmp_path / "d", train={"rgb": rgb, "labels": others.get(name, lambda: str(tmp_path / name))()})
    assert all_of(split).labels.tolist() == SINGLE
    assert acz.describe_data(tmp_path / "d")["classes"] == COLUMNS
    if name in ("titles.csv", "floats.csv"):
        assert split.ids(np.arange(5)) == ["v3", "v0", "v2", "v4", "v1"]


@pytest.mark.parametrize(
    "name", [*SEVERAL_FILES, "lists", "arrays", "ragged", "array", "bool", "npy", "floats", "filled"]
)
def test_any_number_of_labels_in_any_form(tmp_path: Path, rgb: Array, name: str) -> None:
    if name in SEVERAL_FILES:
        (tmp_path / name).write_text(SEVERAL_FILES[name], encoding="utf-8")
    ragged = np.empty(5, object)
    ragged[:] = LISTS
    filled = np.array([[3, -1], [0, 2], [-1, -1], [1, 3], [3, -1]])
    others = {
        "lists": LISTS,
        "arrays": list(map(np.array, LISTS)),
        "ragged": ragged,
        "array": MULTI_HOT,
        "filled": filled,
    }
    others |= {"bool": MULTI_HOT > 0, "npy": saved(tmp_path / "y.npy", MULTI_HOT), "floats": MULTI_HOT.astype(float)}
    split = write(tmp_path / "d", train={"rgb": rgb, "labels": others.get(name, str(tmp_path / name))})
    np.testing.assert_array_equal(all_of(split).labels, MULTI_HOT)
    assert all_of(split).labels.dtype == np.uint8


def test_all_splits_have_one_kind_of_labels(tmp_path: Path, rgb: Array) -> None:
    parts = {"train": {"rgb": rgb, "labels": LISTS}, "test": {"rgb": rgb[:2], "labels": [1, 0]}}
    written = acz.write_data(tmp_path / "a", parts, progress=SILENT)
    assert (written.classes, written.several_labels) == (4, True)
    assert all_of(Split(tmp_path / "a", "test")).labels.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    single = {"train": {"rgb": rgb, "labels": SINGLE}}
    acz.write_data(tmp_path / "b", single, classes=6, several_labels=True, progress=SILENT)
    assert all_of(Split(tmp_path / "b", "train")).labels.tolist() == np.eye(6, dtype=int)[SINGLE].tolist()
    columns = {"train": {"rgb": rgb, "labels": np.eye(5, dtype=bool)}}
    with pytest.raises(DataError, match="does not have exactly one label"):
        acz.write_data(tmp_path / "c", columns, several_labels=False, progress=SILENT)
    lists = {"train": {"rgb": rgb, "labels": [[label] for label in SINGLE]}}
    acz.write_data(tmp_path / "d", lists, several_labels=False, progress=SILENT)
    assert all_of(Split(tmp_path / "d", "train")).labels.tolist() == SINGLE


@pytest.mark.parametrize("form", ["lengths", "mask", "own mask", "gaps", "list", "files"])
def test_padded_frames_are_masked_and_zero(tmp_path: Path, rgb: Array, form: str) -> None:
    lengths = np.array([4, 1, 3, 0, 2])
    valid = np.arange(4) < lengths[:, None]
    spoilt = np.where(valid[:, :, None], rgb, np.nan).astype(np.float32)
    before = spoilt.copy()
    arrays: dict[str, Any] = {"rgb": spoilt, "labels": [0] * 5}
    if form == "lengths":
        arrays["lengths"] = saved(tmp_path / "l.npy", lengths)
    elif form == "mask":
        arrays["mask"] = saved(tmp_path / "m.npy", valid)
    elif form == "own mask":
        arrays["rgb.mask"] = valid.astype(float)
    elif form == "gaps":
        arrays |= {"rgb": spoilt[:, ::-1], "mask": valid[:, ::-1]}
    elif form == "list":
        arrays["rgb"] = [
            video[:length].tolist() if length else video[:0] for video, length in zip(rgb, lengths, strict=True)
        ]
    else:
        (tmp_path / "videos").mkdir()
        for row, length in enumerate(lengths):
            np.save(tmp_path / f"videos/v{row}.npy", rgb[row, : max(length, 1)])
        arrays["rgb"] = str(tmp_path / "videos")
        lengths = np.maximum(lengths, 1)
        valid = np.arange(4) < lengths[:, None]
    if form == "list":
        arrays["rgb"][3] = np.zeros((0, 3))
    split = write(tmp_path / "d", train=arrays)
    inputs = all_of(split).inputs
    np.testing.assert_array_equal(inputs["rgb.mask"], valid)
    wanted = np.where(valid[:, :, None], rgb, 0)
    if form == "gaps":  # the valid frames come first, in their order
        wanted = np.stack([np.pad(rgb[row, :n][::-1], ((0, 4 - n), (0, 0))) for row, n in enumerate(lengths)])
    np.testing.assert_array_equal(inputs["rgb"], wanted)
    np.testing.assert_array_equal(spoilt, before), "arrays that are given stay as they are"
    assert split.ids(np.arange(5)) == ([f"v{n}" for n in range(5)] if form == "files" else list("01234"))


def test_labels_with_names_follow_the_files_of_the_videos(tmp_path: Path, rgb: Array) -> None:
    (tmp_path / "labels.csv").write_text("id,label\nextra,9\nv2,2\nv0,0\nv1,1\n")
    (tmp_path / "labels.json").write_text('{"v1": [1], "v2": [2], "v0": [0]}')
    for modality in ("rgb", "audio"):
        (tmp_path / modality).mkdir()
        for row in range(3):
            np.save(tmp_path / modality / f"v{row}.npy", rgb[row])
    arrays = {"rgb": tmp_path / "rgb", "audio": str(tmp_path / "audio" / "*.npy")}
    single = write(tmp_path / "a", train={**arrays, "labels": tmp_path / "labels.csv"})
    assert all_of(single).labels.tolist() == [0, 1, 2]
    assert single.ids(np.arange(3)) == ["v0", "v1", "v2"]
    several = write(tmp_path / "b", train={**arrays, "labels": tmp_path / "labels.json"})
    assert all_of(several).labels.tolist() == np.eye(3, dtype=int).tolist()
    np.save(tmp_path / "rgb/v3.npy", rgb[3])
    with pytest.raises(DataError, match="must have the same videos; only one has 'v3'"):
        write(tmp_path / "c", train={**arrays, "labels": tmp_path / "labels.csv"})
    with pytest.raises(DataError, match=r"labels.csv: has no labels of the video 'v3', which .*rgb has"):
        write(tmp_path / "c", train={"rgb": arrays["rgb"], "labels": tmp_path / "labels.csv"})


def test_many_shards_hold_what_one_does(tmp_path: Path, rgb: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SHARD_VIDEOS", 2)
    arrays = {"rgb": rgb, "lengths": np.array([1, 2, 3, 4, 0]), "labels": LISTS, "id": ["a", "bb", "ccc", "d", "e"]}
    split = write(tmp_path / "d", train=arrays)
    assert len(split.shards) == 3
    examples = split.take(np.array([4, 0, 3]), ["rgb"])
    np.testing.assert_array_equal(examples.labels, MULTI_HOT[[4, 0, 3]])
    assert examples.inputs["rgb.mask"].sum(axis=1).tolist() == [0, 1, 4]
    assert split.ids(np.array([4, 2, 1])) == ["e", "ccc", "bb"]


@pytest.mark.parametrize("labels", [list(range(40)), [[n, 40] for n in range(40)]])
def test_held_out_videos_keep_their_labels_and_names(tmp_path: Path, source: np.random.Generator, labels: Any) -> None:
    rgb = source.standard_normal((40, 4, 3)).astype(np.float32)
    names = [f"v{n}" for n in range(40)]
    arrays = {"rgb": rgb, "labels": labels, "id": names, "lengths": np.arange(40) % 5}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        acz.write_data(tmp_path / name, {"train": arrays}, hold_out=0.2, seed=seed, progress=SILENT)
    held = {name: Split(tmp_path / name, "validation").ids(np.arange(8)) for name in "abc"}
    assert held["a"] == held["b"] != held["c"]
    numbers = []
    for split, count in (("train", 32), ("validation", 8)):
        opened = Split(tmp_path / "a", split)
        assert len(opened) == count
        own = np.array([names.index(name) for name in opened.ids(np.arange(count))])
        numbers += own.tolist()
        examples = all_of(opened)
        given = (
            np.array(labels) if isinstance(labels[0], int) else np.eye(41, dtype=int)[own] + np.eye(41, dtype=int)[40]
        )
        np.testing.assert_array_equal(examples.labels, given[own] if given.ndim == 1 else given)
        valid = np.arange(4) < (own % 5)[:, None]
        np.testing.assert_array_equal(examples.inputs["rgb.mask"], valid)
        np.testing.assert_array_equal(examples.inputs["rgb"], np.where(valid[:, :, None], rgb[own], 0))
    assert sorted(numbers) == list(range(40))


def test_the_command(acz: Callable[..., Answer], tmp_path: Path, rgb: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a,b.npy", rgb)
    np.save("y.npy", SINGLE)
    words = ("data", "from-arrays", "--train", "rgb=a,b.npy,labels=y.npy", "--validation", "rgb=a,b.npy,labels=y.npy")
    answer = acz(*words, "--split", "new:rgb=a,b.npy", "--out", "d")
    assert answer.code == 0, answer.err
    assert answer.out == (
        "d: train 5 videos, validation 5 videos, new 5 videos; 4 classes, one label a video\n"
        "the inputs of a model that reads it:\n"
        "  rgb: {frames: 4, features: 3}\n"
    )
    assert "holds a finished data set; choose another --out" in acz(*words, "--out", "d").err
    assert "15 examples" in acz("data", "verify", "d").out
    for message, wrong in {
        "needs NAME=FILE, got 'a.npy'": ("--train", "a.npy"),
        "rgb is given twice": ("--train", "rgb=y.npy,rgb=y.npy"),
        "--split needs SPLIT:NAME=FILE": ("--split", "rgb=y.npy"),
        "the split 'train' is given twice": (*words[2:4], "--split", "train:rgb=y.npy"),
        "give the arrays of a split": (),
    }.items():
        answer = acz("data", "from-arrays", *wrong, "--out", "e")
        assert answer.code == 2
        assert message in answer.err
    assert not Path("e").exists()
