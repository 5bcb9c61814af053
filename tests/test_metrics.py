"""The metrics of YouTube-8M: the official calculator's numbers, any distribution of the videos, and hostile ones."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.evaluation.metrics import Ties, YouTube8MMetrics, average_precision, top_classes
from acz.evaluation.metrics.precision import descending
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from tests.metric_cases import identical, of, videos_of

FOLDER = Path(os.environ.get("ACZ_GOLDEN", Path(__file__).parent / "fixtures/metrics"))
GOLDEN = sorted(path.stem for path in FOLDER.glob("*.json") if json.loads(path.read_text()).get("kind") == "eval")


class Recorded:
    """Batches of scores, labels and losses, with the official calculator's results."""

    def __init__(self, name: str) -> None:
        config = json.loads((FOLDER / f"{name}.json").read_text())["config"]
        self.classes, self.top_k = config["classes"], config["top_k"]
        with np.load(FOLDER / f"{name}.npz") as file:
            held = {key: file[key] for key in file.files}
        count = sum(key.startswith("input/pred_") for key in held)
        self.batches = [tuple(held[f"input/{part}_{n}"] for part in ("pred", "label", "loss")) for n in range(count)]
        self.scores, self.labels = (np.concatenate([batch[part] for batch in self.batches]) for part in (0, 1))
        self.expected = {key.removeprefix("expected/"): v for key, v in held.items() if key.startswith("expected/")}

    def tied(self) -> set[str]:
        """The place of equal scores: at the `edge` of a video's best, at its `perr` edge, or anywhere in `selected`."""
        falling = -np.sort(-self.scores, axis=1)
        places = (self.labels > 0).sum(axis=1)
        rows = [row for row, n in enumerate(places) if 0 < n < self.classes and falling[row, n - 1] == falling[row, n]]
        names = {"perr"} if rows else set()
        if self.top_k < self.classes and (falling[:, self.top_k - 1] == falling[:, self.top_k]).any():
            names.add("edge")
        best = falling[:, : self.top_k].ravel()
        return names | ({"selected"} if len(np.unique(best)) < len(best) else set())


@pytest.mark.parametrize("ties", ["acz", "youtube-8m"])
@pytest.mark.parametrize("name", GOLDEN)
def test_gives_the_numbers_of_the_official_calculator(name: str, ties: Ties) -> None:
    recorded = Recorded(name)
    size = (recorded.classes, recorded.top_k, ties)
    every = of(*size, *recorded.batches)
    whole = of(*size, (recorded.scores, recorded.labels))
    single = [of(*size, batch) for batch in recorded.batches]
    tied = recorded.tied()
    ours: dict[str, Any] = {"avg_hit_at_one": every["hit_at_1"], "avg_loss": every["loss"]}
    ours |= {"batch_hit_at_one": [result["hit_at_1"] for result in single], "all_hit_at_one": whole["hit_at_1"]}
    if "perr" not in tied:
        ours |= {
            "batch_perr": [result["perr"] for result in single],
            "avg_perr": every["perr"],
            "all_perr": whole["perr"],
        }
    if "edge" not in tied and (ties == "youtube-8m" or "selected" not in tied):
        ours |= {"batch_gap": [result["gap"] for result in single], "gap": every["gap"], "all_gap": whole["gap"]}
        ours |= {"aps": every["average_precision"], "map_mean_of_aps": every["map_all_classes"]}
    if ties == "youtube-8m" or all(len(np.unique(own)) == len(own) for own in recorded.scores.T):
        columns = list(zip(recorded.scores.T, recorded.labels.T > 0, strict=True))
        ours["ap_static_all"] = [average_precision(own, hits, ties=ties) for own, hits in columns]
        ours["ap_at_5_static"] = [average_precision(own, hits, at=5, ties=ties) for own, hits in columns]
    for what, value in ours.items():
        np.testing.assert_allclose(value, recorded.expected[what], rtol=0, atol=1e-6, err_msg=what)


def test_there_are_fixtures_with_and_without_ties() -> None:
    tied = [Recorded(name).tied() for name in GOLDEN]
    assert set() in tied or "ACZ_GOLDEN" in os.environ
    assert {"selected"} in tied or "ACZ_GOLDEN" in os.environ


