"""The official calculator's formulation of YouTube-8M's metrics, and videos to count."""

from __future__ import annotations

import heapq
import random
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator

CLASSES, TOP_K = 3862, 20
BATCH = 1000
"""Videos in a batch."""


def batch_of(number: int) -> tuple[Array, Array]:
    """Scores and labels of a batch, (videos, classes): about three labels a video, most of them with high scores."""
    source = generator(0, "metrics", number)
    scores = source.random((BATCH, CLASSES), dtype=np.float32) ** 64
    labels = np.zeros((BATCH, CLASSES), np.uint8)
    place = np.repeat(np.arange(BATCH), source.integers(1, 7, BATCH))
    label = (source.random(len(place)) ** 3 * CLASSES).astype(np.int64)  # a long tail
    labels[place, label] = 1
    scores[place, label] = np.maximum(scores[place, label], source.random(len(place), dtype=np.float32) ** 0.1)
    return scores, labels


class Average:
    """Average precision as the official calculator has it: a heap of pairs, shuffled and sorted at the end."""

    def __init__(self) -> None:
        self.heap: list[tuple[Any, Any]] = []
        self.positives = 0

    def add(self, scores: list[Any], labels: list[Any], positives: int) -> None:
        self.positives += positives
        for score, label in zip(scores, labels, strict=True):
            heapq.heappush(self.heap, (score, label))

    def result(self) -> float:
        if not self.heap or not self.positives:
            return 0.0
        scores, labels = (np.array(part) for part in zip(*self.heap, strict=True))
        shuffled = random.Random(0).sample(range(len(scores)), len(scores))
        scores, labels = scores[shuffled], labels[shuffled]
        precision, hits = 0.0, 0.0
        for rank, place in enumerate(sorted(range(len(scores)), key=lambda n: scores[n], reverse=True), start=1):
            if labels[place] > 0:
                hits += 1
                precision += hits / rank / self.positives
        return precision


class Official:
    """The official calculator's formulation.

    It takes every video in turn in Python, with a partition for each figure and a heap for each class.
    """

    def __init__(self, classes: int, top_k: int) -> None:
        self.top_k, self.videos = top_k, 0
        self.hit_at_1 = self.perr = 0.0
        self.by_class, self.pooled = [Average() for _ in range(classes)], Average()

    def update(self, scores: Array, labels: Array) -> None:
        videos, classes = scores.shape
        self.videos += videos
        self.hit_at_1 += float(labels[np.arange(videos), scores.argmax(axis=1)].sum())
        triplets = []
        for own, present in zip(scores, labels, strict=True):
            count = int(present.sum())
            best = np.argpartition(own, -count)[-count:]
            self.perr += sum(float(present[label]) for label in best if own[label] > 0) / len(best)
            best = np.argpartition(own, -self.top_k)[-self.top_k :]
            triplets += [(label, own[label], present[label]) for label in best]
        pairs: list[tuple[list[Any], list[Any]]] = [([], []) for _ in range(classes)]
        for label, score, hit in triplets:
            pairs[label][0].append(score)
            pairs[label][1].append(hit)
        positives = [int(labels[:, label].sum()) for label in range(classes)]
        for average, (own, hits), count in zip(self.by_class, pairs, positives, strict=True):
            average.add(own, hits, count)
        all_scores = [score for own, _ in pairs for score in own]
        self.pooled.add(all_scores, [hit for _, hits in pairs for hit in hits], sum(positives))

    def result(self) -> dict[str, float]:
        return {
            "hit_at_1": self.hit_at_1 / self.videos,
            "perr": self.perr / self.videos,
            "map": sum(average.result() for average in self.by_class) / len(self.by_class),
            "gap": self.pooled.result(),
        }
