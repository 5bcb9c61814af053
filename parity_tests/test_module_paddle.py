"""A PaddlePaddle module in the hands of its users: calls, masks, modes, programs, precisions, copies, optimisers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.backend.worker import Worker
from acz.foundation.arrays import Arrays
from acz.foundation.randomness import generator
from parity_tests.module_paddle import (
    CASES,
    CASTS,
    FFT,
    OF_LAYERS,
    WHOLE,
    call_in_every_way,
    cast,
    compute_narrowly,
    run_in_training,
    train_two,
    use_in_code,
)
from tests.conftest import TINY
from tests.documents import ROOT, read_blocks

pytestmark = pytest.mark.slow


def assert_alike(ours: Arrays, theirs: Arrays) -> None:
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        scale = max(1.0, float(np.abs(value).max()))
        assert np.abs(ours[name] - value).max() <= 4e-6 * scale, name


FORMS = [(name, "program") for name in [*OF_LAYERS, *WHOLE]]
FORMS += [(name, form) for name in WHOLE[1::2] for form in ("copy", "pickle")] + [(FFT, "traced bytecode")]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_a_step_is_the_same_in_every_form(name: str, form: str, worker: Callable[[str], Worker]) -> None:
    """Output, gradients and statistics: those of the eager module, which parity compares with the reference."""
    _, eager = worker("paddle").run(run_in_training, (name, "eager"))
    _, other = worker("paddle").run(run_in_training, (name, form))
    assert_alike(other, eager)
    start = CASES[name].parameters
    moved = [path for path in CASES[name].spec.statistics if np.abs(other[path] - start[path]).max() > 1e-4]
    assert moved == list(CASES[name].spec.statistics)


def test_masks_of_every_type_and_three_ways_to_call(worker: Callable[[str], Worker]) -> None:
    case = CASES[TINY.partition(":")[0]]
    batch = case.batch("padded")
    features, mask = batch.inputs["features"].astype(np.float32), batch.inputs["features.mask"]
    messages, made = worker("paddle").run(call_in_every_way, None, {"features": features, "mask": mask})
    for name, output in made.items():
        inputs = {"features": features} | ({} if name in ("alone", "no mask") else {"features.mask": mask})
        wanted = acz.reference.forward(case.spec, case.parameters, inputs)["output"]
        np.testing.assert_allclose(output, wanted, rtol=1e-5, atol=1e-6, err_msg=name)
    hints = ("by name", "no input 'rgb'", "is missing", "not ndarray", "shape", "shape", "dictionary")
    for message, hint in zip(messages, hints, strict=True):
        assert hint in message, message
    assert all("\n" not in message for message in messages[:-1])


@pytest.mark.parametrize("form", CASTS)
@pytest.mark.parametrize("name", ["layers/attention_over_units", "layers/net_fv", "layers/image", FFT])
def test_a_cast_module_computes_the_same(name: str, form: str, worker: Callable[[str], Worker]) -> None:
    dtype, logits = worker("paddle").run(cast, (name, form))
    assert dtype == f"paddle.{ {'half': 'float16', 'astype': 'float16', 'back': 'float32'}.get(form, 'bfloat16') }"
    unit = 2.0 ** (-8 if dtype == "paddle.bfloat16" else -11)
    error = np.abs(logits["cast"] - logits["plain"]).max() / np.abs(logits["plain"]).max()
    assert 0 < error < 8 * unit


@pytest.mark.parametrize("name", [*OF_LAYERS, *WHOLE])
def test_narrow_values_and_wide_ones_fit_together(name: str, worker: Callable[[str], Worker]) -> None:
    _, made = worker("paddle").run(compute_narrowly, name)
    for mode in (True, False):
        exact = made[f"exact, {mode}"]
        assert np.abs(made[f"narrow, {mode}"] - exact).max() <= 64 * 2.0**-24 * max(1.0, np.abs(exact).max())


@pytest.mark.parametrize("second", ["another", "a copy"])
def test_two_models_under_one_optimiser_share_no_state(second: str, worker: Callable[[str], Worker]) -> None:
    names, together = worker("paddle").run(train_two, f"one, {second}")
    _, apart = worker("paddle").run(train_two, f"two, {second}")
    assert len(set(names)) == len(names)
    for path, value in apart.items():
        assert np.abs(together[path] - value).max() <= 1e-6, path


def test_modes_logits_savers_and_other_heads(worker: Callable[[str], Worker], tmp_path: Path) -> None:
    _, made = worker("paddle").run(use_in_code, None, {"folder": np.array(str(tmp_path))})
    np.testing.assert_allclose(made["exported"], made["output"], rtol=1e-5, atol=1e-6)


RANK = """
import sys
import acz, numpy, paddle
from paddle.nn.functional import cross_entropy
folder, ranks = sys.argv[1], int(sys.argv[2])
with numpy.load(f"{folder}/data.npz") as data:
    features, mask, labels = (data[name] for name in ("features", "mask", "labels"))