def plain(scores: Array, labels: Array, top_k: int) -> dict[str, Any]:
    """The definitions, a video and a prediction at a time."""
    videos, classes = scores.shape
    ranked = [sorted(range(classes), key=lambda c, own=own: (-own[c], c)) for own in scores]
    perr = 0.0
    for own, order, present in zip(scores, ranked, labels, strict=True):
        count = int(present.sum())
        perr += sum(bool(present[c]) and own[c] > 0 for c in order[:count]) / max(count, 1)
    pairs = [(-scores[v, c], c, v) for v in range(videos) for c in ranked[v][:top_k]]

    def precision(chosen: list[tuple[float, int, int]], positives: int) -> float:
        hits, total = 0, 0.0
        for rank, (_, c, v) in enumerate(sorted(chosen), start=1):
            if labels[v, c]:
                hits += 1
                total += hits / rank
        return total / max(positives, 1)

    by_class = [precision([pair for pair in pairs if pair[1] == c], int(labels[:, c].sum())) for c in range(classes)]
    return {
        "hit_at_1": np.mean([labels[v, ranked[v][0]] for v in range(videos)]),
        "perr": perr / videos,
        "gap": precision(pairs, int(labels.sum())),
        "map": np.mean(by_class),
        "average_precision": by_class,
    }


HOSTILE = {
    "ties everywhere": (*videos_of(0, 40, 30, 3), 20),
    "all scores zero": (np.zeros((20, 25), np.float32), videos_of(1, 20, 25, 2)[1], 20),
    "one class": (*videos_of(2, 9, 1, 4, 0.5), 20),
    "fewer classes than top_k": (*videos_of(3, 20, 7, 5), 20),
    "one prediction": (*videos_of(4, 30, 12, 50), 1),
    "no labels at all": (videos_of(5, 10, 30, 50)[0], np.zeros((10, 30), np.uint8), 20),
    "every label": (videos_of(6, 10, 30, 50)[0], np.ones((10, 30), np.uint8), 5),
    "classes never seen": (videos_of(7, 20, 30, 50)[0], np.eye(20, 30, dtype=np.uint8), 5),
    "negative scores": (-1 - videos_of(8, 20, 30, 50)[0], videos_of(8, 20, 30, 50)[1], 5),
    "infinities": (np.where(videos_of(9, 30, 30, 9)[0] > 0.4, np.inf, -np.inf), videos_of(9, 30, 30, 9)[1], 5),
    "many classes, few values": (*videos_of(10, 12, 700, 3, 0.02), 20),
    "many classes": (*videos_of(11, 12, 700, 10**6, 0.02), 20),
    "labels outside the best": (np.tile(np.arange(40, 0, -1, np.float32), (9, 1)), np.eye(9, 40, 30, np.uint8), 20),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_gives_what_the_definitions_say(case: str) -> None:
    scores, labels, top_k = HOSTILE[case]
    figures, wanted = of(scores.shape[1], top_k, "acz", (scores, labels)), plain(scores, labels, top_k)
    for name, value in wanted.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-12, atol=1e-15, err_msg=name)


def test_both_definitions_of_map_have_a_name() -> None:
    scores = np.array([[0.9, 0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.8, 0.35, 0.4]], np.float32)
    labels = np.array(
        [[1, 0, 0, 0, 0], [0, 0, 1, 1, 0]]
    )  # every label ranks first in its class, and two classes have none
    for ties, value in (("acz", 0.6), ("youtube-8m", 1.0)):
        figures = of(5, 20, ties, (scores, labels))
        assert figures["map"] == pytest.approx(value)
        assert figures["map_all_classes"] == pytest.approx(0.6)
        assert figures["map_labelled_classes"] == pytest.approx(1.0)
    nothing = of(5, 20, "youtube-8m", (scores, np.zeros_like(labels)))
    assert nothing["map"] == nothing["gap"] == 0


def counted(arguments: tuple[Array, Array, Array, Array]) -> YouTube8MMetrics:
    """The counts of one process for its videos."""
    scores, labels, numbers, loss = arguments
    metrics = YouTube8MMetrics(labels.shape[1], 5)
    metrics.update(scores, labels, numbers, loss)
    return metrics


