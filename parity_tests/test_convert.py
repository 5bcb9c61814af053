"""Converted checkpoints of the original systems give the originals' results in all five implementations.

Checkpoints of this zoo come back from each framework's own files with the same bits."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.backend.registry import native_formats
from acz.backend.worker import Worker
from acz.exchange.weights import incoming
from acz.exchange.weights.incoming import Converted
from acz.exchange.weights.readers import kinds
from acz.foundation.errors import CheckFailed, DataError
from acz.model.parameters import initial_parameters
from acz.model.precision import Precision
from acz.parity import jobs
from acz.zoo.config import load_config
from fuzz import tables
from parity_tests.conftest import BACKENDS, require
from tests.checkpoint_cases import Case, cases, convert

pytestmark = pytest.mark.slow

BOUND = 64 * 2.0**-23
"""A share of an array's largest value.

The originals computed in float32, where 2^-23 is a unit in the last place of 1.
"""
TANH = 1e-4
"""The same for the port's fc 2, which was recorded with MindSpore's approximate tanh on the CPU."""
FFT = 5e-5
"""The same where TensorFlow 1.8's transforms in float32 were recorded. They are up to 1e-5 off for some lengths."""
ALL = cases()
CONVERTED: dict[str, Converted] = {}
FOUND: dict[tuple[str, bytes], dict[str, np.ndarray]] = {}


