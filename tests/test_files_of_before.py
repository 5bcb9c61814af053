"""Files that were written before the code moved are read as they were then.

`fixtures/before_the_house/INDEX.md` says what they are. These tests use the command line and public names of the
package `acz` alone, so that they stay unchanged when modules move. `parity_tests/test_files_of_before.py` has the
part with frameworks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import acz as package
from tests.before_cases import EXPECTED, FILES, as_before, compare_runs, same_bits, same_scores
from tests.conftest import TINY, Answer

MODELS: dict[str, str] = json.loads((FILES / "checkpoints/models.json").read_text())
RUNS = sorted(path.parent.name for path in FILES.glob("runs/*/run.json"))
Command = Callable[..., Answer]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the files, and type commands in the copy: runs name their data from there."""
    folder = shutil.copytree(FILES, tmp_path / "before")
    monkeypatch.chdir(folder)
    return folder


def metadata(path: Path) -> dict[str, str]:
    """Read the head of a checkpoint without acz."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def content(folder: Path) -> dict[str, bytes]:
    """Read every file of a folder that is not hidden."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_no_file_is_large_or_names_a_machine() -> None:
    paths = [path for path in FILES.rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in paths]
    assert sum(sizes) < 1_500_000
    assert max(sizes) < 300_000
    for path in paths:
        assert not [
            word
            for word in (b"/%s/" % name for name in (b"tmp", b"root", b"home", b"work"))
            if word in path.read_bytes()
        ], path


def test_every_model_of_the_zoo_has_its_hash_and_its_parameters(acz: Command) -> None:
    zoo = json.loads((FILES / "zoo.json").read_text())
    listed = {model["name"]: model for model in json.loads(acz("models", "--json").out)}
    for name, recorded in zoo.items():
        about = listed.get(name)
        if about is None:  # a variant of a form is not listed
            shown = json.loads(acz("show", name, "--json").out)
            about = {"spec_hash": shown["spec_hash"], "parameters": shown["parameter_count"]}
        assert {key: about[key] for key in recorded} == recorded, name


def test_every_setting_of_every_layer_is_read(acz: Command, tmp_path: Path) -> None:
    """Each small model on which parity was checked is written as a file of its own."""
    for name, recorded in json.loads((FILES / "layers.json").read_text()).items():
        path = tmp_path / "model.yaml"
        path.write_text(json.dumps({"model": recorded["model"]}))
        shown = json.loads(acz("show", path, "--json").out)
        assert shown["spec_hash"] == recorded["spec_hash"], name
        assert {key: parameter["shape"] for key, parameter in shown["parameters"].items()} == recorded["parameters"], (
            name
        )


@pytest.mark.parametrize("stem", MODELS)
def test_a_checkpoint_is_read_and_the_reference_gives_what_it_gave(stem: str) -> None:
    path = FILES / f"checkpoints/{stem}.safetensors"
    checkpoint = package.load_checkpoint(path)
    assert checkpoint.spec.hash == metadata(path)["spec_hash"] == package.load_spec(MODELS[stem]).hash
    same_bits(checkpoint.parameters, load_file(path))
    with np.load(path.with_suffix(".npz")) as file:
        arrays = dict(file)
    for batch in {key.partition("/")[0] for key in arrays}:
        start = f"{batch}/input/"
        inputs = {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}
        for precision, rtol, atol in (("float64", 1e-12, 1e-13), ("float32", 1e-5, 1e-6)):
            parameters = {name: value.astype(precision) for name, value in checkpoint.parameters.items()}
            computed = package.reference.forward(checkpoint.spec, parameters, inputs)
            for kind in ("output", "logits"):
                wanted = arrays[f"{batch}/expected/{precision}/{kind}"]
                assert computed[kind].dtype == wanted.dtype
                np.testing.assert_allclose(computed[kind], wanted, rtol, atol, err_msg=f"{batch}, {precision}, {kind}")


@pytest.mark.parametrize("run", RUNS)
def test_the_checkpoints_of_a_run_are_read_whole(run: str) -> None:
    for name in ("best", "last"):
        path = FILES / f"runs/{run}/{name}.safetensors"
        checkpoint = package.load_checkpoint(path)
        optimizer = {f"optimizer.{key}": value for key, value in checkpoint.optimizer.items()}
        assert bool(optimizer) == (name == "last")
        same_bits({**checkpoint.parameters, **optimizer}, load_file(path))
        assert checkpoint.state == json.loads(metadata(path)["state"])


