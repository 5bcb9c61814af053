"""Flash-MNIST made with another extractor of the zoo, and the rule that needs no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.worker import Worker
from acz.data.flash_mnist.labels import digits_of
from acz.data.flash_mnist.videos import NOISE, Frames
from acz.data.folder import Split
from acz.foundation.arrays import Arrays
from parity_tests.conftest import require
from parity_tests.run_cases import type_command

pytestmark = pytest.mark.slow

WORDS = ("data", "flash-mnist", "--out", "data", "--backend", "torch", "--test-videos-per-label", 1, "--epochs", 1)
MADE = (*WORDS, "--videos-per-label", 1, "--extractor", "flash_mnist/deep_extractor", "--json")


def read_frames(backend: Any, folder: str, arrays: Arrays) -> tuple[list[list[int]], Arrays]:
    """A job: the classes that the extractor reads from the frames of every test video, and its features."""
    import torch

    module = acz.load(f"{folder}/extractor/best.safetensors", "torch").eval()
    frames, labels = Frames(Path(folder), None), Split(Path(folder), "test").take(np.arange(1024), []).labels
    with torch.no_grad():
        pixels = (frames.make("test", number, label)[:, None] for number, label in enumerate(labels))
        classes = [module(torch.from_numpy(frame)).argmax(dim=1).tolist() for frame in pixels]
    return classes, {}


def test_another_extractor_of_the_zoo_makes_the_features(tmp_path: Path, worker: Callable[[str], Worker]) -> None:
    """The rule's figure follows from the extractor's reading of the frames themselves, drawn again."""
    require("torch")
    made = type_command(*MADE, cwd=tmp_path, threads=2)
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout)
    assert facts["extractor_model"] == "flash_mnist/deep_extractor"
    assert f"{facts['rule_top1']:.2%} of the test videos are right" in made.stderr
    other = type_command(*WORDS, "--videos-per-label", 1, cwd=tmp_path, threads=2)
    assert other.returncode == 2
    assert "extractor_model" in other.stderr

    classes, _ = worker("torch").run(read_frames, str(tmp_path / "data"))
    right = [sorted(set(read) - {NOISE}) == digits_of(label) for label, read in enumerate(classes)]
    assert 0 < sum(right) < 1024
    assert facts["rule_top1"] == sum(right) / 1024
