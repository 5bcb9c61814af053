"""Files that were written before the code moved are read by the frameworks as they were then.

`tests/fixtures/before_the_house/INDEX.md` says what they are. As in `tests/test_files_of_before.py`, only commands
and public names of the package `acz` are used.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import acz
from parity_tests.conftest import require
from tests.before_cases import EXPECTED, FILES, as_before, compare_runs, same_bits, same_scores
from tests.conftest import TINY

pytestmark = pytest.mark.slow

ARTEFACTS = {
    "model.mindir": "mindspore",
    "model.onnx": "numpy",
    "model.pt2": "torch",
    "paddle": "paddle",
    "saved-model": "tensorflow",
}
"""The exports of PyTorch's run, and the backend whose framework runs each."""
NATIVE = {
    "torch.pt": ("torch", "import torch; torch.set_grad_enabled(False)", "torch.from_numpy"),
    "keras.keras": ("tensorflow", "import keras", "keras.ops.convert_to_tensor"),
    "paddle.pdparams": ("paddle", "import paddle", "paddle.to_tensor"),
    "mindspore.ckpt": ("mindspore", "import mindspore", "mindspore.Tensor"),
}
"""For each native file: its backend, the lines before the one that reads it, and the call that makes a tensor."""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Copy the files. Tests type commands in the copy, since runs name their data from there."""
    return shutil.copytree(FILES, tmp_path / "before")


def python(*words: object, cwd: Path) -> str:
    """Run Python in a process of its own, which must succeed; gives what it printed."""
    answer = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def rounds_as_before() -> bool:
    """Tell whether PyTorch rounds here as it did then: the same version on the same kind of processor."""
    path = Path("/proc/cpuinfo")
    about = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line) if path.is_file() else {}
    cpu = {key.strip(): value.split() for key, value in about.items()}
    widest = next((flag for flag in ("avx512f", "avx2") if flag in cpu.get("flags", [])), "")
    here = [*cpu.get("vendor_id", []), widest, importlib.metadata.version("torch")]
    return here == [*EXPECTED["processor"], EXPECTED["versions"]["torch"]]


def test_the_interrupted_run_of_pytorch_ends_as_the_one_that_was_not(there: Path) -> None:
    """The files are equal to the last bit if PyTorch rounds as it did then."""
    require("torch")
    run, whole = there / "runs/torch_interrupted", there / "runs/torch"
    answer = json.loads(
        python("-m", "acz", "train", "--resume", "--out", "runs/torch_interrupted", "--json", cwd=there)
    )
    assert answer["best"]["steps"] == 16
    compare_runs(run, whole, rtol=1e-5, atol=1e-6)
    if rounds_as_before():
        assert (run / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
        ours, theirs = (load_file(folder / "last.safetensors") for folder in (run, whole))
        assert {name: value.tobytes() for name, value in ours.items()} == {
            name: value.tobytes() for name, value in theirs.items()
        }, "weights and optimiser; the state beside them has another form now"


@pytest.mark.parametrize("before", EXPECTED["in_its_own_framework"], ids=lambda before: before["printed"]["backend"])
def test_a_backend_evaluates_its_run(before: dict[str, Any], there: Path) -> None:
    require(before["printed"]["backend"])
    printed = json.loads(python("-m", "acz", *before["typed"], "--threads", 1, "--json", cwd=there))
    assert as_before(printed, before["printed"]), printed


@pytest.mark.parametrize("name", ARTEFACTS)
def test_an_artefact_predicts_in_its_runtime_what_its_checkpoint_predicted(name: str, there: Path) -> None:
    require(ARTEFACTS[name])
    words = ("infer", f"runs/torch/export/{name}", "--data", "features", "--top-k", 6, "--out", "again.npz")
    python("-m", "acz", *words, "--threads", 1, cwd=there)
    same_scores(there / "again.npz", there / "predictions/flash.npz")


@pytest.mark.parametrize("name", ["torch.pt", "keras.keras"])
def test_a_native_file_comes_back(name: str, there: Path) -> None:
    """Files of PaddlePaddle and MindSpore come back without their framework, in `tests/`."""
    require(NATIVE[name][0])
    words = ("convert", f"native/{name}", "--from", "acz", "--model", TINY, "--out", "back.safetensors")
    python("-m", "acz", *words, cwd=there)
    same_bits(load_file(there / "back.safetensors"), load_file(there / "runs/torch/best.safetensors"))


EVALUATION = {"torch": "module.eval()", "paddle": "module.eval()", "mindspore": "module.set_train(False)"}
"""The line that sets evaluation mode, where the mode is not an argument of the call."""


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_file_is_read_as_its_users_were_told(name: str, there: Path) -> None:
    """`acz convert --to` printed the line that reads it.

    The line for Keras imports a package of acz; here `acz.build` does that.
    """
    backend, first, tensor = NATIVE[name]
    require(backend)
    line = EXPECTED["read_with"][name].replace("import acz_tensorflow; ", "module = ")
    line = line.replace("FILE", repr(f"native/{name}")).replace(f'acz.build(spec, "{backend}")', "module")
    code = f"""
{first}
import acz, numpy
spec = acz.load_spec({TINY!r})
module = acz.build(spec, {backend!r})
{line}
{EVALUATION.get(backend, "")}
features = numpy.load("checkpoints/flash_mnist-attention_cluster.npz")["plain/input/features"]
output = module({{"features": {tensor}(features)}})
numpy.save("output.npy", output.{"asnumpy" if backend == "mindspore" else "numpy"}())
"""
    python("-c", code, cwd=there)
    with np.load(there / "checkpoints/flash_mnist-attention_cluster.npz") as file:
        inputs = {"features": file["plain/input/features"]}
    parameters = load_file(there / "runs/torch/best.safetensors")
    wanted = acz.reference.forward(acz.load_spec(TINY), parameters, inputs)["output"]
    np.testing.assert_allclose(np.load(there / "output.npy"), wanted, rtol=1e-5, atol=1e-6)


def test_a_page_is_made_of_runs_and_their_exports(there: Path) -> None:
    words = ("report", "runs/torch", "runs/mindspore", "--backend", "numpy", "--videos", 1, "--out", "page.html")
    answer = json.loads(python("-m", "acz", *words, "--threads", 1, "--json", cwd=there))
    assert answer["runs"] == ["torch", "mindspore"]
    assert answer["missing"] == {}
    page = (there / "page.html").read_text()
    assert not [name for name in ARTEFACTS if name not in page]
