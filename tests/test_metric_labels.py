"""The forms of labels that the metrics read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from acz.evaluation.metrics import YouTube8MMetrics, average_precision
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from tests.metric_cases import identical, of, videos_of


class Tensor:
    """An array of another library, which NumPy converts."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.values.astype(dtype or self.values.dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return iter(self.values)


@pytest.mark.parametrize("classes", [3, 5, 700])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_labels_are_read_alike_in_every_form(classes: int, dtype: Any) -> None:
    scores, labels = videos_of(12, 30, classes, 50)
    wanted = of(classes, 20, "acz", (scores, labels))
    labels = labels.astype(dtype)
    for form in (
        Tensor(labels),
        labels.tolist(),
        list(labels),
        [Tensor(row) for row in labels],
        [np.flatnonzero(row).tolist() for row in labels],
        [Tensor(np.flatnonzero(row)) for row in labels],
        tuple(map(tuple, labels.tolist())),
        csr_array(labels),
        [set(np.flatnonzero(row).tolist()) for row in labels],
        (np.flatnonzero(row) for row in labels),
    ):
        assert identical(of(classes, 20, "acz", (Tensor(scores), form)), wanted)
    assert identical(of(classes, 20, "acz", (scores, labels)), wanted)
    classes_of = scores.argmax(1)
    wanted = of(classes, 20, "acz", (scores, np.eye(classes)[classes_of]))
    for form in (classes_of, classes_of.tolist(), Tensor(classes_of), [Tensor(label) for label in classes_of]):
        assert identical(of(classes, 20, "acz", (scores, form)), wanted)


def test_the_reported_labels_have_the_figures_of_an_array() -> None:
    """The inputs of a public report, in which lists of zeros and ones gave a GAP of 0.5048, and a tensor one of 0."""
    scores = np.array([[0.9, 0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.8, 0.3, 0.4]], np.float32)
    rows = [[1, 0, 0, 0, 0], [0, 0, 1, 1, 0]]
    for given in (np.array(rows), rows, Tensor(rows), [np.array(row) for row in rows]):
        assert of(5, 20, "acz", (Tensor(scores), given))["gap"] == pytest.approx(0.8333, abs=5e-5)
    source = np.random.default_rng(0)
    many, labels = source.random((500, 3862)).astype(np.float32), np.zeros((500, 3862), np.uint8)
    for video in range(500):
        labels[video, source.integers(0, 3862, 3)] = 1
        many[video, labels[video] > 0] += 0.8
    for form in (labels, Tensor(labels)):
        assert of(3862, 20, "acz", (many, form))["gap"] == pytest.approx(0.7936, abs=5e-5)


def test_labels_that_can_be_read_in_two_ways_are_refused() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.7]], np.float32)
    with pytest.raises(DataError, match=r"pass them as a NumPy array \(2, 2\)"):
        of(2, 20, "acz", (scores, [[1, 0], [0, 1]]))
    with pytest.raises(DataError, match=r"labels must be numbers \(2, 2\)"):
        of(2, 20, "acz", (scores, Tensor(np.zeros((2, 3)))))
    assert of(2, 20, "acz", (scores, [[0], [1]]))["gap"] == 1.0


def test_labels_may_be_lists_of_classes_one_class_or_zeros_and_ones() -> None:
    scores, _ = videos_of(3, 6, 30, 50)
    labels = np.array([3, 0, 29, 7, 7, 1])
    forms = [labels, np.eye(30)[labels], np.eye(30, dtype=bool)[labels], [[n, n] for n in labels.tolist()]]
    wanted = of(30, 20, "acz", (scores, labels))
    assert all(identical(of(30, 20, "acz", (scores, form)), wanted) for form in forms)


class OnADevice:
    """A tensor that NumPy can't read."""

    def __array__(self, *given: Any, **named: Any) -> Any:
        raise TypeError("can't convert a tensor of a device")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({0: [0], 1: [2]}, r"labels must be an array \(2, 3\), or classes for each video; got dict"),
        (None, "got NoneType"),
        ("01", "got str"),
        ([[0]], "there are 2 videos, but the labels of 1 videos"),
        (OnADevice(), "labels: can't be read as an array: can't convert .*; pass a NumPy array"),
        (np.array([[0, 1, 0], [0, -1, 0]]), "video 1: its label of class 1 is -1"),
        (np.array([[0, np.nan, 0], [0, 1, 0]]), "video 0: its label of class 1 is nan"),
        (csr_array(np.eye(2)), r"labels must be numbers \(2, 3\), got float64 \(2, 2\)"),
        (np.ma.masked_equal([[0, 1, 0], [1, 0, 0]], 1), "labels: some values of the array are masked"),
    ],
)
def test_other_labels_are_refused(labels: Any, message: str) -> None:
    metrics = YouTube8MMetrics(3)
    with pytest.raises(DataError, match=message):
        metrics.update(np.ones((2, 3)), labels)
    assert len(metrics) == 0


def test_an_average_precision_of_scores_of_any_type() -> None:
    hits = np.array([0, 1, 0, 1])
    for scores in (np.array([-3, 5, 1, -1]), np.array([0.1, 0.9, 0.5, 0.3], np.float16), [0.1, 0.9, 0.5, 0.3]):
        assert average_precision(scores, hits) == (1 + 2 / 3) / 2
    for scores in ([0.1, np.nan, 0.5, 0.3], [0.1, 0.9, 0.5]):
        with pytest.raises(DataError, match=r"scores and hits must be \(predictions\) without NaN"):
            average_precision(np.array(scores), hits)
    with pytest.raises(DataError, match="scores: can't be read as an array"):
        average_precision(OnADevice(), hits)
