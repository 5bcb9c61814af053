"""Figures of predictions: top-1 and top-5 of ranked classes, and the metrics of YouTube-8M."""

from acz.evaluation.metrics.accuracy import Accuracy
from acz.evaluation.metrics.precision import Ties, average_precision
from acz.evaluation.metrics.youtube8m import YouTube8MMetrics
from acz.reference.ranking import NOTHING, best_first, top_classes

__all__ = [
    "NOTHING",
    "Accuracy",
    "Ties",
    "YouTube8MMetrics",
    "average_precision",
    "best_first",
    "top_classes",
]
