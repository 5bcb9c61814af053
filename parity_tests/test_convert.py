"""Checkpoints of the original systems, converted, reproduce in all five implementations what the originals gave; and
checkpoints of this zoo come back from each framework's own files with the same bits."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.config import load_config
from acz.convert import files
from acz.convert.incoming import Converted, convert
from acz.convert.outgoing import NATIVE, to_native
from acz.errors import CheckFailed, DataError
from acz.parity import jobs
from acz.reference import initial_parameters
from acz.worker import Worker
from parity_tests.conftest import BACKENDS, require
from tests.checkpoint_cases import Case, cases

pytestmark = pytest.mark.slow

BOUND = 64 * 2.0**-23
"""Of the largest value of an array: the originals computed in float32, where 2^-23 is a unit in the last place of 1."""
TANH = 1e-4
"""Instead, where MindSpore's approximate tanh on the CPU was recorded (the port's fc 2), which is off by up to that."""
ALL = cases()
CONVERTED: dict[str, Converted] = {}
FOUND: dict[tuple[str, bytes], dict[str, np.ndarray]] = {}


@pytest.fixture
def one_process(worker: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let conversions read files in the tests' own process of a framework, where each would start another."""
    monkeypatch.setattr(files, "Worker", lambda backend: nullcontext(worker(backend)))


def converted(case: Case, folder: Path) -> Converted:
    """Each file is converted once."""
    if case.name not in CONVERTED:
        if case.system == "flash-mnist":
            require("torch")
        out = folder / "converted.safetensors"
        CONVERTED[case.name] = convert(case.file, case.model, case.overrides, out, case.system)
        checkpoint = acz.load_checkpoint(out)
        assert checkpoint.state["converted_from"]["file"] == case.file.name
        for path, value in CONVERTED[case.name].parameters.items():
            assert np.array_equal(checkpoint.parameters[path], value)
    return CONVERTED[case.name]


def run(case: Case, done: Converted, backend: str, process: Worker) -> dict[str, np.ndarray]:
    """What a backend gives; files that hold the same weights are run once."""
    key = backend, b"".join([done.spec.hash.encode(), *(value.tobytes() for value in done.parameters.values())])
    if key not in FOUND:
        dtype = "float64" if backend == "numpy" else "float32"
        runs = [{"name": "run", "batch": "batch", "training": False}]
        arguments = {"spec": done.spec.to_dict(), "dtype": dtype, "runs": runs}
        arrays = {f"parameters/{path}": value for path, value in done.parameters.items()}
        arrays |= {f"batch/inputs/{name}": value for name, value in case.inputs.items()}
        FOUND[key] = jobs.group(process.run("acz.parity.jobs:outputs", arguments, arrays)[1], "run")
    return FOUND[key]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("backend", ["numpy", *BACKENDS])
@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_a_converted_checkpoint_gives_what_the_original_gave(
    case: Case, backend: str, worker: Callable[[str], Worker], tmp_path: Path
) -> None:
    process = worker(backend)
    ours = run(case, converted(case, tmp_path), backend, process)
    approximate = case.system == "mindspore-port" and case.model.endswith("hidden")
    for what, (recorded, mapped) in case.expected.items():
        found = mapped(ours)
        assert found.shape == recorded.shape, what
        difference = np.abs(found - recorded).max() / np.abs(recorded).max()
        assert difference <= (TANH if approximate else BOUND), what


def test_there_are_files_of_every_system() -> None:
    assert {case.system for case in ALL} == {"flash-mnist", "mindspore-port", "paddle-video"}


USE = {
    "torch": """
import torch
model = acz.build(spec, "torch", seed=1)
model.load_state_dict(torch.load(file, weights_only=True))
output = model({"features": torch.from_numpy(x)}).detach().numpy()
""",
    "keras": """
import keras, acz_tensorflow
output = keras.models.load_model(file)({"features": x}).numpy()
""",
    "paddle": """
import paddle
model = acz.build(spec, "paddle", seed=1)
model.set_state_dict(paddle.load(file))
output = model({"features": paddle.to_tensor(x)}).numpy()
""",
    "mindspore": """
import mindspore
model = acz.build(spec, "mindspore", seed=1)
left = mindspore.load_param_into_net(model, mindspore.load_checkpoint(file))
output = model({"features": mindspore.Tensor(x)}).asnumpy()
""",
}
"""What a user of each framework types, in a process of that framework."""


@pytest.mark.parametrize("kind", list(NATIVE))
def test_a_framework_opens_its_own_kind_of_file(kind: str, tmp_path: Path) -> None:
    native = NATIVE[kind]
    require(native.backend)
    spec = acz.load_spec("flash_mnist/attention_cluster_hidden:tiny")
    parameters = initial_parameters(spec, 3)
    acz.save_checkpoint(tmp_path / "one.safetensors", spec, parameters)
    file = tmp_path / f"one{native.suffix or '.weights'}"
    assert to_native(tmp_path / "one.safetensors", kind, file)[1] == len(parameters)
    x = np.random.default_rng(0).standard_normal((3, 7, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code = (
        f"import json, sys, numpy, acz\nfile = {str(file)!r}\nx = numpy.load({str(tmp_path / 'x.npy')!r})\n"
        f"spec = acz.Spec.from_dict(json.loads({json.dumps(json.dumps(spec.to_dict()))}))\n{USE[kind]}\n"
        f"numpy.save({str(tmp_path / 'y.npy')!r}, output)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = acz.reference.forward(spec, parameters, {"features": x})["output"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-6)

    back = convert(file, "flash_mnist/attention_cluster_hidden:tiny", {}, tmp_path / "back.safetensors")
    assert (back.system, back.guessed) == ("acz", True)
    for path, value in acz.load_checkpoint(tmp_path / "back.safetensors").parameters.items():
        assert value.tobytes() == parameters[path].tobytes()


@pytest.mark.usefixtures("one_process")
def test_a_torch_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    require("torch")
    ran = tmp_path / "ran"
    contents = {
        "evil": (f"cposix\nsystem\n(S'touch {ran}'\ntR.".encode(), "torch can't read it"),
        "list": (pickle.dumps([1, 2], 2), "no state_dict"),
    }
    for name, (content, message) in contents.items():
        file = tmp_path / f"{name}.pth.tar"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{name}/data.pkl", content)
            archive.writestr(f"{name}/version", b"3\n")
        with pytest.raises(DataError, match=message):
            convert(file, "flash_mnist/attention_cluster", {}, tmp_path / "out.safetensors")
    assert not ran.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_a_file_that_does_not_come_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("torch")
    spec = load_config("flash_mnist/attention_cluster:tiny").spec
    acz.save_checkpoint(tmp_path / "one.safetensors", spec, initial_parameters(spec))
    asked = Worker.run

    def damaged(self: Worker, function: str, *rest: object, **named: object) -> object:
        value, arrays = asked(self, function, *rest, **named)  # type: ignore[arg-type]
        return value, {name: array + np.float32(1e-7) for name, array in arrays.items()}

    monkeypatch.setattr(Worker, "run", damaged)
    with pytest.raises(CheckFailed, match="does not come back"):
        to_native(tmp_path / "one.safetensors", "torch", tmp_path / "out.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]
