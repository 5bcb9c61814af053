"""Arrays that are no data set: refused in one line that names the file, the row and the value, and nothing is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.data.arrays import writing
from acz.data.folder import Split, read_manifest
from acz.foundation.errors import DataError, SpecError
from acz.foundation.progress import Progress

SILENT = Progress()
RGB = np.arange(60, dtype=np.float32).reshape(5, 4, 3)


def spoilt(*place: int, value: float = np.nan) -> Any:
    array = RGB.astype(np.float64)
    array[place] = value
    return array


def objects() -> Any:
    ragged = np.empty(5, object)
    ragged[:] = [[1], [0, 2], [], [1], [3]]
    return ragged


def damaged_names() -> Any:
    names = np.array(list("abcde"))
    names.view(np.uint32)[2] = 2**31
    return names


REFUSED: dict[str, dict[str, Any]] = {
    "rgb.npy: row 3, frame 1: nan is not a finite float32 number": {"rgb": spoilt(3, 1, 2)},
    "rgb.npy: row 0, frame 0: inf is not a finite float32 number": {"rgb": spoilt(0, 0, 0, value=1e39)},
    r"rgb.npy: features are floats, or bytes \(uint8\), got int64": {"rgb": RGB.astype(int)},
    r"rgb.npy: features are \(videos, frames, features\) or .* got \(5,\)": {"rgb": RGB[:, 0, 0]},
    "audio.npy has 4": {"rgb": RGB, "audio": RGB[:4]},
    "y.npy has 6": {"rgb": RGB, "labels": np.zeros(6, int)},
    "names.npy has 2": {"rgb": RGB, "id": np.array(["a", "b"])},
    "rows 1 and 4 have the same name, 'b'": {"rgb": RGB, "id": np.array(list("abcdb"))},
    "row 2: the name of the video is empty": {"rgb": RGB, "id": np.array(["a", "b", "", "d", "e"])},
    "names.npy: must be names": {"rgb": RGB, "id": RGB},
    "names.npy: the names of videos are damaged: .* not a character": {"rgb": RGB, "id": damaged_names()},
    "y.npy: row 2: -7 is not the number of a class": {"rgb": RGB, "labels": np.array([0, 1, -7, 1, 2])},
    "y.npy: row 1: 0.5 is not the number of a class": {"rgb": RGB, "labels": np.array([0, 0.5, 1, 1, 2])},
    "y.npy: row 3: nan is not the number of a class": {"rgb": RGB, "labels": np.array([0, 1, 1, np.nan, 2])},
    "y.npy: row 4, column 2: 0.3 is neither 0 nor 1": {"rgb": RGB, "labels": np.eye(5, 3) + 0.3 * (np.indices((5, 3)).sum(0) == 6)},
    "y.npy: row 1, column 0: 7 is neither 0 nor 1": {"rgb": RGB, "labels": np.array([[0, 1], [7, 1]] + [[0, 0]] * 3)},
    "y.npy: damaged, or an array of Python objects, .* lists as JSON": {"rgb": RGB, "labels": objects()},
    r"l.npy: row 2: 5 valid frames; .*rgb.npy has 4 a video": {"rgb": RGB, "lengths": np.array([4, 0, 5, 1, 1])},
    "l.npy: row 0: -1 valid frames": {"rgb": RGB, "lengths": np.array([-1, 0, 4, 1, 1])},
    r"l.npy: must be integers \(5\)": {"rgb": RGB, "lengths": np.ones(5)},
    r"m.npy: must be a mask \(5, 4\)": {"rgb": RGB, "mask": np.ones((5, 3))},
    "m.npy: row 4, frame 1: 2 is neither 0 nor 1": {"rgb": RGB, "mask": np.ones((5, 4), int) + (np.indices((5, 4)).sum(0) == 5) * (np.arange(5) == 4)[:, None]},
    "rgb: lengths and mask both say": {"rgb": RGB, "mask": np.ones((5, 4)), "lengths": np.ones(5, int)},
    "l.npy: .*rgb.npy has no frames": {"rgb": RGB[:, 0], "rgb.lengths": np.ones(5, int)},
    "audio.lengths belongs to no input; the inputs are rgb": {"rgb": RGB, "audio.lengths": np.ones(5, int)},
    "'output' can't be the name of an input": {"rgb": RGB, "output": RGB},
    "'my rgb' can't be the name of an input": {"my rgb": RGB},
    "no features are given, only labels": {"labels": np.zeros(5, int)},
}  # fmt: skip
FILES = {"rgb": "rgb", "audio": "audio", "labels": "y", "id": "names", "lengths": "l", "mask": "m", "rgb.lengths": "l"}


class OnADevice:
    """A tensor that NumPy can't read, as those that need gradients or are on a device."""

    def __array__(self, *given: Any, **named: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


@pytest.mark.parametrize(
    ("message", "arrays"),
    [
        ("the array 'rgb': can't be read as an array: Can't call numpy", {"rgb": OnADevice()}),
        ("the array 'rgb': row 1: can't be read as an array", {"rgb": [[[1.0]], [[1.0], [2.0, 3.0]]]}),
        ("the array 'rgb': some values of the array are masked", {"rgb": np.ma.masked_array(RGB, RGB > 0)}),
        (
            "the array 'labels': some values of the array are masked",
            {"rgb": RGB, "labels": np.ma.masked_equal(range(5), 3)},
        ),
        (r"the array 'rgb': row 1: holds \(1, 2\), the first video \(1, 1\)", {"rgb": [[[1.0]], [[2.0, 3.0]]]}),
        ("the array 'rgb': must be an array, a sequence of arrays or a file, got int", {"rgb": 5}),
        ("the array 'labels': row 1: can't be read as an array", {"rgb": RGB, "labels": [0, [[1], [2, 3]], 1, 1, 1]}),
        ("the array 'labels': can't be read as an array: Can't call", {"rgb": RGB, "labels": OnADevice()}),
        ("the array 'labels': must be an array, a list for each video or a file", {"rgb": RGB, "labels": {1, 2}}),
        ("the array 'lengths': can't be read as an array", {"rgb": RGB, "lengths": [[1], [2, 3]]}),
        ("the array 'id': row 1: the name of a video must be a text, got None", {"rgb": RGB, "id": ["a", None]}),
        ("there is no file nowhere.npy", {"rgb": "nowhere.npy"}),
        ("nowhere.csv: can't be read", {"rgb": RGB, "labels": "nowhere.csv"}),
    ],
)
def test_values_in_memory_are_refused_in_one_line(message: str, arrays: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        acz.write_data(tmp_path / "d", {"train": arrays}, progress=SILENT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("message", REFUSED)
def test_a_bad_array_is_refused_with_file_row_and_value(message: str, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for name, value in REFUSED[message].items():
        arrays[name] = tmp_path / f"{FILES.get(name, 'other')}.npy"
        np.save(arrays[name], value, allow_pickle=True)
    with pytest.raises(DataError, match=message) as caught:
        acz.write_data(tmp_path / "d", {"train": arrays}, progress=SILENT)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "d" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("y.csv", "1\n2\ncat\n0\n1\n", "y.csv: line 3: 'cat' is not the number of a class"),
        ("y.csv", "id,label\na,1\nb,2\nc,x\nd,1\ne,1\n", "y.csv: line 4: 'x' is not the number of a class"),
        ("y.csv", "id,label\na,1\nb,0_9\n", "y.csv: line 3: '0_9' is not the number of a class"),
        ("y.csv", "id,label\na,1\n\nb,-2\nc,1\nd,1\ne,1\n", "y.csv: line 4: -2 is not the number of a class"),
        ("y.csv", "id,label\na,1\nb\n", "y.csv: line 3: has 1 columns, the first line 2"),
        ("y.csv", "id,kind\na,1\n", "its first line must be classes, or the titles of columns, such as id,label"),
        ("y.csv", "id,label\na,1\nb,2\n", "y.csv has 2"),
        ("y.csv", "id,label\na,1\nb,2\nb,1\nc,1\nd,1\n", "rows 1 and 2 have the same name, 'b'"),
        ("y.csv", "\n", "y.csv: holds no labels"),
        ("y.txt", "1.5\n1\n1\n1\n1\n", "y.txt: line 1: '1.5' is not the number of a class"),
        ("y.json", "{", "y.json: is not JSON"),
        ("y.json", "3", "must hold a list with the labels of each video"),
        ("y.json", '[1, 2, "cat", 0, 1]', "y.json: row 2: 'cat' is not the number of a class"),
        ("y.json", "[[1], [2, 0.5], [], [0], [1]]", r"y.json: row 1: \[2, 0.5\] is not the number of a class"),
        ("y.json", "[[1], [[2]], [], [0], [1]]", r"y.json: row 1: \[\[2\]\] is not the number of a class"),
        ("y.json", "[[0, 1], [1, 0], [0, 1], [1, 0], [0, 1]]", "can be read as zeros and ones for two classes, and as"),
        ("y.xml", "<a/>", "labels are read from .npy, .json, .csv, .tsv and .txt files"),
    ],
)
def test_a_bad_label_file_is_refused_with_line_and_value(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        acz.write_data(tmp_path / "d", {"train": {"rgb": RGB, "labels": tmp_path / name}}, progress=SILENT)
    assert not (tmp_path / "d").exists()


def test_splits_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    cases: dict[str, dict[str, Any]] = {
        r"'rgb' must be alike in all splits: train has float32 \(3,\), test has float32 \(2,\)": {"rgb": RGB[:, :, :2]},
        r"train has float32 \(3,\), test has uint8 \(3,\)": {"rgb": RGB.astype(np.uint8)},
        r"'audio' must be alike in all splits: train has no, test has": {"rgb": RGB, "audio": RGB},
        "the columns are .* 5 and .* 4": {"rgb": RGB, "labels": np.eye(5, 4)},
    }
    for message, test in cases.items():
        train = {"rgb": RGB, "labels": np.eye(5)}
        with pytest.raises(DataError, match=message):
            acz.write_data(tmp_path / "d", {"train": train, "test": test}, progress=SILENT)
    with pytest.raises(DataError, match=r"row 3: class 9 is beyond the 5 classes, 0 \.\. 4"):
        acz.write_data(tmp_path / "d", {"train": {"rgb": RGB, "labels": [0, 1, 2, 9, 1]}}, classes=5, progress=SILENT)
    for labels in ([0, 1, 2, 10**9, 1], [[0], [1], [], [10**9], [1]]):
        with pytest.raises(DataError, match=r"row 3: class 1000000000; at most 10,000,000 classes are possible"):
            acz.write_data(tmp_path / "d", {"train": {"rgb": RGB, "labels": labels}}, progress=SILENT)
    with pytest.raises(DataError, match="no split is given"):
        acz.write_data(tmp_path / "d", {}, progress=SILENT)
    with pytest.raises(DataError, match=r"'\.\./x' can't be the name of a split"):
        acz.write_data(tmp_path / "d", {"../x": {"rgb": RGB}}, progress=SILENT)
    for share in (0.0, 0.05, 0.95, 1.0):
        with pytest.raises(DataError, match=r"of 5 videos is [05]; hold out at least one, and not all"):
            acz.write_data(tmp_path / "d", {"train": {"rgb": RGB}}, hold_out=share, progress=SILENT)
    for given in ({"test": {"rgb": RGB}}, {"train": {"rgb": RGB}, "validation": {"rgb": RGB}}):
        with pytest.raises(SpecError, match="makes a split 'validation' of the split 'train'"):
            acz.write_data(tmp_path / "d", given, hold_out=0.5, progress=SILENT)
    with pytest.raises(SpecError, match="classes must be a whole number"):
        acz.write_data(tmp_path / "d", {"train": {"rgb": RGB}}, classes=0, progress=SILENT)
    assert not (tmp_path / "d").exists()


def test_a_folder_of_videos_is_refused_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    given = {"train": {"rgb": str(tmp_path / "v")}}
    with pytest.raises(DataError, match=r"v: holds no \.npy files, one a video"):
        acz.write_data(tmp_path / "d", given, progress=SILENT)
    np.save(tmp_path / "v/a.npy", RGB[0])
    for value, message in (
        (RGB[0, :, :2], r"b.npy: holds \(4, 2\), the first video \(4, 3\)"),
        (RGB[0] > 1, "got bool"),
    ):
        np.save(tmp_path / "v/b.npy", value)
        with pytest.raises(DataError, match=message):
            acz.write_data(tmp_path / "d", given, progress=SILENT)
    (tmp_path / "rgb.pt").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"rgb\.pt: features are read from \.npy files"):
        acz.write_data(tmp_path / "d", {"train": {"rgb": tmp_path / "rgb.pt"}}, progress=SILENT)


def test_an_interrupted_call_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SHARD_VIDEOS", 2)
    path = tmp_path / "rgb.npy"
    np.save(path, spoilt(4, 0, 0))
    given = {"train": {"rgb": path, "labels": [0, 1, 2, 3, 4]}}
    with pytest.raises(DataError, match="row 4, frame 0: nan"):
        acz.write_data(tmp_path / "d", given, progress=SILENT)
    with pytest.raises(DataError, match="holds no finished data set"):
        read_manifest(tmp_path / "d")
    np.save(path, RGB + 1)
    with pytest.raises(DataError, match=r"begun with other settings \(splits was"):
        acz.write_data(tmp_path / "d", {"train": {"rgb": path}}, progress=SILENT)
    acz.write_data(tmp_path / "d", given, progress=SILENT)
    split = Split(tmp_path / "d", "train")
    np.testing.assert_array_equal(split.take(np.arange(5), ["rgb"]).inputs["rgb"], RGB + 1)
    with pytest.raises(DataError, match="holds a finished data set"):
        acz.write_data(tmp_path / "d", given, progress=SILENT)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other files"):
        acz.write_data(tmp_path / "other", given, progress=SILENT)
    assert json.loads((tmp_path / "d/settings.json").read_text())["splits"]["train"]["rgb"] == str(path)
