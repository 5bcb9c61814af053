"""Rules for any backend, its description and its registration: tables, formats, devices, reserved names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend import registry
from acz.backend.devices import split_device
from acz.backend.info import BackendInfo, NativeFormat
from acz.backend.native_layers import native_layers, native_losses
from acz.exchange.weights.readers.kinds import file_kind
from acz.foundation.errors import DataError, SpecError
from acz.model.layers import LAYERS
from acz.model.spec import Spec
from acz.zoo.config import load_config


def test_a_layer_or_loss_that_an_adapter_lacks_is_an_error_when_it_is_imported() -> None:
    whole = {layer.__name__: layer for layer in LAYERS.values()}
    assert native_layers({"__name__": "acz_x.layers", **whole}) == LAYERS
    del whole["NetVLAD"]
    with pytest.raises(ImportError, match=r"acz_x.layers must define NetVLAD:"):
        native_layers({"__name__": "acz_x.layers", **whole})
    with pytest.raises(ImportError, match=r"acz_x.training must define softmax_cross_entropy, .*projection:"):
        native_losses({"__name__": "acz_x.training", "hinge": len})


def tree(stream: str = "x", layer: str = "pool", logits: str = "logits") -> dict[str, Any]:
    return {
        "inputs": {stream: {"frames": 3, "features": 2}},
        "streams": {stream: {"input": stream, "layers": {layer: {"type": "frame_pool", "pooling": "mean"}}}},
        "trunk": {logits: {"type": "dense", "units": 2}},
        "output": "softmax",
    }


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"stream": "train"}, r"model.streams: the name 'train' is taken in backend '\w+'; .*'train_1'"),
        ({"layer": "cuda"}, r"model.streams.x.layers: the name 'cuda' is taken in backend 'torch'"),
        ({"logits": "set_jit_config"}, r"model.trunk: the name 'set_jit_config' is taken in backend 'mindspore'"),
        ({"stream": "graphs"}, r"model.streams: the name 'graphs' is taken in backend 'tensorflow'"),
        ({"stream": "place"}, r"model.streams: the name 'place' is taken in backend 'paddle'"),
    ],
)
def test_a_name_that_a_backend_reserves_is_refused_in_a_configuration_and_read_from_a_file(
    names: dict[str, str], problem: str
) -> None:
    Spec.from_dict(tree(**names))  # what a checkpoint holds is read as it is
    with pytest.raises(SpecError, match=problem):
        load_config(tree(**names))


def test_layers_may_have_names_that_streams_may_not() -> None:
    load_config(tree(layer="graphs", logits="output"))
    with pytest.raises(SpecError, match=r"model.inputs: the name 'output' is reserved by Python or by acz"):
        load_config(tree(stream="output"))
    with pytest.raises(SpecError, match=r"the name 'class' is reserved by Python"):
        load_config(tree(layer="class"))


def test_an_outside_backends_names_are_reserved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = BackendInfo(
        "mirror", "mirror.backend", "numpy", ("mirror",), "mirror", reserved_names=frozenset({"pool"})
    )
    load_config(tree())
    monkeypatch.setattr(registry, "infos", lambda: {"mirror": outside})
    with pytest.raises(SpecError, match=r"model.streams.x.layers: the name 'pool' is taken in backend 'mirror'"):
        load_config(tree())


def test_an_outside_backends_files_are_recognised_and_other_archives_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "weights.npz", w=np.zeros(2))
    (tmp_path / "marked").mkdir()
    (tmp_path / "marked/mirror.json").write_text("{}")
    with pytest.raises(
        DataError, match=r"no checkpoint of a known kind; keras, mindspore, paddle, safetensors, tensorflow, torch"
    ):
        file_kind(tmp_path / "weights.npz")
    assert file_kind(tmp_path / "marked") == "paddle"

    def recognises(path: Path) -> bool:
        return path.suffix == ".npz" or (path / "mirror.json").is_file()

    native = NativeFormat("mirror-npz", "", recognises, "numpy.load(FILE)")
    outside = BackendInfo("mirror", "mirror.backend", "numpy", ("mirror",), "mirror", native=native)
    known = registry.infos()
    monkeypatch.setattr(registry, "infos", lambda: known | {"mirror": outside})
    assert file_kind(tmp_path / "weights.npz") == file_kind(tmp_path / "marked") == "mirror-npz"


def test_a_checkpoint_is_no_pickle_whatever_the_length_of_its_header(tmp_path: Path) -> None:
    for length in range(2, 300):  # the first bytes of some lengths are those of a pickle
        file = tmp_path / "one.safetensors"
        file.write_bytes(length.to_bytes(8, "little") + b"{" + b" " * (length - 2) + b"}")
        assert file_kind(file) == "safetensors"


@pytest.mark.parametrize(
    ("device", "parts"), [("CPU", ("CPU", 0)), ("GPU", ("GPU", 0)), ("TPU:0", ("TPU", 0)), ("xpu_2:13", ("xpu_2", 13))]
)
def test_a_device_may_be_of_any_kind(device: str, parts: tuple[str, int]) -> None:
    assert split_device(device) == parts


@pytest.mark.parametrize("device", ["", "CPU:0", "GPU:", ":1", "GPU:-1", "GPU:1:2", "GPU 1", "1"])
def test_what_is_no_device_is_refused_with_what_to_type(device: str) -> None:
    with pytest.raises(SpecError, match=r"there is no device .*; type CPU, or a kind and a number, as GPU, GPU:1"):
        split_device(device)
