"""Files of MindSpore and PaddlePaddle, and pickled features, without a framework: converted, listed, refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from acz_torch.files import LEGACY as TORCH_LEGACY

import acz as package
from acz.data.registry import fingerprint, open_split
from acz.exchange.weights.matching import pointwise
from acz.exchange.weights.readers import messages
from acz.exchange.weights.readers.kinds import file_kind, read
from acz.foundation.errors import AczError, DataError
from acz.reference import execution
from tests.checkpoint_cases import FOLDER, Case, cases, convert
from tests.conftest import Answer, write_features

CASES = [case for case in cases() if case.system != "flash-mnist"]
PORT = "flash_mnist/attention_cluster"
PADDLE = next(case for case in CASES if case.file.name == "AttentionCluster.pdparams")
TRAINED = next(case for case in CASES if case.file.name.startswith("attention_cluster_1"))


def words(case: Case) -> list[str]:
    """A case's settings as typed."""
    return [word for key, value in case.overrides.items() for word in ("--set", f"{key}={json.dumps(value)}")]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_is_recognised_converted_and_gives_the_recorded_values(case: Case, tmp_path: Path) -> None:
    done = convert(case.file, case.model, case.overrides, tmp_path / "out.safetensors", batch_size=case.batch_size)
    assert (done.system, done.guessed) == (case.system, True)
    checkpoint = package.load_checkpoint(tmp_path / "out.safetensors")
    digest = hashlib.sha256(case.file.read_bytes()).hexdigest() if case.file.is_file() else None
    source = checkpoint.state["converted_from"]
    assert source["system"] == case.system
    assert case.file.is_dir() or source["file"] == case.file.name
    assert digest in (source["sha256"], None)
    inputs = {name: value if value.dtype == bool else value.astype(np.float64) for name, value in case.inputs.items()}
    ours = execution.run(checkpoint.spec, checkpoint.parameters, inputs, record=True)
    values = {**(ours.recorded or {}), "logits": ours.logits, "output": ours.output}
    for what, (recorded, mapped) in case.expected.items():
        assert np.abs(mapped(values) - recorded).max() <= 1e-4 * np.abs(recorded).max(), what


def test_a_folder_of_variables_reads_as_the_one_file_does(tmp_path: Path) -> None:
    """Each file of the folder is one variable of the stream."""
    order = json.loads((FOLDER / "paddle/config.json").read_text())["pdckpt_order"]
    content, at = (FOLDER / "paddle/AttentionCluster_epoch0.pdckpt").read_bytes(), 0
    folder = tmp_path / "persistables"
    folder.mkdir()
    for name in order:
        (length,) = struct.unpack_from("<i", content, at + 16)
        described = messages.tensor_description(content[at + 20 : at + 20 + length])
        end = at + 20 + length + 4 * int(np.prod(described.dims))
        (folder / name).write_bytes(content[at:end])
        at = end
    assert at == len(content)
    whole = convert(PADDLE.file, PADDLE.model, PADDLE.overrides, tmp_path / "one.safetensors")
    apart = convert(folder, PADDLE.model, PADDLE.overrides, tmp_path / "two.safetensors")
    for path, value in whole.parameters.items():
        assert np.array_equal(value, apart.parameters[path])
    inference = tmp_path / "inference"
    inference.mkdir()
    shutil.copy(FOLDER / "paddle/AttentionCluster_final.pdparams", inference / "params.pdparams")
    (inference / "__model__").write_bytes(b"a program")
    assert len(read(inference, "paddle").unnamed) == len(whole.parameters)


