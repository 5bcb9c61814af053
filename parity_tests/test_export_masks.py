"""The mask inputs of every format: booleans, numbers or none at all, and no mask of another shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from acz.backend.signature import Form, ports
from acz.backend.worker import Worker
from acz.exchange.artefacts.formats import BackendMaker
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import batches, verify
from acz.foundation.processes.job_process import JobFailed
from acz.model.checkpoint import save_checkpoint
from acz.parity.cases import cases
from parity_tests.conftest import FORMATS, require_format

pytestmark = pytest.mark.slow

NATIVE = {name: made for name, made in FORMATS.items() if isinstance(made, BackendMaker)}
(CASE,) = cases("layers/moments")
"""Moments of all frames, and of bags of them."""
REFUSALS = {"pt2": "(?i)guard|expected", "tflite": "(?i)concat|failed to (reshape|prepare)"}
"""Words of the errors for a mask of another shape, where they do not name the concatenation."""


@pytest.fixture
def made(worker: Callable[[str], Worker], tmp_path: Path) -> Callable[[str, Form], Path]:
    def of(name: str, form: Form) -> Path:
        require_format(name)
        source, out = tmp_path / "source.safetensors", tmp_path / f"artefact{NATIVE[name].suffix}"
        save_checkpoint(source, CASE.spec, {path: v.astype(np.float32) for path, v in CASE.parameters.items()})
        arguments = ArtefactArguments(source, out, NATIVE[name].artefact.function, form)
        worker(NATIVE[name].participant).run(write_artefact, arguments)
        return out

    return of


@pytest.fixture(scope="module")
def runtimes() -> Iterator[Callable[[str], Runtime]]:
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(Runtime(name, NATIVE[name].scripts()[""])))


@pytest.mark.parametrize("masks", ["uint8", "none"])
@pytest.mark.parametrize("name", NATIVE)
def test_masks_come_as_numbers_or_not_at_all(
    name: str, masks: str, made: Callable[[str, Form], Path], runtimes: Callable[[str], Runtime]
) -> None:
    form = Form.of(masks=masks)
    artefact = made(name, form)
    checks, _ = verify(CASE.spec, CASE.parameters, artefact, runtimes(name), timed=False, form=form)
    assert not [check for check in checks if not check.passed]


@pytest.mark.parametrize("name", NATIVE)
def test_a_mask_of_another_shape_is_refused(
    name: str, made: Callable[[str, Form], Path], runtimes: Callable[[str], Runtime]
) -> None:
    artefact, runtime = made(name, Form()), runtimes(name)
    inputs = batches(CASE.spec)["padded"]
    for port in (port for port in ports(CASE.spec) if port.is_mask):
        mask = inputs[port.name]
        for wrong in (mask[:1, :1], mask[:1], mask[:, :1], mask[:, :-1], mask[:-1].T):
            with pytest.raises(JobFailed, match=REFUSALS.get(name, "(?i)concat")):
                runtime.run(artefact, {"wrong": {**inputs, port.name: np.ascontiguousarray(wrong)}})
    outputs, _ = runtime.run(artefact, {"right": inputs})
    assert np.isfinite(outputs["right"]["output"]).all()
