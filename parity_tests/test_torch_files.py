"""Files of PyTorch as people save them: nested, wrapped, with a whole training beside the weights. Nothing is run."""

from __future__ import annotations

import argparse
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from acz.backend.protocol import Backend
from acz.backend.worker import Worker
from acz.exchange.weights.incoming import Converted
from acz.exchange.weights.readers import kinds
from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import DataError
from tests.checkpoint_cases import convert

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parent.parent / "tests/fixtures/reports/torch_files"
MODEL = "flash_mnist/attention_cluster"
SIZES = {"model.streams.features.layers.attention.units": 4, "model.trunk.logits.units": 16}
SAID = {
    "plain.pth": [],
    "module.pth": ["'module.' before all names is taken off"],
    "orig_mod.pth": ["'_orig_mod.' before all names is taken off"],
    "state_dict.pth": ["its weights are those under 'state_dict'"],
    "npscalar.pth": ["its weights are those under 'state_dict'", "left aside: epoch, best_acc"],
    "plain.safetensors": [],
}


class Settings(dict):
    """A dictionary of its own class, as libraries of configurations have it."""


class Command:
    """An object that a pickle makes by running a program."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.check_call, (["touch", str(self.ran)],)


def write_files(backend: Backend, folder: Path, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: save the arrays as PyTorch's users do."""
    import torch

    weights = {name: torch.from_numpy(value) for name, value in arrays.items()}
    others = {name: torch.zeros_like(value) for name, value in weights.items()}
    random = {"numpy": np.random.default_rng(0).bit_generator.state, "legacy": np.random.RandomState(0).get_state()}
    whole = torch.nn.Module()
    for name, value in weights.items():
        *path, last = name.split(".")
        module = whole
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = getattr(module, part)
        module.register_parameter(last, torch.nn.Parameter(value.clone()))
    optimizer = torch.optim.AdamW(whole.parameters())
    sum(value.sum() for value in whole.parameters()).backward()
    optimizer.step()
    for value, name in zip(whole.parameters(), [name for name, _ in whole.named_parameters()], strict=True):
        value.data.copy_(weights[name])
    training = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, out=Path("runs")),
        "best": np.float64(0.5),
        "optimizer": optimizer.state_dict(),
        "rng": random,
        "history": defaultdict(list, loss=[np.float32(1)]),
    }
    files: dict[str, Any] = {
        "model_state_dict": training | {"model_state_dict": weights},
        "net": {"net": weights, "acc": np.float64(1), "seen": np.arange(3)},
        "unknown": {"generator": weights, "step": 7},
        "module": {"module": {f"module.{name}": value for name, value in weights.items()}},
        "compiled": {"model": {f"_orig_mod.module.{name}": value for name, value in weights.items()}},
        "ema": {"ema": others, "model": weights},
        "only_ema": {"ema": {"n_averaged": torch.tensor(9)} | {f"module.{n}": v for n, v in weights.items()}},
        "settings": training | {"cfg": Settings(lr=Settings(base=0.1)), "state_dict": weights},
        "lightning": {"pytorch-lightning_version": "2.6.0"}
        | {"state_dict": {f"model.{name}": value for name, value in weights.items()}, "callbacks": {}},
        "arrays": {"epoch": 3} | {name: value.numpy() for name, value in weights.items()},
        "arrays_inside": {"model": {name: np.asfortranarray(value.numpy(), ">f4") for name, value in weights.items()}},
        "whole": whole,
        "whole_inside": {"model": whole, "epoch": 1},
        "running": {"state_dict": weights, "hook": Command(folder / "ran")},
        "two": {"first": weights, "second": others},
        "nothing": {"epoch": 3, "state_dict": {}},
        "half": {name: value.bfloat16() for name, value in weights.items()},
    }
    for name, content in files.items():
        torch.save(content, folder / f"{name}.pth")
    torch.save(files["settings"], folder / "legacy.pth", _use_new_zipfile_serialization=False)
    return None, {}


