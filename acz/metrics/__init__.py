"""Figures that say how good predictions are: top-1 and top-5 of ranked classes, and the metrics of YouTube-8M."""

from acz.metrics.accuracy import NOTHING, Accuracy
from acz.metrics.precision import Ties, average_precision
from acz.metrics.selection import top_classes
from acz.metrics.youtube8m import YouTube8MMetrics, best_first

__all__ = [
    "NOTHING",
    "Accuracy",
    "Ties",
    "YouTube8MMetrics",
    "average_precision",
    "best_first",
    "top_classes",
]
