"""Conversions without --model: the model is found from the names and shapes in a file."""

from __future__ import annotations

import json
import pickle
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.cli.options import given_overrides
from acz.exchange.weights import incoming
from acz.exchange.weights.finding import SeveralFit, find_model
from acz.exchange.weights.readers.contents import Contents
from acz.exchange.weights.readers.kinds import read
from acz.foundation.errors import SpecError
from acz.model.checkpoint import load_checkpoint
from acz.reference import execution
from acz.zoo.config import load_config
from fuzz import tables
from tests.checkpoint_cases import Case, cases, convert
from tests.conftest import Answer

CASES = [case for case in cases() if case.system != "flash-mnist"]
PADDLE = next(case for case in CASES if case.file.name == "AttentionCluster.pdparams")
DBOF = next(case for case in CASES if case.file.parent.name == "circ_dbof_dense_moe")


def bits(parameters: Mapping[str, Any]) -> list[bytes]:
    """The contents of arrays, whatever their paths are."""
    return sorted(value.tobytes() for value in parameters.values())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_converts_without_a_model_as_with_it(case: Case, acz: Callable[..., Answer], tmp_path: Path) -> None:
    size = ["--batch-size", case.batch_size] if case.batch_size else []
    size += [word for key, value in case.beside.items() for word in ("--set", f"{key}={value}")]
    answer = acz("convert", case.file, *size, "--out", tmp_path / "found.safetensors", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert (told["system"], told["guessed"]) == (case.system, True)
    assert f"its model is {told['model']}" in answer.err
    given = convert(case.file, case.model, case.overrides, tmp_path / "given.safetensors", batch_size=case.batch_size)
    found = load_checkpoint(tmp_path / "found.safetensors")
    assert bits(found.parameters) == bits(given.parameters)
    assert set(found.optimizer) == set(given.optimizer)
    if isinstance(case.model, str):
        assert {path: value.shape for path, value in found.parameters.items()} == {
            path: value.shape for path, value in given.parameters.items()
        }
    else:  # a model whose streams have other names: it gives the recorded values
        recorded, mapped = case.expected["predictions"]
        inputs = {name: value.astype(np.float64) for name, value in case.inputs.items()}
        output = execution.run(found.spec, found.parameters, inputs).output
        assert np.abs(mapped({"output": output}) - recorded).max() <= 1e-4 * np.abs(recorded).max()
    typed = shlex.split(told["model"])
    assert acz("convert", case.file, *size, *typed, "--out", tmp_path / "typed.safetensors").code == 0
    assert (tmp_path / "typed.safetensors").read_bytes() == (tmp_path / "found.safetensors").read_bytes()


def test_settings_are_changed_beside_a_model_that_is_found(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    answer = acz("convert", PADDLE.file, "--set", "model.trunk.dropout.rate=0.25", "--out", out)
    assert "trunk.hidden1.weight was multiplied by 0.75" in answer.err
    assert load_checkpoint(out).spec.trunk["dropout"].model_dump()["rate"] == 0.25
    assert acz("convert", PADDLE.file, "--set", "model.trunk.logits.units=5", "--out", out).code == 2


def test_a_file_without_audio_is_of_a_model_without_audio(tmp_path: Path) -> None:
    with PADDLE.file.open("rb") as file:
        named = {name: value for name, value in pickle.load(file).items() if not name.startswith("satt1")}
    features = named["satt0.conv.weight"].shape[:2]
    named["fc1.weights"] = named["fc1.weights"][: features[0] * features[1]]
    (tmp_path / "rgb.pdparams").write_bytes(pickle.dumps(named, 2))
    found = incoming.convert(tmp_path / "rgb.pdparams", None, tmp_path / "out.safetensors")
    assert list(found.spec.streams) == list(found.spec.inputs) == ["rgb"]
    unnamed = Contents(unnamed=[named[name] for name in sorted(named)])
    assert find_model(tmp_path, "paddle", unnamed, None, {}, ()).spec == found.spec
    arrays = read(DBOF.file, "tensorflow").named
    video = {name: value for name, value in arrays.items() if "audio" not in name}
    for side in ("gates", "experts"):
        video[f"tower/{side}/weights"] = video[f"tower/{side}/weights"][: len(video[f"tower/{side}/weights"]) // 2]
    found = incoming.convert(tables.write(tmp_path, video), None, tmp_path / "out.safetensors")
    assert list(found.spec.streams) == list(found.spec.inputs) == ["rgb"]


def test_names_that_are_allowed_to_be_missing_do_not_hide_the_model(tmp_path: Path) -> None:
    arrays = read(DBOF.file, "tensorflow").named
    prefix = tables.write(tmp_path, {name: value for name, value in arrays.items() if "moving_" not in name})
    with pytest.raises(SpecError, match=r"no model of the zoo .*compact/dbof: .*running_mean does not fit"):
        incoming.convert(prefix, None, tmp_path / "out.safetensors")
    found = incoming.convert(prefix, None, tmp_path / "out.safetensors", allowed=["*.running_*"])
    whole = incoming.convert(DBOF.file, None, tmp_path / "whole.safetensors")
    assert found.spec == whole.spec


def test_where_several_models_fit_they_are_listed(tmp_path: Path) -> None:
    """Circulant experts do not tell how many of them belong to a class."""
    arrays = read(DBOF.file, "tensorflow").named
    named = {name: value for name, value in arrays.items() if "gating" not in name and "Adam" not in name}
    named = {name: value for name, value in named.items() if not name.startswith(("tower/gates", "tower/experts"))}
    for side in ("gates", "expert"):
        named[f"tower/circulant_{side}/weights_circ0_f0"] = np.ones((1, 12), np.float32)
        named[f"tower/circulant_{side}/weights_diag0_f0"] = np.ones((1, 12), np.float32)
    named["tower/circulant_expert/biases"] = np.ones(6, np.float32)
    prefix = tables.write(tmp_path, named)
    with pytest.raises(SeveralFit, match="add the words of one of them") as several:
        incoming.convert(prefix, None, tmp_path / "out.safetensors")
    lines = str(several.value).splitlines()[1:]
    assert [int(line.partition('"mixtures": ')[2][0]) for line in lines] == [1, 2, 3, 6]
    assert all("bags" not in line for line in lines), "changes that all of them have are not repeated"
    chosen = given_overrides(shlex.split(lines[1])[1:])
    found = incoming.convert(prefix, None, tmp_path / "out.safetensors", overrides=chosen)
    assert found.spec.width == 3


def test_a_file_of_no_model_says_why(acz: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"w": np.ones((2, 3), np.float32)}, 2))
    answer = acz("convert", tmp_path / "a.pdparams", "--out", tmp_path / "out.safetensors")
    assert answer.code == 2
    assert "its names (w) and shapes are those of no model of the zoo" in answer.err
    assert "give --model, then the command lists what does not fit" in answer.err
    with PADDLE.file.open("rb") as file:
        named = {name: value for name, value in pickle.load(file).items() if name != "fc2.bias"}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(named, 2))
    answer = acz("convert", tmp_path / "a.pdparams", "--out", tmp_path / "out.safetensors")
    assert "youtube8m/attention_cluster: trunk.hidden2.bias does not fit" in answer.err


def test_null_takes_a_part_out_of_a_model() -> None:
    name = "youtube8m/attention_cluster"
    without = load_config(name, {"model.streams.audio": None, "model.inputs.audio": None, "model.trunk.dropout": None})
    assert (list(without.spec.inputs), list(without.spec.trunk)) == (["rgb"], ["hidden1", "hidden2", "logits"])
    layers = load_config(name, {"model.streams.rgb.layers.dequantize": None}).spec.streams["rgb"].layers
    assert list(layers) == ["attention"]
    with pytest.raises(SpecError, match="there is no 'droput' to take out; did you mean 'dropout'"):
        load_config(name, {"model.trunk.droput": None})
    with pytest.raises(SpecError, match="'audio' is not an input"):
        load_config(name, {"model.inputs.audio": None})