@pytest.fixture(scope="module")
def weights() -> Arrays:
    return load_file(FIXTURES / "plain.safetensors")


@pytest.fixture(scope="module")
def folder(weights: Arrays, worker: Callable[[str], Worker], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    worker("torch").run(write_files, folder, weights)
    return folder


@pytest.fixture(autouse=True)
def _one_process(worker: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let conversions read files in the tests' own process of PyTorch."""
    monkeypatch.setattr(kinds, "Worker", lambda backend: nullcontext(worker(backend)))


def read(file: Path, out: Path, **more: Any) -> Converted:
    return convert(file, MODEL, SIZES, out / "out.safetensors", "acz", **more)


def require_same(converted: Converted, weights: Arrays) -> None:
    assert set(converted.parameters) == set(weights)
    for name, value in weights.items():
        assert converted.parameters[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("name", SAID)
def test_a_reported_file_gives_its_weights_and_says_what_was_done(name: str, weights: Arrays, tmp_path: Path) -> None:
    converted = read(FIXTURES / name, tmp_path)
    require_same(converted, weights)
    assert converted.notes == SAID[name]


FILES = {
    "model_state_dict": ["under 'model_state_dict'", "left aside: epoch, args, best, optimizer, rng, history"],
    "net": ["under 'net'", "left aside: acc, seen"],
    "unknown": ["under 'generator'", "left aside: step"],
    "module": ["under 'module'", "'module.'"],
    "compiled": ["under 'model'", "'_orig_mod.'", "'module.'"],
    "ema": ["under 'model'", "left aside: ema"],
    "only_ema": ["under 'ema'", "'module.'"],
    "settings": ["under 'state_dict'", "left aside: epoch, args, best, optimizer, rng, history, cfg"],
    "legacy": ["under 'state_dict'", "left aside: epoch, args, best, optimizer, rng, history, cfg"],
    "lightning": ["under 'state_dict'", "left aside: pytorch-lightning_version, callbacks", "'model.'"],
    "arrays": ["left aside: epoch"],
    "arrays_inside": ["under 'model'"],
    "whole": [],
    "whole_inside": ["under 'model'", "left aside: epoch"],
    "running": ["under 'state_dict'", "left aside: hook"],
}
"""Parts of the remarks on each file, in their order."""


@pytest.mark.parametrize("name", FILES)
def test_weights_are_found_beside_whatever_a_training_keeps(
    name: str, folder: Path, weights: Arrays, tmp_path: Path
) -> None:
    converted = read(folder / f"{name}.pth", tmp_path)
    require_same(converted, weights)
    assert len(converted.notes) == len(FILES[name]), converted.notes
    for note, part in zip(converted.notes, FILES[name], strict=True):
        assert part in note
    assert not (folder / "ran").exists()


def test_a_key_chooses_among_several_sets(folder: Path, weights: Arrays, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several sets of weights; say one with --key: first, second"):
        read(folder / "two.pth", tmp_path)
    require_same(read(folder / "two.pth", tmp_path, key="first"), weights)
    for name, key in (("two", "second"), ("ema", "ema")):
        averaged = read(folder / f"{name}.pth", tmp_path, key=key)
        assert not any(value.any() for value in averaged.parameters.values())
    with pytest.raises(DataError, match="no weights under 'frist'; did you mean 'first'"):
        read(folder / "two.pth", tmp_path, key="frist")


def test_bfloat16_comes_as_the_same_numbers_in_float32(folder: Path, weights: Arrays, tmp_path: Path) -> None:
    for name, value in read(folder / "half.pth", tmp_path).parameters.items():
        assert not (value.view(np.uint32) & 0xFFFF).any()
        np.testing.assert_allclose(value, weights[name], rtol=2**-8)


def test_a_file_without_weights_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing.pth: torch can't read it: it holds no state_dict"):
        read(folder / "nothing.pth", tmp_path)
