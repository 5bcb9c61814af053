"""LiteRT's file with narrower weights: proved against bounds of their own, which a mistake leaves; and its limits."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend.signature import Form, metadata
from acz.backend.worker import Worker
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import Check, verify
from acz.foundation.arrays import Arrays
from acz.foundation.processes.job_process import JobFailed
from acz.model.checkpoint import save_checkpoint
from acz.model.spec import Spec
from acz.reference.samples import Case
from parity_tests.conftest import FORMATS, require_format

pytestmark = pytest.mark.slow

SPEC = Spec.from_dict(
    {
        "inputs": {"x": {"frames": 6, "features": 64}, "image": {"shape": [8, 12, 12]}},
        "streams": {
            "attention": {
                "input": "x",
                "layers": {"attention": {"type": "attention_cluster", "units": 16, "hidden": 32}},
            },
            "circulant": {
                "input": "x",
                "layers": {
                    "wide": {"type": "circulant_dense", "units": 96, "diagonal": "learned", "product": "fft"},
                    "pool": {"type": "frame_pool", "pooling": ["mean"]},
                },
            },
            "image": {
                "input": "image",
                "layers": {"conv": {"type": "conv2d", "filters": 16, "size": 3}, "flat": {"type": "flatten"}},
            },
        },
        "trunk": {"norm": {"type": "batch_norm"}, "logits": {"type": "dense", "units": 40}},
        "output": "none",
    }
)
"""A model with every kind of weight that int8 holds as int8: of dense layers, convolutions and circulant products."""


@pytest.fixture(scope="module")
def check(worker: Callable[[str], Worker], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Check]]:
    """Write the model as a LiteRT file of one form, and compare it with the reference of the same or other weights."""
    require_format("tflite")
    folder = tmp_path_factory.mktemp("tflite")

    def run(form: Form, written: Arrays, compared: Arrays | None = None) -> tuple[list[Check], Path]:
        source, made = folder / "source.safetensors", folder / f"{len(list(folder.iterdir()))}.tflite"
        save_checkpoint(source, SPEC, written)
        worker("tensorflow").run(write_artefact, ArtefactArguments(source, made, "export_tflite", form))
        (script,) = FORMATS["tflite"].scripts().values()
        with Runtime("tflite", script) as runtime:
            checks, about = verify(SPEC, compared or written, made, runtime, timed=False, form=form)
        assert not {"acz", "tensorflow"} & set(about["modules"]), "LiteRT is alone in its process"
        return checks, made

    return run


@pytest.fixture(scope="module")
def weights() -> Arrays:
    return {path: value.astype(np.float32) for path, value in Case("tflite", SPEC, "hinge").parameters.items()}


@pytest.mark.parametrize(("name", "share"), [("float32", 1.0), ("float16", 0.5), ("int8", 0.25)])
def test_each_type_of_weights_keeps_its_bound_and_makes_the_file_smaller(
    name: str, share: float, check: Callable[..., Any], weights: Arrays
) -> None:
    form = Form.of(name)
    checks, made = check(form, weights)
    assert not [result for result in checks if not result.passed]
    least, most = {"float32": (0, 3e-5), "float16": (1e-5, 2e-2), "int8": (5e-4, 0.2)}[name]
    assert least < max(result.measured for result in checks), "the weights are rounded"
    assert max(result.bound for result in checks) < most, "the bound is one that a mistake leaves"
    numbers = SPEC.parameter_count + 64 * 96  # the circulant product is a matrix in the file
    assert made.stat().st_size < share * 4 * numbers + 30_000
    with zipfile.ZipFile(made) as archive:
        assert "acz.json" in archive.namelist(), "unzip gives the spec"


@pytest.mark.parametrize("name", ["float16", "int8"])
@pytest.mark.parametrize("path", ["trunk.logits.weight", "image.conv.weight", "circulant.wide.weight"])
def test_a_mistake_leaves_the_bound_of_narrow_weights(
    name: str, path: str, check: Callable[..., Any], weights: Arrays
) -> None:
    wrong = {**weights, path: np.roll(weights[path], 1, axis=-1)}
    checks, _ = check(Form.of(name), wrong, weights)
    assert [result for result in checks if not result.passed]


def test_the_texts_of_the_file_say_its_form(check: Callable[..., Any], weights: Arrays) -> None:
    texts = metadata(SPEC, Form.of("int8", "uint8"))
    assert (texts["acz.weights"], texts["acz.masks"]) == ("int8", "uint8")
    checks, _ = check(Form.of("int8", "uint8"), weights)
    assert not [result for result in checks if not result.passed]


@dataclass(frozen=True)
class LargeArguments:
    """A model, a folder, and the most bytes of weights."""

    spec: Spec
    folder: Path
    largest: int


def export_large(backend: Any, arguments: LargeArguments, arrays: Any) -> tuple[None, Arrays]:
    """A job: an export with our limit at `largest`."""
    from acz_tensorflow import export as module

    kept, module.LARGEST = module.LARGEST, arguments.largest
    try:
        module.export_tflite(backend.build(arguments.spec, "CPU", "float32"), arguments.folder / "m.tflite", {})
    finally:
        module.LARGEST = kept
    return None, {}


def test_what_the_file_cannot_hold_is_refused(worker: Callable[[str], Worker], tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="LiteRT's converter takes at most 2"):
        worker("tensorflow").run(export_large, LargeArguments(SPEC, tmp_path, 1000))
    assert not list(tmp_path.iterdir())