@pytest.fixture
def one_process(worker: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let conversions read files in the tests' own process of a framework. Otherwise each would start another."""
    monkeypatch.setattr(kinds, "Worker", lambda backend: nullcontext(worker(backend)))


def converted(case: Case, folder: Path) -> Converted:
    """Each file is converted once."""
    if case.name not in CONVERTED:
        if case.system == "flash-mnist":
            require("torch")
        out = folder / "converted.safetensors"
        done = convert(case.file, case.model, case.overrides, out, case.system, batch_size=case.batch_size)
        CONVERTED[case.name] = done
        checkpoint = acz.load_checkpoint(out)
        assert checkpoint.state["converted_from"]["system"] == case.system
        for path, value in CONVERTED[case.name].parameters.items():
            assert np.array_equal(checkpoint.parameters[path], value)
    return CONVERTED[case.name]


def run(case: Case, done: Converted, backend: str, process: Worker) -> dict[str, np.ndarray]:
    """Run a converted file in a backend. Files that hold the same weights are run once."""
    key = backend, b"".join([done.spec.hash.encode(), *(value.tobytes() for value in done.parameters.values())])
    if key not in FOUND:
        precision = Precision.FLOAT64 if backend == "numpy" else Precision.FLOAT32
        arguments = jobs.OutputArguments(done.spec, precision, (jobs.Run("run", "batch", training=False),))
        arrays = jobs.pack_parameters(done.parameters)
        arrays |= {f"batch/inputs/{name}": value for name, value in case.inputs.items()}
        FOUND[key] = jobs.group(process.run(jobs.outputs, arguments, arrays)[1], "run")
    return FOUND[key]


def bound_of(case: Case) -> float:
    """The bound between an implementation and the original, as a share of the largest value."""
    if case.system == "mindspore-port" and case.model == "flash_mnist/attention_cluster_hidden":
        return TANH
    return FFT if case.system == "youtube8m-circulant" and "circulant_dense" in str(case.model) else BOUND


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("backend", ["numpy", *BACKENDS])
@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_a_converted_checkpoint_gives_what_the_original_gave(
    case: Case, backend: str, worker: Callable[[str], Worker], tmp_path: Path
) -> None:
    process = worker(backend)
    ours = run(case, converted(case, tmp_path), backend, process)
    for what, (recorded, mapped) in case.expected.items():
        value = mapped(ours)
        assert value.shape == recorded.shape, what
        difference = np.abs(value - recorded).max() / np.abs(recorded).max()
        assert difference <= bound_of(case), what


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("case", [case for case in ALL if case.system == "flash-mnist"], ids=lambda case: case.name)
def test_the_model_of_a_torch_file_is_found_from_it(case: Case, tmp_path: Path) -> None:
    given = converted(case, tmp_path)
    found = incoming.convert(case.file, None, tmp_path / "found.safetensors")
    assert (found.system, found.guessed) == (case.system, True)
    assert list(found.parameters) == list(given.parameters)
    for path, value in given.parameters.items():
        assert np.array_equal(found.parameters[path], value)


def test_there_are_files_of_every_system() -> None:
    assert {case.system for case in ALL} == {
        "flash-mnist",
        "linrongc",
        "mindspore-port",
        "paddle-nextvlad",
        "paddle-video",
        "pomonam",
        "youtube8m-circulant",
        "willow",
    }


WRITE = """
import numpy, tensorflow as tf
source = numpy.random.default_rng(0)
kinds = "float32 float64 float16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
arrays = {f"tower/{source.bytes(150).hex()}": source.standard_normal((n % 5, 4)).astype("f4") for n in range(1200)}
arrays |= {f"of/{kind}": source.integers(0, 2, (3, 2)).astype(kind) for kind in kinds} | {"step": numpy.int64(7)}
names = sorted(arrays)
for part, prefix in zip([names, names[::2], names[1::2]], ("alone", "first", "second")):
    tensors = [tf.constant(arrays[name]) for name in part]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=part, shape_and_slices=[""] * len(part), tensors=tensors)
tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=["first", "second"], destination_prefix="whole", delete_old_dirs=False)
tf.raw_ops.SaveV2(prefix="sliced", tensor_names=["w"], shape_and_slices=["4 2 0,2:0,2"], tensors=[tf.zeros((2, 2))])
tf.raw_ops.SaveV2(prefix="text", tensor_names=["w"], shape_and_slices=[""], tensors=[tf.constant("abc")])
ours = tf.train.load_checkpoint("ours")
assert sorted(ours.get_variable_to_shape_map()) == ["of/bool", "of/float32", "of/int64"]
numpy.savez("ours.npz", **{name: ours.get_tensor(name) for name in ours.get_variable_to_shape_map()})
numpy.savez("arrays.npz", **arrays)
"""


def test_todays_tensorflow_writes_what_is_read_and_reads_what_the_tests_write(tmp_path: Path) -> None:
    """An index of more than one block (TensorFlow fills them up to 256 KiB), over one data file and over two."""
    require("tensorflow")
    small = {f"of/{kind}": np.arange(6).reshape(2, 3).astype(kind) for kind in ("float32", "int64", "bool")}
    tables.write(tmp_path, small, name="ours", in_block=1)
    done = subprocess.run([sys.executable, "-c", WRITE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "arrays.npz") as arrays, np.load(tmp_path / "ours.npz") as ours:
        alone, whole = (kinds.read(tmp_path / name, "tensorflow") for name in ("alone", "whole"))
        assert (len(alone.files), len(whole.files)) == (2, 3)
        assert min(checkpoint.files[0].stat().st_size for checkpoint in (alone, whole)) > 2**18
        assert set(whole.named) == set(alone.named) == set(arrays.files)
        for name in arrays.files:
            for array in (whole.named[name], alone.named[name]):
                assert (array.dtype, array.shape) == (arrays[name].dtype, arrays[name].shape)
                assert array.tobytes() == arrays[name].tobytes()
        for name, value in small.items():
            assert np.array_equal(ours[name], value)
    for name, message in (("sliced", "'w' is partitioned"), ("text", "type 7 of TensorFlow")):
        with pytest.raises(DataError, match=message):
            kinds.read(tmp_path / name, "tensorflow")


USE = {
    "torch": """
import torch
model = acz.build(spec, "torch", seed=1)
model.load_state_dict(torch.load(file, weights_only=True))
model.eval()
output = model({"features": torch.from_numpy(x)}).detach().numpy()
""",
    "keras": """
import keras, acz_tensorflow.model
output = keras.models.load_model(file)({"features": x}).numpy()
""",
    "paddle": """
import paddle
model = acz.build(spec, "paddle", seed=1)
model.set_state_dict(paddle.load(file))
model.eval()
output = model({"features": paddle.to_tensor(x)}).numpy()
""",
    "mindspore": """
import mindspore
model = acz.build(spec, "mindspore", seed=1)
left = mindspore.load_param_into_net(model, mindspore.load_checkpoint(file))
output = model({"features": mindspore.Tensor(x)}).asnumpy()
""",
}
"""A program that a user of each framework writes, run in a process of that framework."""


@pytest.mark.parametrize("kind", USE)
def test_a_framework_opens_its_own_kind_of_file(kind: str, tmp_path: Path) -> None:
    info, native = native_formats()[kind]
    require(info.name)
    spec = acz.load_spec("flash_mnist/attention_cluster_hidden:tiny")
    parameters = initial_parameters(spec, 3)
    acz.save_checkpoint(tmp_path / "one.safetensors", spec, parameters)
    file = tmp_path / f"one{native.suffix or '.weights'}"
    assert acz.save_native(tmp_path / "one.safetensors", kind, file).arrays == len(parameters)
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

    back = incoming.convert(file, None, tmp_path / "back.safetensors")
    assert (back.system, back.model) == ("acz", "--model flash_mnist/attention_cluster_hidden:tiny")
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
    run_job = Worker.run

    def damaged(self: Worker, *arguments: Any) -> object:
        value, arrays = run_job(self, *arguments)
        return value, {name: array + np.float32(1e-7) for name, array in arrays.items()}

    monkeypatch.setattr(Worker, "run", damaged)
    with pytest.raises(CheckFailed, match="does not come back"):
        acz.save_native(tmp_path / "one.safetensors", "torch", tmp_path / "out.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]
