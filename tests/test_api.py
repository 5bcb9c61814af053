"""The Python API: each ability of the command line is a function, typed, documented, with a result that prints well."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz as package
from acz.api.results import Result
from tests.conftest import TINY, Answer, write_features

Acz = Callable[..., Answer]
RECIPE = {"train.epochs": 2, "train.batch_size": 16, "train.optimizer.learning_rate": 0.05}
SILENT = package.Progress()

HARMLESS = {"list_backends", "list_formats"}
"""Functions that raise nothing a user can cause."""
FUNCTIONS = [name for name in package.__all__ if inspect.isfunction(getattr(package, name))]
RESULTS = [
    name
    for name in package.__all__
    if isinstance(getattr(package, name), type) and issubclass(getattr(package, name), Result)
]


@pytest.fixture
def trained(features: Path, tmp_path: Path) -> package.Trained:
    return package.train(TINY, backend="numpy", data=features, out=tmp_path / "run", overrides=RECIPE, progress=SILENT)


def test_dir_shows_the_public_names_and_loads_nothing() -> None:
    assert {"train", "evaluate", "infer", "export", "open_data", "check_parity", "bench"} <= set(dir(package))
    assert all(hasattr(package, name) for name in dir(package))
    code = "import sys, acz; dir(acz); assert 'numpy' not in sys.modules, 'dir loads nothing'"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        package.trian  # noqa: B018 (the access is what is tested)


@pytest.mark.parametrize("name", [name for name in package.__all__ if name not in ("__version__", "FIGURES", "LOSSES")])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert (getattr(package, name).__doc__ or "").strip(), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_is_typed_and_names_its_errors(name: str) -> None:
    function = getattr(package, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
    paragraphs = inspect.getdoc(function) or ""
    if "progress" in signature.parameters:
        progress = signature.parameters["progress"]
        assert (progress.default, progress.kind) == (None, inspect.Parameter.KEYWORD_ONLY), "it is shown by default"
    assert "Raise" in paragraphs or name in HARMLESS


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_is_a_frozen_dataclass(name: str) -> None:
    result = getattr(package, name)
    assert is_dataclass(result)
    assert result.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_train_gives_what_the_command_prints(
    trained: package.Trained, acz: Acz, features: Path, tmp_path: Path
) -> None:
    words = [word for path, value in RECIPE.items() for word in ("--set", f"{path}={value}")]
    typed = acz("train", TINY, "--backend", "numpy", "--data", features, "--out", tmp_path / "typed", *words, "--json")
    printed = json.loads(typed.out)
    assert printed | {"folder": ""} == trained.to_json() | {"folder": ""}
    assert trained.checkpoint.is_file()
    assert str(trained).startswith(f"best top-1 {trained.best['top1']:.4f} at epoch {trained.best_epoch}; ")
    assert "<table>" in trained._repr_html_()
    same = (tmp_path / "typed/last.safetensors").read_bytes() == (tmp_path / "run/last.safetensors").read_bytes()
    assert same, "the same numbers, typed or called"


def test_a_finished_run_is_resumed_without_a_step(trained: package.Trained) -> None:
    again = package.resume(trained.folder, progress=SILENT)
    assert again == trained


def test_evaluate_infer_and_score_agree(trained: package.Trained, acz: Acz, features: Path, tmp_path: Path) -> None:
    evaluation = package.evaluate(trained.folder, backend="numpy", progress=SILENT)
    assert evaluation["top1"] == trained.best["top1"]
    assert json.loads(acz("eval", trained.folder, "--backend", "numpy", "--json").out) == evaluation.to_json()
    assert acz("eval", trained.folder, "--backend", "numpy").out.strip() == str(evaluation)
    inferred = package.infer(trained.folder, tmp_path / "p.npz", top_k=6, backend="numpy", progress=SILENT)
    assert (inferred.examples, inferred.top_k) == (64, 6)
    scored = package.evaluate_predictions(tmp_path / "p.npz", features, progress=SILENT)
    assert scored["top1"] == evaluation["top1"]
    count = package.average_predictions([tmp_path / "p.npz"] * 2, tmp_path / "mean.npz", progress=SILENT)
    assert count == 64
    with np.load(tmp_path / "p.npz") as single, np.load(tmp_path / "mean.npz") as mean:
        np.testing.assert_array_equal(single["labels"], mean["labels"])


def test_open_data_gives_examples_by_number(features: Path) -> None:
    split = package.open_data(features, "train")
    examples = split.take(np.array([3, 1]), ["features"])
    assert examples.inputs["features"].shape == (2, 5, 4)
    assert package.verify_data(features, progress=SILENT) == 128
    with pytest.raises(package.DataError, match="has no split 'trian'"):
        package.open_data(features, "trian")
    with pytest.raises(package.SpecError, match="--sampling is for"):
        package.open_data(features, reading={"sampling": {"type": "all"}})


def test_what_can_not_be_done_is_an_error_of_one_family(features: Path, tmp_path: Path) -> None:
    with pytest.raises(package.SpecError, match="did you mean 'numpy'"):
        package.train(TINY, backend="nunpy", data=features, out=tmp_path / "run")
    with pytest.raises(package.MissingError, match="GPU"):
        package.train(TINY, backend="numpy", device="GPU", data=features, out=tmp_path / "run")
    with pytest.raises(package.SpecError, match="there is no export format"):
        package.export(tmp_path, "onyx")
    with pytest.raises(package.SpecError, match="there is no precision 'float23'"):
        package.build(package.load_spec(TINY), "numpy", precision="float23")
    assert issubclass(package.SpecError, package.AczError)


def test_models_are_listed_loaded_built_and_drawn(tmp_path: Path) -> None:
    assert TINY in package.list_models("flash*:tiny")
    spec = package.load_spec(TINY)
    model = package.build(spec, "numpy", precision="float64", seed=3)
    assert set(model.parameters) == set(spec.parameters)
    assert package.draw_model(TINY, tmp_path / "m.svg").read_text().startswith("<svg")
    states = package.list_backends(progress=SILENT)
    assert states["numpy"].installed
    assert states["numpy"].devices == ("CPU",)
    assert str(states["numpy"]).startswith("numpy: numpy ")


def test_youtube8m_is_made_described_and_converted(tmp_path: Path) -> None:
    package.synthesize_youtube8m(tmp_path / "shards", 6, validation=2, frames=(2, 4), classes=9, progress=SILENT)
    about = package.describe_youtube8m([tmp_path / "shards"], classes=9, progress=SILENT)
    assert (about["videos"], about["defects"]) == (8, {})
    assert package.convert_youtube8m([tmp_path / "shards"], tmp_path / "mapped", classes=9, progress=SILENT) == 8
    assert len(package.open_data(tmp_path / "mapped", "train")) == 6


def test_progress_is_told_to_whoever_is_given(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Recorded(package.Progress):
        """Keeps what it is told."""

        def __init__(self) -> None:
            self.lines: list[str] = []
            self.tasks: set[str] = set()

        def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
            assert 0 <= done <= total
            self.tasks.add(what)

        def line(self, text: str) -> None:
            self.lines.append(text)

    recorded = Recorded()
    package.train(TINY, backend="numpy", data=features, out=tmp_path / "run", overrides=RECIPE, progress=recorded)
    assert [line.split()[0] for line in recorded.lines][-2:] == ["epoch", "epoch"]
    assert "evaluation" in recorded.tasks
    assert capsys.readouterr().err == "", "nothing is shown beside it"


@pytest.mark.slow  # trains several times
def test_a_sweep_and_a_report_are_calls_too(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.yaml").write_text(
        f"config: {TINY}\nbackend: numpy\nset: {{train.epochs: 1, train.batch_size: 16}}\ngrid: {{train.seed: [0, 1]}}\n"
    )
    planned = package.plan_sweep("two.yaml", data=features)
    assert [(trial.state, trial.backend) for trial in planned] == [("new", "numpy")] * 2
    done = package.sweep("two.yaml", data=features, jobs=2, progress=SILENT)
    assert [row["status"] for row in done.trials] == ["done", "done"]
    assert done.csv.is_file()
    page = package.report([trial.folder for trial in planned], tmp_path / "page.html", videos=0, progress=SILENT)
    assert len(page.runs) == 2
    assert "2 runs" in str(page)
    other = write_features(tmp_path / "other", seed=5)
    with pytest.raises(package.SpecError, match="holds trials with other settings"):
        package.sweep("two.yaml", data=other, progress=SILENT)


def test_counts_that_are_not_counts_are_refused_before_anything_is_done(
    trained: package.Trained, features: Path, tmp_path: Path
) -> None:
    for call in (
        lambda: package.evaluate(trained.folder, batch_size=-3),
        lambda: package.evaluate(trained.folder, threads=0),
        lambda: package.infer(trained.folder, tmp_path / "p.npz", top_k=0),
        lambda: package.infer(trained.folder, tmp_path / "p.npz", top_k=-2),
        lambda: package.train(TINY, backend="numpy", data=features, threads=0),
        lambda: package.sweep("flash_mnist_table", jobs=-1),
        lambda: package.synthesize_youtube8m(tmp_path / "shards", 4, shards=0),
    ):
        with pytest.raises(package.SpecError, match="must be a whole number of at least 1"):
            call()
    assert not list(tmp_path.glob(".p.npz*")), "no work folder is claimed"


def test_training_in_a_thread_of_the_user_is_possible(features: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        call = partial(package.train, backend="numpy", data=features, out=tmp_path / "run", overrides=RECIPE)
        assert pool.submit(call, TINY, progress=SILENT).result().epochs == 2


def test_a_silent_call_is_silent_all_the_way_down(
    trained: package.Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package.synthesize_youtube8m(tmp_path / "shards", 6, validation=2, frames=(2, 4), classes=9, progress=SILENT)
    capsys.readouterr()
    spec = {"model.trunk.logits.units": 9}
    tiny = package.load_config("youtube8m/attention_cluster:tiny", spec)
    assert tiny.spec.width == 9
    package.describe_youtube8m([tmp_path / "shards"], classes=9, progress=SILENT)
    package.convert_youtube8m([tmp_path / "shards"], tmp_path / "mapped", classes=9, progress=SILENT)
    assert capsys.readouterr().err == ""


def test_a_configuration_is_taken_where_its_name_is(features: Path, tmp_path: Path) -> None:
    config = package.load_config(TINY, RECIPE)
    trained = package.train(config, backend="numpy", data=features, out=tmp_path / "run", progress=SILENT)
    assert trained.epochs == 2
    assert package.build(TINY, "numpy").spec == config.spec
    assert repr(trained) == f"<Trained: {trained}>"


def test_load_gives_the_weights_of_a_run_a_checkpoint_or_a_model(
    trained: package.Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = package.load_checkpoint(trained.checkpoint)
    for target in (trained.folder, str(trained.folder), trained.checkpoint, checkpoint):
        module = package.load(target, "numpy")
        assert module.spec == checkpoint.spec
        for path, value in checkpoint.parameters.items():
            np.testing.assert_array_equal(module.parameters[path], value)
    starting = package.build(TINY, "numpy", seed=3).parameters
    for module in (
        package.load(TINY, "numpy", seed=3),
        package.load(checkpoint, "numpy", weights=False, seed=3),
        package.build(checkpoint.spec, "numpy", seed=3),
    ):
        for path, value in starting.items():
            np.testing.assert_array_equal(module.parameters[path], value)
    assert package.load(trained.folder, "numpy", precision="float64").parameters["trunk.logits.bias"].dtype == "float64"
    (tmp_path / "runs").mkdir()
    trained.folder.rename(tmp_path / "runs/run")
    monkeypatch.chdir(tmp_path)
    latest = package.load(None, "numpy").parameters
    assert all(np.array_equal(latest[path], value) for path, value in checkpoint.parameters.items())


def test_weights_are_left_out_on_request_alone(trained: package.Trained, tmp_path: Path) -> None:
    for target in (package.load_checkpoint(trained.checkpoint), str(trained.folder), str(trained.checkpoint)):
        with pytest.raises(package.SpecError, match=r"acz.load\(..., backend, weights=False\)"):
            package.build(target, "numpy")  # type: ignore[arg-type]
    with pytest.raises(package.CheckpointError, match="there is no checkpoint"):
        package.load(tmp_path / "none.safetensors", "numpy")
    with pytest.raises(package.SpecError, match="did you mean 'flash_mnist/attention_cluster'"):
        package.load("flash_mnist/attention_clutser", "numpy")
    with pytest.raises(package.SpecError, match="no precision 'float8'"):
        package.load(TINY, "numpy", precision="float8")


def test_parity_is_a_call_and_its_report_says_what_held(acz: Acz) -> None:
    report = package.check_parity("flash_mnist/attention_cluster", backends=["numpy"], levels=[1], progress=SILENT)
    assert report.passed
    assert not report.failures
    assert "checks passed, 1 backends" in str(report)
    caught = package.check_parity(
        "flash_mnist/attention_cluster",
        backends=["numpy"],
        levels=[1],
        mutant="softmax_over_wrong_axis",
        progress=SILENT,
    )
    assert not caught.passed
    assert "features.attention" in "\n".join(caught.failures)


@pytest.mark.parametrize(("wrong", "message"), [({"only": ["stpe"]}, "did you mean 'step'"), ({"rounds": 0}, "rounds")])
def test_a_benchmark_that_is_not_one_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(package.SpecError, match=message):
        package.bench(**wrong)