rank = 0
if ranks > 1:
    paddle.distributed.init_parallel_env()
    rank = paddle.distributed.get_rank()
spec = acz.load_config("flash_mnist/attention_cluster:tiny", {"model.trunk.dropout.rate": 0}).spec
module = acz.build(spec, "paddle", logits=True)
network = paddle.DataParallel(module) if ranks > 1 else module
optimizer = paddle.optimizer.Adam(0.01, parameters=module.parameters())
for number in range(3):
    features_, mask_, labels_ = (paddle.to_tensor(value[rank::ranks]) for value in (features, mask, labels))
    loss = cross_entropy(network({"features": features_, "features.mask": mask_}), labels_)
    loss.backward()
    optimizer.step()
    optimizer.clear_grad()
values = {path: value.numpy() for path, value in module.state_dict().items()}
numpy.savez(f"{folder}/{ranks}-{rank}.npz", **values)
"""


def test_two_processes_train_as_one(tmp_path: Path, worker: Callable[[str], Worker]) -> None:
    worker("paddle")  # skips where it is not installed
    source = generator(0, "ranks")
    features = source.standard_normal((8, 5, 4)).astype(np.float32)
    mask, labels = np.arange(5) < source.integers(1, 6, (8, 1)), source.integers(0, 6, 8)
    np.savez(tmp_path / "data.npz", features=features, mask=mask.astype(np.uint8), labels=labels)
    (tmp_path / "rank.py").write_text(RANK, encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
        "OMP_NUM_THREADS": "1",
    }
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo", "--log_dir", "logs"]
    for ranks, words in ((1, []), (2, launch)):
        command = [sys.executable, *words, "rank.py", str(tmp_path), str(ranks)]
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        logs = "".join(path.read_text(errors="replace") for path in tmp_path.glob("logs/*"))
        assert ended.returncode == 0, ended.stderr[-2000:] + logs[-2000:]
    one, first, second = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("1-0", "2-0", "2-1"))
    for path, value in one.items():
        assert np.array_equal(first[path], second[path]), path
        assert np.abs(first[path] - value).max() < 2e-5, path


CHECK = """
assert losses[-1] < 0.7 * losses[0], losses
start = acz.build(spec, "paddle").state_dict()
assert spec.statistics
assert all(float((module.state_dict()[path] - start[path]).abs().max()) > 1e-3 for path in spec.statistics)
module.train()
assert float((module(features) - module(features)).abs().max()) > 0.01, "nothing is dropped"
"""


def test_the_loop_of_the_page_trains(tmp_path: Path, worker: Callable[[str], Worker]) -> None:
    worker("paddle")  # skips where it is not installed
    blocks = [block for block in read_blocks(ROOT / "docs/training/paddle.md") if block.language == "python"]
    code = f"{blocks[0].mark('python')}\n{blocks[0].text}\n{CHECK}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
