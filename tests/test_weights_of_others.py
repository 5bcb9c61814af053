"""Plain safetensors, and pickles of PaddlePaddle with more than weights in them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import acz as package
from acz.exchange.weights.readers.kinds import file_kind, read
from acz.exchange.weights.readers.nested import without_prefixes
from acz.foundation.errors import DataError
from tests.conftest import Answer

FILE = Path(__file__).parent / "fixtures/reports/torch_files/plain.safetensors"
MODEL = ("--model", "flash_mnist/attention_cluster")
SIZES = ("--set", "model.streams.features.layers.attention.units=4", "--set", "model.trunk.logits.units=16")
Acz = Callable[..., Answer]


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return set(first) == set(second) and all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_plain_safetensors_are_converted_with_their_model_and_refused_elsewhere(acz: Acz, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    answer = acz("convert", FILE, *MODEL, *SIZES, "--out", out)
    assert answer.code == 0, answer.err
    assert same(package.load_checkpoint(out).parameters, load_file(FILE))
    listed = acz("convert", FILE, *MODEL, "--out", tmp_path / "other.safetensors").err
    assert "--set model.streams.features.layers.attention.units=4" in listed
    assert "already" not in listed
    advice = f"not a checkpoint of acz, whose metadata hold the model; 'acz convert {FILE} --model CONFIG --out CKPT'"
    for words in (
        ("eval", FILE),
        ("infer", FILE),
        ("export", FILE, "--format", "onnx"),
        ("convert", FILE, "--to", "torch", "--out", tmp_path / "x.pt"),
        ("train", "--from", FILE, "--data", tmp_path),
    ):
        answer = acz(*words)
        assert answer.code == 2
        assert advice in answer.err, words


def test_a_file_of_another_program_is_sent_to_convert(acz: Acz, tmp_path: Path) -> None:
    file = tmp_path / "weights.pdparams"
    file.write_bytes(pickle.dumps({"w": np.zeros(3)}, 2))
    assert f"'acz convert {file} --model CONFIG --out CKPT' makes a checkpoint of it" in acz("eval", file).err


def test_safetensors_of_any_type_come_as_they_are(tmp_path: Path) -> None:
    arrays = {
        kind: np.arange(6).reshape(2, 3).astype(kind)
        for kind in "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()
    }
    save_file(arrays, tmp_path / "a.safetensors", {"made": "by another program"})
    assert file_kind(tmp_path / "a.safetensors") == "safetensors"
    contents = read(tmp_path / "a.safetensors", "safetensors").named
    assert same(contents, arrays)
    assert {name: value.dtype for name, value in contents.items()} == {
        name: value.dtype for name, value in arrays.items()
    }


def written(path: Path, about: dict[str, Any], content: bytes) -> Path:
    header = json.dumps(about).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return path


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 0.0], np.float32)
    content = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    about = {"module.w": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    contents = read(written(tmp_path / "a", about, content), "safetensors")
    np.testing.assert_array_equal(contents.named["w"], values)
    assert contents.notes == ["'module.' before all names is taken off"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another type": ({"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}, "'w' is F8_E4M3, which is not read"),
    "too short": ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "8 bytes, the file holds 4"),
    "no place": ({"dtype": "F32", "shape": [1]}, "damaged: 'data_offsets'"),
    "a place of text": ({"dtype": "F32", "shape": [1], "data_offsets": ["0", "4"]}, "not a number"),
    "a negative place": ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 4]}, "not a number"),
    "a negative side": ({"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}, "not valid"),
    "a type of a list": ({"dtype": [], "shape": [1], "data_offsets": [0, 4]}, "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_safetensors_are_refused(name: str, tmp_path: Path) -> None:
    about, message = BAD[name]
    with pytest.raises(DataError, match=message):
        read(written(tmp_path / "a", {"w": about}, bytes(4)), "safetensors")


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    for header in (b"{" + b"[" * 100_000, b'{"a": ', b"{} x"):
        (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(DataError, match="damaged"):
            file_kind(tmp_path / "a")


def test_weights_of_paddle_are_found_beside_a_trainings_state(tmp_path: Path) -> None:
    weights = {"w": np.arange(4.0, dtype=np.float32), "b": np.ones(2, np.float32)}
    training = {"epoch": 3, "best": np.float64(0.5), "opt": {"moment": {"w": np.zeros(4)}, 0: [1]}}
    for content in (
        {"model": weights, **training, "StructuredToParameterName@@": {"w": "w_0"}},
        {"state_dict": {f"module.{name}": value for name, value in weights.items()}, **training},
        {"net": {name: (name, value) for name, value in weights.items()}, **training},
    ):
        (tmp_path / "a.pdparams").write_bytes(pickle.dumps(content, 2))
        contents = read(tmp_path / "a.pdparams", file_kind(tmp_path / "a.pdparams"))
        assert same(contents.named, weights)
        assert "left aside: epoch, best, opt" in contents.notes


def test_only_what_all_names_have_is_taken_off() -> None:
    one, two = np.zeros(1), np.ones(1)
    assert without_prefixes({"module.a": one, "b": two}) == ({"module.a": one, "b": two}, [])
    assert without_prefixes({"module._orig_mod.a.x": one, "module._orig_mod.b": two})[0] == {"a.x": one, "b": two}
    assert without_prefixes({"model.a": one}) == ({"model.a": one}, [])
    assert without_prefixes({}) == ({}, [])