def test_paddles_dropout_is_folded_into_the_next_weights_and_said(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    answer = acz("convert", PADDLE.file, "--model", PADDLE.model, *words(PADDLE), "--out", out)
    assert answer.code == 0, answer.err
    assert "trunk.hidden1.weight was multiplied by 0.5" in answer.err
    assert "recognised as paddle-video" in answer.err
    with PADDLE.file.open("rb") as file:
        theirs = pickle.load(file)
    ours = package.load_checkpoint(out).parameters
    assert np.array_equal(ours["trunk.hidden1.weight"], theirs["fc1.weights"] * np.float32(0.5))
    assert np.array_equal(ours["trunk.hidden2.weight"], theirs["fc2.weights"])
    without = {**PADDLE.overrides, "model.trunk.dropout.rate": 0.0}
    done = convert(PADDLE.file, PADDLE.model, without, out)
    assert not done.notes
    assert np.array_equal(done.parameters["trunk.hidden1.weight"], theirs["fc1.weights"])


def test_the_ports_adam_state_is_kept_and_its_names_are_no_parameters(tmp_path: Path) -> None:
    done = convert(TRAINED.file, TRAINED.model, TRAINED.overrides, tmp_path / "out.safetensors", "mindspore-port")
    checkpoint = package.load_checkpoint(tmp_path / "out.safetensors")
    assert checkpoint.optimizer["step"] == 2
    assert {f"{m}.{path}" for m in "mv" for path in done.spec.trained} | {"step"} == set(checkpoint.optimizer)
    theirs = read(TRAINED.file, "mindspore").named
    assert np.array_equal(checkpoint.optimizer["m.trunk.logits.weight"], theirs["moment1.fc.weight"].T)
    assert np.array_equal(checkpoint.optimizer["v.features.attention.alpha"], theirs["moment2.0.w"])
    assert any("step 2 are kept" in note for note in done.notes)


def test_no_bias_in_the_ports_convolutions_is_zeros(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.file.name == "extractor_only.ckpt")
    done = convert(case.file, case.model, case.overrides, tmp_path / "out.safetensors")
    assert not done.parameters["frame.conv1.bias"].any()
    assert any("no bias" in note for note in done.notes)


def test_what_does_not_fit_is_listed_with_the_words_that_would(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    answer = acz("convert", TRAINED.file, "--model", PORT, "--out", out)
    assert answer.code == 2
    units, classes = (
        TRAINED.overrides[f"model.{key}"] for key in ("streams.features.layers.attention.units", "trunk.logits.units")
    )
    assert f"fc.bias is trunk.logits.bias: ({classes},) in the file, (1024,) in the model" in answer.err
    assert f"--set model.streams.features.layers.attention.units={units}" in answer.err
    assert not out.exists()
    suggested = answer.err[answer.err.index("fits: ") + 6 :].split()
    assert acz("convert", TRAINED.file, "--model", PORT, *suggested, "--out", out).code == 0


def test_a_hidden_layer_that_the_model_has_not_is_suggested(acz: Callable[..., Answer], tmp_path: Path) -> None:
    file = next(case.file for case in CASES if str(case.model).endswith("hidden"))
    answer = acz("convert", file, "--model", PORT, "--out", tmp_path / "out.safetensors")
    assert "left over in the file: 0.seq.2.weight" in answer.err
    assert "layers.attention.hidden=128" in answer.err
    back = acz("convert", TRAINED.file, "--model", f"{PORT}_hidden", "--out", tmp_path / "out.safetensors")
    assert "layers.attention.hidden=null" in back.err


def test_missing_and_left_over_are_allowed_by_name_only(acz: Callable[..., Answer], tmp_path: Path) -> None:
    case = next(case for case in CASES if case.file.name == "extractor_only.ckpt")
    out = tmp_path / "out.safetensors"
    typed = ("convert", case.file, "--from", "mindspore-port", "--model", case.model, "--out", out)
    answer = acz(*typed)
    assert answer.code == 2
    assert "missing in the file: fc2.weight, which is trunk.logits.weight (50, 11)" in answer.err
    assert acz(*typed, "--allow", "trunk.logits.weight").code == 2
    answer = acz(*typed, "--allow", "trunk.*")
    assert answer.code == 0
    assert "starting values of seed 0, as was allowed: trunk.logits.weight, trunk.logits.bias" in answer.err
    answer = acz(*typed, "--allow", "trunk.*", "--allow", "conv9*")
    assert answer.code == 2
    assert "'conv9*' names nothing" in answer.err


def test_other_formulas_and_systems_are_refused(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    typed = ("convert", TRAINED.file, "--from", "mindspore-port", "--out", out, *words(TRAINED))
    over_units = ("--set", "model.streams.features.layers.attention.normalize_over=units")
    assert "not one of mindspore-port's" in acz(*typed, "--model", TRAINED.model, *over_units).err
    assert "'mindspore-port'?" in acz("convert", TRAINED.file, "--from", "mindspore", "--model", PORT, "--out", out).err
    assert (
        "--from mindspore-port or acz"
        in acz("convert", TRAINED.file, "--from", "paddle-video", "--model", PORT, "--out", out).err
    )
    assert "do not show which system" in acz("convert", PADDLE.file, "--model", PORT, "--out", out).err
    assert "leave out --from" in acz("convert", TRAINED.file, "--to", "torch", "--from", "acz", "--out", out).err
    assert "*.keras only" in acz("convert", TRAINED.file, "--to", "keras", "--out", tmp_path / "a.h5").err
    assert "is the file that is read" in acz("convert", TRAINED.file, "--model", PORT, "--out", TRAINED.file).err
    assert acz("convert", TRAINED.file, "--to", "onnx", "--out", out).code == 2
    assert acz("convert", tmp_path / "none.ckpt", "--model", PORT, "--out", out).code == 2
    assert not out.exists()


def test_a_checkpoint_of_this_program_is_not_converted_in(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    convert(TRAINED.file, TRAINED.model, TRAINED.overrides, out)
    with pytest.raises(DataError, match="a checkpoint of acz already"):
        convert(out, TRAINED.model, TRAINED.overrides, tmp_path / "again.safetensors")


def test_kinds_of_files_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content, kind in (
        (TORCH_LEGACY + b"...", "torch"),
        (pickle.dumps({}, 2), "paddle"),
        (pickle.dumps({}, 0), "paddle"),
        (bytes(16), "paddle"),
        (b"\x0a\x02\x0a\x00", "mindspore"),
    ):
        file.write_bytes(content)
        assert file_kind(file) == kind
    assert file_kind(tmp_path) == "paddle"
    for content in (b"", b"hello", b"PK\x03\x04 and no archive"):
        file.write_bytes(content)
        with pytest.raises(DataError, match="file"):
            file_kind(file)


def mindspore_file(*tensors: tuple[str, list[int], str, bytes]) -> bytes:
    message = messages.checkpoint(b"")
    for tag, dims, kind, content in tensors:
        value = message.value.add()
        value.tag, value.tensor.tensor_type, value.tensor.tensor_content = tag, kind, content
        value.tensor.dims.extend(dims)
    return bytes(message.SerializeToString())


def test_a_mindspore_array_in_parts_is_joined_and_a_checksum_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "a.ckpt"
    value = np.arange(6, dtype=np.float32).reshape(3, 2)
    parts = [("w", [3, 2], "Float32", value[:1].tobytes()), ("w", [3, 2], "Float32", value[1:].tobytes())]
    file.write_bytes(mindspore_file(*parts, ("n", [0], "Int32", struct.pack("<i", 5))) + b"crc_num" + bytes(10))
    named = read(file, "mindspore").named
    assert np.array_equal(named["w"], value)
    assert named["n"].shape == ()


DAMAGED_CKPT = {
    "size": mindspore_file(("w", [2**40, 2**40], "Float32", b"abcd")),
    "negative": mindspore_file(("w", [-1, -4], "Float32", b"abcd")),
    "kind": mindspore_file(("w", [1], "Float99", b"abcd")),
    "twice": mindspore_file(("w", [1], "Float32", b"abcd"), ("w", [2], "Float32", b"abcd")),
    "cut": mindspore_file(("w", [1], "Float32", b"abcd"))[:-3],
    "noise": b"\x0a" + bytes(range(200)),
}


@pytest.mark.parametrize("name", list(DAMAGED_CKPT))
def test_a_damaged_mindspore_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(DAMAGED_CKPT[name])
    with pytest.raises(DataError, match=r"a\.ckpt"):
        read(tmp_path / "a.ckpt", "mindspore")


def paddle_variable(dims: bytes, kind: int = 5, content: bytes = b"abcd", length: int | None = None) -> bytes:
    described = bytes([8, kind]) + dims
    return struct.pack("<IQIi", 0, 0, 0, len(described) if length is None else length) + described + content


DAMAGED_PADDLE = {
    "size": paddle_variable(b"\x10\xff\xff\xff\xff\x7f\x10\xff\xff\xff\xff\x7f"),
    "negative": paddle_variable(b"\x10" + b"\xff" * 9 + b"\x01"),
    "kind": paddle_variable(b"\x10\x01", kind=99),
    "length": paddle_variable(b"\x10\x01", length=-5),
    "long length": paddle_variable(b"\x10\x01", length=2**31 - 1),
    "cut": paddle_variable(b"\x10\x01")[:-2],
    "pickled number": pickle.dumps({"w": 3}),
    "pickled list": pickle.dumps([1]),
}


@pytest.mark.parametrize("name", list(DAMAGED_PADDLE))
def test_a_damaged_paddle_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.pdparams").write_bytes(DAMAGED_PADDLE[name])
    with pytest.raises(DataError, match=r"a\.pdparams"):
        read(tmp_path / "a.pdparams", "paddle")


def test_a_name_in_a_file_can_not_forge_lines_of_the_message(tmp_path: Path) -> None:
    with PADDLE.file.open("rb") as file:
        theirs = pickle.load(file)
    theirs["x\n  all is well\x1b[2J"] = np.zeros(1, np.float32)
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(theirs, 2))
    with pytest.raises(AczError) as caught:
        convert(tmp_path / "a.pdparams", PADDLE.model, PADDLE.overrides, tmp_path / "out.safetensors")
    assert r"left over in the file: x\n  all is well\x1b[2J (1,)" in str(caught.value)


def test_wide_weights_are_rounded_and_that_is_said(tmp_path: Path) -> None:
    with PADDLE.file.open("rb") as file:
        theirs = {name: np.array(value, np.float64) for name, value in pickle.load(file).items()}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(theirs, 2))
    done = convert(tmp_path / "a.pdparams", PADDLE.model, PADDLE.overrides, tmp_path / "out.safetensors")
    assert "its float64 weights are rounded to float32" in done.notes
    assert {value.dtype for value in done.parameters.values()} == {np.dtype(np.float32)}


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with PADDLE.file.open("rb") as file:
        theirs = {name: np.array(value) for name, value in pickle.load(file).items()}
    theirs["fc2.bias"][0] = np.nan
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(theirs, 2))
    with pytest.raises(DataError, match=r"a\.pdparams: 'fc2.bias' holds NaN"):
        convert(tmp_path / "a.pdparams", PADDLE.model, PADDLE.overrides, tmp_path / "out.safetensors")


def test_a_stream_of_another_number_of_arrays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdparams").write_bytes(paddle_variable(b"\x10\x01") * 3)
    with pytest.raises(AczError, match="3 arrays without names, but the model has 14 parameters"):
        convert(tmp_path / "a.pdparams", PADDLE.model, PADDLE.overrides, tmp_path / "out.safetensors", "paddle-video")


def test_a_convolution_of_another_size_is_no_dense_layer() -> None:
    assert pointwise(np.zeros((3, 5, 1, 1))).shape == (5, 3)
    assert pointwise(np.zeros((3, 1, 1))).shape == (1, 3)
    assert pointwise(np.zeros((3, 5, 2, 1))).shape == (3, 5, 2, 1)


# Pickled features


PICKLES = sorted((FOLDER / "flash").glob("feature_test*.pkl"))


@pytest.mark.parametrize("file", PICKLES, ids=[file.name for file in PICKLES])
def test_pickled_features_are_a_data_set(file: Path) -> None:
    split = open_split(file, "test")
    with np.load(FOLDER / "flash/features.npz") as recorded:
        features, labels = recorded["expected/features_test"], recorded["expected/labels_test"]
        ids = recorded["expected/ids_test"].tolist()
    split.require(package.load_spec(PORT))
    examples = split.take(np.array([len(split) - 1, 0]), ["features"])
    assert np.array_equal(examples.inputs["features"], features[[-1, 0]])
    assert examples.labels.tolist() == labels[[-1, 0]].tolist()
    assert [len(batch.labels) for batch in split.in_order(2, ["features"])] == [2, 1]
    of_port = "msport" in file.name
    assert split.ids(np.arange(len(split))) == ([str(n) for n in range(len(split))] if of_port else ids)


def test_a_folder_of_features_names_its_examples_by_number(tmp_path: Path) -> None:
    split = open_split(write_features(tmp_path / "features"), "train")
    assert split.ids(np.array([3, 0])) == ["3", "0"]
    assert (
        fingerprint(tmp_path / "features")
        == hashlib.sha256((tmp_path / "features/manifest.json").read_bytes()).hexdigest()
    )


def pickled(folder: Path, split: str, features: object = None, labels: object = None, ids: object = None) -> Path:
    """A file of eight videos. The given parts replace good ones."""
    source = np.random.default_rng(len(split))
    good = [source.standard_normal((5, 4)).astype(np.float32) for _ in range(8)]
    content = (
        good if features is None else features,
        [np.int64(n % 6) for n in range(8)] if labels is None else labels,
        [f"video {n}" for n in range(8)] if ids is None else ids,
    )
    folder.mkdir(exist_ok=True)
    (folder / f"feature_{split}.pkl").write_bytes(pickle.dumps(content, 2))
    return folder / f"feature_{split}.pkl"


def test_training_and_evaluation_read_a_folder_of_pickles(acz: Callable[..., Answer], tmp_path: Path) -> None:
    folder = tmp_path / "pickles"
    pickled(folder, "train")
    file = pickled(folder, "test")
    tiny = f"{PORT}:tiny"
    out = tmp_path / "run"
    typed = ("train", tiny, "--backend", "numpy", "--data", folder, "--out", out, "--set", "train.epochs=1")
    answer = acz(*typed)
    assert answer.code == 0, answer.err
    assert json.loads((out / "run.json").read_text())["data_manifest"] == fingerprint(folder)
    answer = acz("eval", out, "--backend", "numpy", "--data", file, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["examples"] == 8
    answer = acz("train", tiny, "--backend", "numpy", "--data", file, "--out", tmp_path / "other")
    assert answer.code == 2
    assert "give the folder of both files" in answer.err
    file.write_bytes(file.read_bytes() + b" ")
    assert acz("train", "--resume", "--out", out).code == 2


BAD = {
    "no tuple": ([1, 2], "tuple of three lists"),
    "two lists": (([], []), "tuple of three lists"),
    "lengths": (([np.zeros((5, 4), "f4")], [1, 2], ["a"]), "1 features, 2 labels"),
    "empty": (([], [], []), "0 features"),
    "shapes": (([np.zeros((5, 4), "f4"), np.zeros((6, 4), "f4")], [1, 2], ["a", "b"]), "example 1: features must be"),
    "numbers": (([1.0], [1], ["a"]), "got float"),
    "axes": (([np.zeros(4, "f4")], [1], ["a"]), "example 0: features must be"),
    "nan": (([np.full((5, 4), np.nan, "f4")], [1], ["a"]), "NaN or infinity"),
    "label": (([np.zeros((5, 4), "f4")], ["x"], ["a"]), "label must be an integer, got str"),
    "big label": (([np.zeros((5, 4), "f4")], [2**70], ["a"]), "64 bits"),
    "shared": (([np.zeros((500, 400), "f4")] * 90, [1] * 90, ["a"] * 90), "more than the file can hold"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_other_pickles_are_no_data_set(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    (tmp_path / "feature_test.pkl").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=message):
        open_split(tmp_path / "feature_test.pkl", "test")


def test_a_folder_that_is_unclear_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pickles"
    pickled(folder, "train")
    with pytest.raises(DataError, match=r"no feature_test\*"):
        open_split(folder, "test")
    shutil.copy(folder / "feature_train.pkl", folder / "feature_train_2.pkl")
    for name in ("train", "test"):
        with pytest.raises(DataError, match="several files of 'train'"):
            open_split(folder, name)
    with pytest.raises(DataError, match="holds no finished data set"):
        open_split(tmp_path, "test")
    three = package.load_spec("flash_mnist/multimodal:tiny")
    with pytest.raises(DataError, match="the model reads 3"):
        open_split(folder / "feature_train.pkl", "train").require(three)
