"""A backend in a distribution of its own, which nothing in acz names, is installed and compared as the others are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend.helpers import PER_VIDEO, loss_per_video
from acz.model.losses import LOSSES, UNRATED
from acz.parity.contract.promises import PROMISES

ROOT = Path(__file__).parent.parent
MODEL = "flash_mnist/attention_cluster"
Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """Type `acz` where the outside distribution is installed."""
    folder = tmp_path_factory.mktemp("outside")
    source = shutil.copytree(ROOT / "tests/outside_backend", folder / "source")  # where pip may build
    install = (
        "pip install --quiet --no-index --no-deps --no-build-isolation --disable-pip-version-check --target".split()
    )
    subprocess.run([sys.executable, "-m", *install, str(folder / "installed"), str(source)], check=True)
    paths = [os.environ.get("PYTHONPATH", ""), str(folder / "installed")]

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "acz", *map(str, words)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def compared(answer: subprocess.CompletedProcess[str], level: int) -> list[dict[str, Any]]:
    return [check for check in json.loads(answer.stdout)["checks"] if check["level"] == level]


def test_nothing_in_acz_or_its_backends_names_it() -> None:
    for path in [*(ROOT / "acz").rglob("*.py"), *(ROOT / "backends").rglob("*.py"), ROOT / "pyproject.toml"]:
        assert "mirror" not in path.read_text(), path


def test_nothing_in_acz_or_its_backends_names_jax() -> None:
    for path in [*(ROOT / "acz").rglob("*.py"), *(ROOT / "backends").rglob("*.py")]:
        assert not re.search(r"acz[_-]jax|\bimport jax|from jax", path.read_text()), path


@pytest.mark.slow  # every framework that is installed is asked
def test_it_is_listed_with_what_it_is(typed: Typed) -> None:
    about = json.loads(typed("backends", "--json").stdout)["mirror"]
    assert about["installed"]
    assert about["devices"] == ["CPU"]
    assert about["versions"] == {"numpy": np.__version__}


@pytest.mark.slow  # some seconds; its export below is in the quick part
def test_it_passes_the_levels_of_parity_and_is_missing_where_it_has_no_artefact(typed: Typed) -> None:
    answer = typed("parity-check", MODEL, "--backends", "mirror", "--json")
    assert answer.returncode == 0, answer.stderr
    for level in (1, 2, 3, 4):
        rows = compared(answer, level)
        assert rows, level
        assert all(row["passed"] and row["backend"] == "mirror" for row in rows), level
    (row,) = compared(answer, 5)
    assert (row["passed"], row["missing"]) == (None, "mirror describes no artefact")


def test_it_keeps_every_promise(typed: Typed) -> None:
    answer = typed("backend-check", "mirror", "--json")
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["passed"]
    assert len(document["promises"]) == len(PROMISES)


def test_its_export_is_compared_in_its_own_runtime(typed: Typed) -> None:
    answer = typed("parity-check", MODEL, "--backends", "mirror_export", "--level", 5, "--json")
    assert answer.returncode == 0, answer.stderr
    (row,) = compared(answer, 5)
    assert (row["check"], row["passed"]) == ("export mirror", True)
    assert 0 < row["measured"] <= row["bound"]


def test_a_mistake_in_it_is_found(typed: Typed) -> None:
    answer = typed(
        "parity-check", MODEL, "--backends", "mirror", "--level", 1, "--mutant", "transposed_weight", "--json"
    )
    assert answer.returncode == 1


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_the_helpers_are_the_references(loss: str) -> None:
    assert set(PER_VIDEO) == set(LOSSES)
    source = np.random.default_rng(0)
    logits = 5 * source.standard_normal((6, 4))
    output = 1 / (1 + np.exp(-logits))
    labels = source.integers(0, 4, 6) if LOSSES[loss].labels == "class" else source.integers(0, 2, (6, 4)).astype(float)
    if LOSSES[loss].takes_unrated:
        labels[:, 1] = UNRATED
    each = loss_per_video(np, loss, logits, output, labels)
    assert each.shape == (6,)
    whole = each.sum() if LOSSES[loss].is_sum else each.mean()
    np.testing.assert_allclose(whole, LOSSES[loss].reference(logits, output, labels), rtol=1e-12)
