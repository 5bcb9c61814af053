"""Each backend gives its users more than equal numbers: modules, devices, quiet, training, resuming, survival."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import acz
from acz.backend.build import build_model
from acz.backend.protocol import Backend
from acz.backend.registry import infos
from acz.backend.worker import Worker
from acz.data.registry import open_split
from acz.evaluation.scoring import evaluate
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.job_process import WorkerDied
from acz.model.checkpoint import load_checkpoint
from acz.model.losses import choose_loss
from acz.model.names import PYTHON, STREAMS
from acz.model.optimizer import Adam
from acz.model.parameters import initial_parameters
from acz.model.precision import Precision
from acz.parity.cases import cases
from acz.reference import numpy_backend
from acz.reference.bounds import difference, float32_bound, worst
from acz.training.log import read_log
from parity_tests.conftest import BACKENDS, require
from parity_tests.run_cases import SETS, SETTINGS, ReferenceRun, read_losses, run_reference, type_command
from tests.conftest import TINY, write_features
from tests.worker_jobs import Death, die

pytestmark = pytest.mark.slow

Trained = Callable[[str], tuple[subprocess.CompletedProcess[str], Path]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("data") / "features", videos=256)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Type the training of a run in a backend. Returns the answer and the run's folder. Each is trained once."""

    @functools.cache
    def train(backend: str) -> tuple[subprocess.CompletedProcess[str], Path]:
        place = tmp_path_factory.mktemp("trained")
        words = ("train", TINY, "--backend", backend, "--data", data, *SETTINGS, "--out", "run", "--json")
        return type_command(*words, cwd=place), place / "run"

    return train


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], ReferenceRun]:
    """The same run in the reference, for a number of epochs. Each is trained once."""
    return functools.cache(lambda epochs: run_reference(data, tmp_path_factory.mktemp("reference"), epochs))


def evaluate_in(precision: Precision, run: Path, data: Path) -> dict[str, float]:
    """The figures of a run's best checkpoint, by the reference."""
    checkpoint = load_checkpoint(run / "best.safetensors")
    model = build_model(numpy_backend, checkpoint.spec, checkpoint.parameters, precision=precision)
    loss = choose_loss(None, checkpoint.spec)
    return evaluate(numpy_backend, model, checkpoint.spec, open_split(data, "test"), loss)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_trains_evaluates_and_is_quiet(backend: str, data: Path, trained: Trained) -> None:
    require(backend)
    answer, run = trained(backend)
    assert answer.returncode == 0, answer.stderr
    best = json.loads(answer.stdout)["best"]
    assert best["top1"] > 0.6
    lines = answer.stderr.strip().splitlines()
    assert all(line.startswith(("flash_mnist", "epoch", "evaluation")) for line in lines), answer.stderr
    exact, rounded = (evaluate_in(precision, run, data) for precision in (Precision.FLOAT64, Precision.FLOAT32))
    bound = float32_bound(abs(rounded["loss"] / exact["loss"] - 1))
    for name in (backend, "numpy"):
        answer = type_command("eval", "run", "--backend", name, "--json", cwd=run.parent)
        assert answer.returncode == 0, answer.stderr
        assert all(line.startswith("evaluating on") for line in answer.stderr.splitlines()), answer.stderr
        figures = json.loads(answer.stdout)
        assert figures["top1"] == exact["top1"] == best["top1"]
        assert figures["loss"] == pytest.approx(exact["loss"], rel=bound, abs=0)
    assert [path.name for path in run.parent.iterdir()] == ["run"], "nothing else is left in the folder"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_run_of_the_reference(
    backend: str, trained: Trained, reference: Callable[[int], ReferenceRun]
) -> None:
    require(backend)
    _, run = trained(backend)
    wanted = reference(SETS["train.epochs"])
    assert difference(read_losses(run), wanted.losses) <= wanted.bound
    parameters = load_checkpoint(run / "last.safetensors").parameters
    measured, bound, path = worst(parameters, wanted.parameters, wanted.bound)
    assert measured <= bound, path


