"""Files of predictions, written and read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from acz.evaluation.prediction_reader import read_predictions
from acz.evaluation.predictions import Part


def saved(path: Path, ids: list[str], labels: Any, scores: Any, kind: type = np.float32) -> Path:
    np.savez(path, ids=np.array(ids), labels=np.array(labels, np.int64), scores=np.array(scores, kind))
    return path


def read(path: Path) -> Part:
    [part] = read_predictions(path)
    return part
