"""Files of predictions as other programs write them: read, matched by id, or refused with the place of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.evaluation.ensemble import average
from acz.evaluation.metrics import top_classes
from acz.evaluation.prediction_reader import read_predictions
from acz.evaluation.predictions import HEADER, Part, join, write_part
from acz.foundation.errors import DataError
from tests.prediction_cases import read, saved


def test_files_that_are_no_predictions_are_refused(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.npz", ["x", "y"], [[3, 1], [0, 2]], [[0.75, 0.5], [1, 0.5]])
    cases: dict[str, Any] = {
        "occurs twice": (["x", "x"], [[3], [1]], [[1], [1]]),
        "has a label twice": (["x", "y"], [[3, 2], [1, 1]], [[1, 0], [1, 0]]),
        "a label below 0": (["x"], [[-2]], [[1]]),
        "a score that is not finite": (["x"], [[2]], [[np.nan]]),
        r"not \(n\), \(n, k\)": (["x", "y"], [[2]], [[1]]),
    }
    for message, arrays in cases.items():
        with pytest.raises(DataError, match=message):
            list(read_predictions(saved(tmp_path / "bad.npz", *arrays)))
    np.savez(tmp_path / "object.npz", ids=np.array([{}]), labels=np.ones((1, 1)), scores=np.ones((1, 1)))
    np.savez(tmp_path / "text.npz", ids=np.array(["x"]), labels=np.array([["a"]]), scores=np.ones((1, 1)))
    np.savez(tmp_path / "other.npz", features=np.ones(3))
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:-40])
    damaged = np.array(["x", "yz"])
    damaged.view(np.uint32)[-1] = 0xFF0000
    with pytest.raises(
        DataError, match=r"damaged, or not a file of predictions .*16,711,680, which is not a character"
    ):
        list(read_predictions(saved(tmp_path / "bad.npz", damaged, [[3], [1]], [[1], [1]])))
    lines = {
        "empty": "",
        "other": "a,b\n",
        "odd": HEADER + "x,1\n",
        "no": HEADER + "x,1 y\n",
        "far": HEADER + "x,1e3 1\n",
    }
    lines |= {"twice": HEADER + "x,1 1 1 0.5\n", "big": HEADER + f"x,{2**70} 1\n", "nan": HEADER + "x,1 nan\n"}
    for name, text in lines.items():
        (tmp_path / f"{name}.csv").write_text(text)
    names = [
        "object.npz",
        "text.npz",
        "other.npz",
        "cut.npz",
        "none.csv",
        *(f"{name}.csv" for name in lines),
    ]
    for name in names:
        with pytest.raises(DataError):
            list(read_predictions(tmp_path / name))


PLAIN = HEADER + "a,1 0.5 0 0.25\nb,0 0.75 1 0.5\n"
JSON_LINES = "".join(
    json.dumps({"id": name, "labels": [{"label": label, "score": score} for label, score in pairs]}) + "\n"
    for name, pairs in (("a", [(1, 0.5), (0, 0.25)]), ("b", [(0, 0.75), (1, 0.5)]))
)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n") + "\r\n\n",
        '\ufeff"VideoId","LabelConfidencePairs"\n"a","1 0.5 0 0.25"\n\n"b","0 0.75 1 0.5"',
        PLAIN.replace(",", ", ", 1),
        JSON_LINES,
        "\ufeff" + JSON_LINES.replace("\n", "\r\n") + "\n",
    ],
)
def test_text_files_are_read_as_other_programs_write_them(content: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(content.encode())
    part = read(tmp_path / "p.txt")
    assert part.ids == ["a", "b"]
    assert part.labels.tolist() == [[1, 0], [0, 1]]
    assert part.scores.tolist() == [[0.5, 0.25], [0.75, 0.5]]


def test_quoted_fields_have_any_length(tmp_path: Path) -> None:
    pairs = " ".join(f"{label} 0.123456" for label in range(20_000))
    (tmp_path / "p.csv").write_text(f'{HEADER}"a ""b"", c","{pairs}"\n')
    part = read(tmp_path / "p.csv")
    assert part.ids == ['a "b", c']
    assert part.labels.tolist() == [list(range(20_000))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PLAIN + "c,-1 0.5\n", "p.txt: line 4: -1 is not a label"),
        (PLAIN + "c,1 inf\n", "p.txt: line 4: video 'c' has a score that is not finite: inf"),
        (PLAIN + "c,1 0_9\n", "p.txt: line 4: '0_9' is not a number"),
        (PLAIN + "\nc,1_0 0.9\n", "p.txt: line 5: '1_0' is not a number"),
        (PLAIN + "c,1 \u0663\n", "p.txt: line 4: '\u0663' is not a number"),
        (PLAIN + "c,x 0.9\n", "p.txt: line 4: 'x' is not a label"),
        (PLAIN + f"c,{2**70} 0.9\n", f"p.txt: line 4: {2**70} is not a label"),
        (PLAIN + "c;1 0.9\n", "p.txt: line 4: it must be an id, a comma"),
        (JSON_LINES + '{"id": "c"}\n', "p.txt: line 3: it must be an object with 'id'"),
        (
            JSON_LINES + '{"id": "c", "labels": [{"label": 1, "score": "0.5"}]}\n',
            "p.txt: line 3: .* must have a 'label'",
        ),
        (JSON_LINES + '{"id": "c", "labels": [{"label": -1, "score": 0.5}]}\n', "p.txt: line 3: -1 is not a label"),
        (JSON_LINES + '{"id": "c", "labels": [{"label": 1, "score": Infinity}]}\n', "p.txt: line 3: .*not finite: inf"),
        (JSON_LINES + "{\n", "p.txt: line 3: is not JSON"),
        ("VideoId;LabelConfidencePairs\n", "its first line is not VideoId,LabelConfidencePairs"),
    ],
)
def test_a_bad_row_is_refused_with_file_line_and_value(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "p.txt")


def test_ids_of_any_bytes_survive_every_kind_of_file(tmp_path: Path) -> None:
    ids = ["plain", "Pok\u00e9mon \u30dd\u30b1", b"\xff\xe9".decode("utf-8", "surrogateescape")]
    part = Part(ids, np.array([[1], [0], [2]]), np.array([[0.5], [0.25], [0.75]]))
    for suffix in ("csv", "jsonl", "npz"):
        write_part(tmp_path / f"part.{suffix}", [part])
        join([tmp_path / f"part.{suffix}"], tmp_path / f"whole.{suffix}", suffix)
        again = read(tmp_path / f"whole.{suffix}")
        assert again.ids == ids
        assert again.scores.tolist() == part.scores.tolist()
    assert b"\n\xff\xe9,2 0.75\n" in (tmp_path / "whole.csv").read_bytes()
    json.loads((tmp_path / "whole.jsonl").read_bytes().splitlines()[2].decode("utf-8"))


@pytest.mark.parametrize("kind", ["npz", "csv", "jsonl"])
def test_predictions_are_matched_by_id(kind: Any, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    labels, scores = top_classes(source.integers(0, 64, (9000, 30)).astype(np.float32) / 64, 6)
    ids, order = np.array([f"v{i}" for i in range(9000)]), source.permutation(9000)
    for name, rows in (("first", np.arange(9000)), ("shuffled", order), ("reversed", np.arange(9000)[::-1])):
        write_part(tmp_path / f"part.{kind}", [Part(ids[rows].tolist(), labels[rows], scores[rows])])
        join([tmp_path / f"part.{kind}"], tmp_path / f"{name}.{kind}", kind)
    files = [tmp_path / f"{name}.{kind}" for name in ("first", "shuffled", "reversed")]
    assert average(files, tmp_path / "out.npz", "npz") == 9000
    with np.load(tmp_path / "out.npz") as averaged:
        assert averaged["ids"].tolist() == ids.tolist()
        assert np.array_equal(averaged["labels"], labels)
        np.testing.assert_allclose(averaged["scores"], scores, rtol=1e-12)