@pytest.mark.parametrize("seed", range(20))
def test_is_the_same_to_the_last_bit_however_videos_are_dealt_out(seed: int) -> None:
    source = np.random.default_rng(seed)
    scores, labels = videos_of(seed, 60, 30, 4 if seed % 2 else 10**6)
    loss, numbers = source.standard_normal(60) * 10.0 ** source.integers(-9, 9, 60), source.permutation(60) * 3
    whole = counted((scores, labels, numbers, loss)).result()
    shares = np.split(source.permutation(60), np.sort(source.integers(0, 60, 5)))
    parts = []
    for share in shares:
        part = YouTube8MMetrics(30, 5)
        for piece in np.array_split(share, source.integers(1, 9)):
            part.update(scores[piece], labels[piece], numbers[piece], loss[piece])
        parts.append(part)
    merged = YouTube8MMetrics(30, 5)
    for place in source.permutation(len(parts)):
        merged.merge(parts[place])
    assert identical(merged.result(), whole)
    one_by_one = YouTube8MMetrics(30, 5)
    for video in range(60):
        one_by_one.update(scores[[video]], labels[[video]], numbers[[video]], loss[[video]])
    assert identical(one_by_one.result(), whole)


def test_merges_what_other_processes_counted() -> None:
    scores, labels = videos_of(0, 40, 30, 4)
    rows = [np.arange(start, 40, 2) for start in range(2)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        first, second = pool.map(counted, [(scores[r], labels[r], r, r / 7) for r in rows])
    second.merge(first)
    assert identical(second.result(), counted((scores, labels, np.arange(40), np.arange(40) / 7)).result())


def test_without_numbers_videos_follow_each_other() -> None:
    scores, labels = videos_of(0, 40, 30, 3)
    first, second = YouTube8MMetrics(30), YouTube8MMetrics(30)
    first.update(scores[:25], labels[:25])
    second.update(scores[25:], labels[25:])
    first.merge(second)
    assert identical(first.result(), of(30, 20, "acz", (scores, labels)))
    assert len(first) == 40
    assert len(second) == 15


@pytest.mark.parametrize("ties", ["acz", "youtube-8m"])
def test_takes_predictions_that_were_selected_elsewhere(ties: Ties) -> None:
    scores, labels = videos_of(3, 50, 40, 6)
    width = max(20, int(labels.sum(axis=1).max()))
    classes, best = top_classes(scores, width)
    shuffled = np.random.default_rng(0).permutation(width)
    metrics = YouTube8MMetrics(40, ties=ties)
    metrics.update_top(best[:, shuffled], classes[:, shuffled], [np.flatnonzero(own).tolist() for own in labels])
    assert identical(metrics.result(), of(40, 20, ties, (scores, labels)))


def test_what_was_not_given_counts_as_zero() -> None:
    metrics = YouTube8MMetrics(40)
    metrics.update_top(np.array([[0.5, 9.0], [0.9, 0.8]]), np.array([[3, -1], [5, 4]]), [[3, 7], [4]])
    figures = metrics.result()
    assert figures["hit_at_1"] == 0.5
    assert figures["perr"] == 0.25
    assert figures["gap"] == pytest.approx((1 / 2 + 2 / 3) / 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8])
def test_scores_of_any_type_rank_as_they_are(dtype: type) -> None:
    scores, labels = videos_of(5, 30, 20, 99)
    scores = np.round(np.abs(scores) * 99).astype(dtype)
    assert identical(of(20, 5, "acz", (scores, labels)), of(20, 5, "acz", (scores.astype(np.float32), labels)))


def test_float64_scores_that_float32_can_not_tell_apart_keep_their_order() -> None:
    metrics = YouTube8MMetrics(2, 1)
    metrics.update(np.array([[0.5, 0.1]], np.float32), [[1]])
    metrics.update(np.array([[0.5 + 1e-12, 0.1]]), [[0]])
    assert metrics.result()["gap"] == 0.5


def test_memory_is_some_bytes_a_prediction() -> None:
    metrics = YouTube8MMetrics(3862)
    for seed in range(20):
        metrics.update(*videos_of(seed, 50, 3862, 10**6, 1e-3))
    held = sum(metrics.rows[name].nbytes for name in metrics.rows.names())
    assert held == 1000 * (20 * (4 + 2 + 1) + 24)
    assert len(pickle.dumps(metrics)) < 2.1 * held + 2 * 8 * 3863, "with the memory that is reserved for more videos"


def test_python_s_random_generator_is_left_alone() -> None:
    random.seed(7)
    state = random.getstate()
    of(20, 5, "youtube-8m", videos_of(0, 20, 20, 3))
    assert random.getstate() == state