@pytest.mark.parametrize("before", EXPECTED["without_a_framework"], ids=lambda before: " ".join(before["typed"]))
def test_a_command_prints_what_it_printed(before: dict[str, Any], acz: Command, there: Path) -> None:
    answer = acz(*before["typed"], "--json")
    assert answer.code == 0, answer.err
    assert as_before(json.loads(answer.out), before["printed"]), answer.out


@pytest.mark.parametrize("kind", ["npz", "jsonl", "csv"])
@pytest.mark.parametrize(("run", "name"), [("torch", "flash"), ("youtube8m", "youtube8m")])
def test_a_run_predicts_what_it_predicted(run: str, name: str, kind: str, acz: Command, there: Path) -> None:
    answer = acz("infer", f"runs/{run}", "--backend", "numpy", "--top-k", 6, "--out", f"again.{kind}")
    assert answer.code == 0, answer.err
    same_scores(there / f"again.{kind}", there / f"predictions/{name}.{kind}")


def test_predictions_are_averaged(acz: Command, there: Path) -> None:
    answer = acz("ensemble", "predictions/flash.npz", "predictions/flash.csv", "--out", "mean.npz")
    assert answer.code == 0, answer.err
    same_scores(there / "mean.npz", there / "predictions/flash.npz")


@pytest.mark.parametrize("name", ["paddle.pdparams", "mindspore.ckpt"])
def test_a_native_file_comes_back_without_its_framework(name: str, acz: Command, there: Path) -> None:
    answer = acz("convert", f"native/{name}", "--from", "acz", "--model", TINY, "--out", "back.safetensors")
    assert answer.code == 0, answer.err
    same_bits(load_file(there / "back.safetensors"), load_file(there / "runs/torch/best.safetensors"))


def test_synthesis_and_conversion_write_the_same_bytes(acz: Command, there: Path) -> None:
    made = json.loads((there / "youtube8m/shards/settings.json").read_text())
    words = ["--videos", made["videos"], "--validation", made["validation"], "--shards", made["shards"]]
    words += ["--frames", *made["frames"], "--classes", made["classes"], "--seed", made["seed"]]
    answers = [
        acz("data", "youtube8m", "synthesize", *words, "--out", "again"),
        acz("data", "youtube8m", "convert", "youtube8m/shards", "--classes", made["classes"], "--out", "arrays"),
    ]
    assert [answer.code for answer in answers] == [0, 0], answers
    assert content(there / "again") == content(there / "youtube8m/shards")
    renamed = {  # before, the validation shards were the split `test` where there were no test shards
        name.replace("test", "validate"): value.replace(b'"test', b'"validate')
        for name, value in content(there / "youtube8m/converted").items()
    }
    assert content(there / "arrays") == renamed


def test_an_interrupted_conversion_is_resumed_to_the_same_bytes(acz: Command, there: Path) -> None:
    folder = there / "youtube8m/converted"
    before = content(folder)
    (folder / "manifest.json").unlink()
    for file in folder.glob("test-*"):
        file.unlink()
    answer = acz("data", "youtube8m", "convert", "youtube8m/shards", "--classes", 4, "--out", folder)
    assert answer.code == 0, answer.err
    assert content(folder) == before


def test_a_finished_conversion_is_gone_on_with_and_left_as_it_is(acz: Command, there: Path) -> None:
    before = content(there / "youtube8m/converted")
    words = ("data", "youtube8m", "convert", "youtube8m/shards", "--classes", 4, "--out", "youtube8m/converted")
    answer = acz(*words, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["videos"] == 10
    assert content(there / "youtube8m/converted") == before


def test_the_interrupted_run_of_pytorch_ends_without_a_framework(acz: Command, there: Path) -> None:
    run, whole = there / "runs/torch_interrupted", there / "runs/torch"
    assert json.loads(metadata(run / "last.safetensors")["state"])["step"] == 11
    answer = acz("train", "--resume", "--out", "runs/torch_interrupted", "--backend", "numpy", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["best"]["steps"] == 16
    compare_runs(run, whole, rtol=1e-4, atol=1e-5)