@pytest.mark.parametrize("second", BACKENDS)
def test_a_run_is_resumed_in_another_backend(
    second: str, data: Path, reference: Callable[[int], ReferenceRun], tmp_path: Path
) -> None:
    require(second)
    first = "tensorflow" if second == "torch" else "torch"
    require(first)
    epochs = 40  # enough that it is killed before its end
    words = ("train", TINY, "--backend", first, "--data", data, *SETTINGS, "--set", f"train.epochs={epochs}")
    process = subprocess.Popen(
        [sys.executable, "-m", "acz", *map(str, words), "--out", "run"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    last = tmp_path / "run/last.safetensors"
    while not last.exists() or load_checkpoint(last).state["step"] == 0:
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    resumed = type_command("train", "--resume", "--out", "run", "--backend", second, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    wanted, checkpoint = reference(epochs), load_checkpoint(last)
    assert checkpoint.state["epoch"] == epochs
    assert difference(read_losses(tmp_path / "run"), wanted.losses) <= wanted.bound
    measured, bound, path = worst(checkpoint.parameters, wanted.parameters, wanted.bound)
    assert measured <= bound, path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", ["Ascend", "GPU:7"])
def test_a_device_that_is_not_there_is_refused(backend: str, device: str, data: Path, tmp_path: Path) -> None:
    require(backend)
    answer = type_command("train", TINY, "--backend", backend, "--device", device, "--data", data, cwd=tmp_path)
    assert answer.returncode == 3
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    for word in (f"device '{device}' was asked for", f"'{backend}'", "could use: CPU", "--device CPU"):
        assert word in lines[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["kill", "segmentation"])
def test_a_crash_stays_in_its_process(backend: str, how: Literal["kill", "segmentation"]) -> None:
    require(backend)
    with Worker(backend) as worker, pytest.raises(WorkerDied, match=r"SIGKILL|SIGSEGV|SIGABRT|exit code"):
        worker.run(die, Death(how))


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_keeps_every_promise(backend: str) -> None:
    require(backend)
    assert acz.check_backend(backend).failures == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_module_is_the_frameworks_own(backend: str, worker: Callable[[str], Worker]) -> None:
    value, arrays = worker(backend).run(use_module, None)
    spec = acz.load_spec(TINY)
    assert value.bases, "no class of the framework among its bases"
    assert sorted(value.names) == sorted(spec.parameters)
    start = initial_parameters(spec, 0)
    exact, rounded = (
        acz.reference.forward(
            spec, {path: value.astype(precision) for path, value in start.items()}, {"features": arrays["features"]}
        )["output"]
        for precision in ("float64", "float32")
    )
    assert difference(arrays["output"], exact) <= float32_bound(difference(rounded, exact))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_name_that_a_spec_allows_is_an_attribute_of_the_frameworks_modules(
    backend: str, worker: Callable[[str], Worker]
) -> None:
    value, _ = worker(backend).run(module_names, None)
    info = infos()[backend]
    assert set(value["modules"]) - info.reserved_names - PYTHON <= {"input", "output"}, "layers are no attributes there"
    assert set(value["model"]) - info.reserved_names - info.reserved_streams - PYTHON - STREAMS == set()


def module_names(backend: Any, arguments: None, arrays: Any) -> tuple[dict[str, list[str]], Arrays]:
    """A job: public attributes of the framework's empty modules, and of a model beside its streams."""
    if backend.NAME == "torch":
        import torch

        modules: list[Any] = [torch.nn.Module(), torch.nn.ModuleDict()]
    elif backend.NAME == "tensorflow":
        import keras

        modules = [keras.Model()]
    elif backend.NAME == "paddle":
        import paddle

        modules = [paddle.nn.Layer(), paddle.nn.LayerDict()]
    elif backend.NAME == "mindspore":
        import mindspore

        modules = [mindspore.nn.Cell(), mindspore.nn.CellDict()]
    else:
        raise ValueError(f"say here which modules of '{backend.NAME}' are empty")
    model = backend.build(acz.load_spec(TINY), "CPU", "float32")
    names = {
        "modules": {name for module in modules for name in dir(module)},
        "model": {*dir(model)} - {"features", "trunk"},
    }
    return {key: sorted(name for name in value if not name.startswith("_")) for key, value in names.items()}, {}


@dataclass(frozen=True)
class Used:
    """The framework's classes among a module's bases, and its parameters' names."""

    bases: list[str]
    names: list[str]


def use_module(backend: Any, arguments: None, arrays: Any) -> tuple[Used, Arrays]:
    """A job: build a module, call it as the framework's users call it, and list its parameters' names."""
    spec = acz.load_spec(TINY)
    module = acz.build(spec, backend.NAME)
    features = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
    kinds = {"torch": "torch.nn", "tensorflow": "keras", "paddle": "paddle.nn", "mindspore": "mindspore.nn"}
    bases = [kind.__module__ for kind in type(module).__mro__ if kind.__module__.startswith(kinds[backend.NAME])]
    if backend.NAME == "torch":
        import torch

        names = list(module.state_dict())
        with torch.no_grad():
            output = module.eval()({"features": torch.from_numpy(features)}).numpy()
    elif backend.NAME == "tensorflow":
        import tensorflow as tf

        names = [variable.name for variable in module.variables]
        output = module({"features": tf.constant(features)}).numpy()
    elif backend.NAME == "paddle":
        import paddle

        names = list(module.state_dict())
        module.eval()
        output = module({"features": paddle.to_tensor(features)}).numpy()
    elif backend.NAME == "mindspore":
        import mindspore

        names = [parameter.name for parameter in module.get_parameters()]
        output = module({"features": mindspore.Tensor(features)}).asnumpy()
    else:
        raise ValueError(f"say here how a module of '{backend.NAME}' is called")
    return Used(bases, names), {"features": features, "output": output}


def test_backends_lists_what_is_here(tmp_path: Path) -> None:
    answer = type_command("backends", "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    listed = json.loads(answer.stdout)
    assert set(listed) == set(infos())
    for name, about in listed.items():
        if about["installed"]:
            assert "CPU" in about["devices"], (name, about)
            assert about["versions"]


def test_the_whole_way_from_digits(tmp_path: Path) -> None:
    """`acz data` and `acz train` on a small set: extractor, videos, features, a model that has learnt something."""
    require("torch")
    made = type_command(
        "data", "flash-mnist", "--digits", "--out", "data", "--backend", "torch", "--videos-per-label", 2,
        "--test-videos-per-label", 1, "--epochs", 2, cwd=tmp_path, threads=2,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert type_command("data", "verify", "data", cwd=tmp_path).returncode == 0
    sets = ["--set", "train.epochs=8", "--set", "train.batch_size=64"]
    trained = type_command("train", "--data", "data", "--backend", "torch", *sets, "--json", cwd=tmp_path, threads=2)
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["best"]["top1"] > 5 / 1024
    log = [line for path in (tmp_path / "runs").glob("*/metrics.jsonl") for line in read_log(path)]
    assert log[-1]["top5"] > 20 / 1024


def repeat_a_step(backend: Backend, model: str, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: the losses of 20 steps of five videos that change no parameter."""
    [case] = [case for case in cases(model) if case.model == model]
    batch = case.batch("plain", videos=5)
    built = backend.build(case.spec, "CPU", "float32")
    backend.load_parameters(built, {path: value.astype(np.float32) for path, value in case.parameters.items()})
    trainer = backend.start_training(built, Adam(), case.loss)
    inputs = {name: value.astype(np.float32) for name, value in batch.inputs.items()}
    steps = [backend.training_step(trainer, inputs, batch.labels, batch.dropout, 0.0) for _ in range(20)]
    return None, {"losses": np.array([float(loss) for loss, _ in steps])}


@pytest.mark.parametrize("model", ["flash_mnist/attention_cluster", "layers/dense_functions"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_has_the_same_loss_however_often_it_was_taken(
    worker: Callable[[str], Worker], backend: str, model: str
) -> None:
    """So a resumed run has the lines of one that was not disturbed. A kernel that tries sizes of blocks has other bits at first."""
    _, answer = worker(backend).run(repeat_a_step, model)
    assert len(set(answer["losses"].tolist())) == 1, answer["losses"]