def test_what_is_wrong_is_named_and_nothing_is_counted() -> None:
    scores, labels = videos_of(0, 300, 30, 50)
    metrics = YouTube8MMetrics(30)
    broken = scores.copy()
    broken[250, 3] = np.nan
    lists = [[1]] * 300
    for message, arguments in {
        "video 1250: a score is NaN": (broken, labels, np.arange(300) + 1000),
        "video 299: its labels must be classes of 0 .. 29": (scores, [*lists[:-1], [30]]),
        "video 0: its labels must be": (scores, [[-1], *lists[1:]]),
        "the labels of 299 videos": (scores, lists[1:]),
        "labels must be numbers": (scores, labels[:, :29]),
        r"scores must be \(videos, 30\)": (scores[:, :29], labels),
        "scores must be numbers": (scores.astype(str), labels),
        "one for each video": (scores, labels, np.arange(3)),
        "the loss of video 0 is NaN": (scores, labels, None, np.full(300, np.nan)),
    }.items():
        with pytest.raises(DataError, match=message):
            metrics.update(*arguments)
    for message, classes in {
        "video 1: its classes must be different": [[1, 2], [3, 3]],
        "of 0 .. 29": [[1, 2], [3, 30]],
    }.items():
        with pytest.raises(DataError, match=message):
            metrics.update_top(np.ones((2, 2)), np.array(classes), lists[:2])
    assert len(metrics) == 0
    assert not metrics.positives.any()
    with pytest.raises(DataError, match="no videos"):
        metrics.result()


def test_a_video_that_was_counted_twice_is_named() -> None:
    scores, labels = videos_of(0, 3, 30, 50)
    metrics = YouTube8MMetrics(30)
    metrics.update(scores, labels, np.array([4, 9, 5]))
    metrics.update(scores[:1], labels[:1], np.array([9]))
    with pytest.raises(DataError, match="video 9 was counted twice"):
        metrics.result()


def test_what_does_not_belong_together_is_refused() -> None:
    metrics = YouTube8MMetrics(30)
    with pytest.raises(SpecError, match="can't be merged"):
        metrics.merge(YouTube8MMetrics(30, 5))
    metrics.update(*videos_of(0, 3, 30, 50), loss=np.ones(3))
    metrics.update(*videos_of(0, 2, 30, 50))
    with pytest.raises(DataError, match="2 of 5 videos have no loss"):
        metrics.result()
    for wrong in ({"classes": 0}, {"classes": 3, "top_k": 0}, {"classes": 3, "ties": "theirs"}):
        with pytest.raises(SpecError):
            YouTube8MMetrics(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 383, 384, 385, 1000])
def test_the_best_classes_are_those_of_a_full_sort(classes: int, dtype: type) -> None:
    source = np.random.default_rng(classes)
    for values in (2, 40, 10**9):
        scores = source.integers(0, values, (150, classes)).astype(dtype) - 5
        scores[source.random(scores.shape) < 0.1] = -np.inf
        scores[3], scores[4], scores[5] = -np.inf, np.inf, 0
        for count in {1, min(20, classes), classes}:
            order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
            best_scores, best = top_classes(scores, count)
            np.testing.assert_array_equal(best_scores, order)
            np.testing.assert_array_equal(best, np.take_along_axis(scores, order, axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_fall_and_equals_stay_in_place(dtype: type) -> None:
    source = np.random.default_rng(0)
    values = np.array([0, -0.0, np.inf, -np.inf, 1e-40, -1e-40, 3e38, -1, *source.standard_normal(9)], dtype)
    scores = source.choice(values, 3000)
    np.testing.assert_array_equal(descending(scores), np.argsort(-scores, kind="stable"))


def test_metrics_cross_processes_as_arrays() -> None:
    source = np.random.default_rng(2)
    scores, labels = source.random((30, 40), np.float32), source.random((30, 40)) < 0.1
    whole, first, second = (YouTube8MMetrics(40, top_k=7) for _ in range(3))
    whole.update(scores, labels, np.arange(30))
    first.update(scores[:12], labels[:12], np.arange(12))
    second.update(scores[12:], labels[12:], np.arange(12, 30))
    first.merge(YouTube8MMetrics.of_arrays(second.arrays(), 40, top_k=7))
    figures, wanted = first.result(), whole.result()
    assert figures.pop("average_precision").tolist() == wanted.pop("average_precision").tolist()
    assert figures == wanted
