"""Checkpoints: whole or not there, exact, and clear about what they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import acz
from acz.foundation.errors import CheckpointError
from acz.foundation.files.atomic import write_atomically
from acz.model.checkpoint import load_checkpoint, require_spec, save_checkpoint
from acz.model.parameters import initial_parameters

SPEC = acz.load_spec("flash_mnist/attention_cluster:tiny")


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    parameters = initial_parameters(SPEC, 3)
    optimizer = {f"m.{path}": value * 3 for path, value in parameters.items()} | {"step": np.array(7)}
    save_checkpoint(tmp_path / "a.safetensors", SPEC, parameters, optimizer, {"step": 7, "best": 0.25})
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.spec == SPEC
    assert loaded.state == {"step": 7, "best": 0.25}
    for name, value in parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], value)
    for name, value in optimizer.items():
        np.testing.assert_array_equal(loaded.optimizer[name], value)


def test_a_checkpoint_is_plain_safetensors_with_the_specs_names(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", SPEC, initial_parameters(SPEC))
    assert set(load_file(tmp_path / "a.safetensors")) == set(SPEC.parameters)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="damaged, or not safetensors"):
        load_checkpoint(path)
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of acz"):
        load_checkpoint(path)
    save_checkpoint(path, SPEC, initial_parameters(SPEC))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_another_model_is_named_by_its_first_difference(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", SPEC, initial_parameters(SPEC))
    other = acz.load_spec("flash_mnist/attention_cluster_hidden:tiny")
    with pytest.raises(CheckpointError, match=r"hidden.weight: missing there, \(4, 5\) here"):
        require_spec(load_checkpoint(tmp_path / "a.safetensors"), other, "a.safetensors")


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
