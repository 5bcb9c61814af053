"""Checkpoints of the TensorFlow systems on YouTube-8M: folded, put in order, suggested, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.cli.options import given_overrides
from acz.exchange.weights.matching import DoesNotFit
from acz.exchange.weights.readers.kinds import read
from acz.exchange.weights.systems import SYSTEMS
from acz.exchange.weights.systems.starter_code import is_optimizer
from acz.foundation.errors import AczError, SpecError
from acz.reference import execution
from fuzz import tables
from tests.checkpoint_cases import Case, cases, convert
from tests.conftest import Answer

MODEL = "youtube8m/attention_cluster_experts"
CASES = cases()
TRAINED, EXPORTED = (
    next(case for case in CASES if case.system == "pomonam" and case.file.name.startswith(name))
    for name in ("model.ckpt", "saved_model")
)
COMPACT = next(case for case in CASES if case.file.parent.name == "circ_netvlad_fisher_circulant_fc")


def words(case: Case) -> list[str]:
    """A case's settings as typed."""
    return [word for key, value in case.overrides.items() for word in ("--set", f"{key}={json.dumps(value)}")]


# The attention clusters with gating and experts


def test_a_network_of_batches_is_folded_into_the_weights_and_said(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    typed = ("convert", TRAINED.file, "--model", f"{MODEL}:original", *words(TRAINED), "--out", out)
    answer = acz(*typed)
    assert answer.code == 0, answer.err
    assert "recognised as pomonam" in answer.err
    assert "--batch-size N" in answer.err
    count = sum(map(is_optimizer, read(TRAINED.file, "tensorflow").named))
    assert f"{count} entries of the optimiser are left out: the norm of the whole batch" in answer.err
    alone = convert(TRAINED.file, TRAINED.model, TRAINED.overrides, out)
    answer = acz(*typed, "--batch-size", "4")
    assert "trunk.hidden.weight was divided by that factor" in answer.err
    assert "--batch-size" not in answer.err
    four = convert(TRAINED.file, TRAINED.model, TRAINED.overrides, out, batch_size=4)
    for path, value in alone.parameters.items():
        assert np.array_equal(four.parameters[path], value / 2 if path == "trunk.hidden.weight" else value)


def test_variables_of_training_are_told_from_parameters(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert all(map(is_optimizer, ("global_step", "beta1_power", "tower/video/beta/Adam", "tower/dense/kernel/Adam_1")))
    assert not any(map(is_optimizer, ("tower/video/beta", "tower/batch_normalization/beta", "tower/Adam/kernel")))
    evaluated = convert(
        TRAINED.file.with_name("inference_model"), TRAINED.model, TRAINED.overrides, out, batch_size=TRAINED.batch_size
    )
    assert evaluated.notes[-1].startswith("1 entry of the optimiser is left out: it is the step alone")


def test_other_systems_know_no_batch_size(acz: Callable[..., Answer], tmp_path: Path) -> None:
    case = next(case for case in CASES if case.system == "paddle-video")
    typed = ("convert", case.file, "--model", case.model, *words(case), "--out", tmp_path / "out.safetensors")
    answer = acz(*typed, "--batch-size", "4")
    assert answer.code == 2
    assert "what 'paddle-video' computes does not depend on it" in answer.err


def test_statistics_that_the_export_left_out_are_named(tmp_path: Path) -> None:
    done = convert(EXPORTED.file, EXPORTED.model, EXPORTED.overrides, tmp_path / "out.safetensors")
    (note,) = [note for note in done.notes if "0 and 1" in note]
    assert "tower/audio/batch_normalization, " in note
    assert "tower/batch_normalization_4" in note
    trained = convert(TRAINED.file, TRAINED.model, TRAINED.overrides, tmp_path / "out.safetensors")
    assert not any("0 and 1" in note for note in trained.notes)


def test_statistics_that_are_not_there_are_allowed_by_name_only(acz: Callable[..., Answer], tmp_path: Path) -> None:
    arrays = read(EXPORTED.file, "tensorflow").named
    prefix = tables.write(tmp_path, {name: value for name, value in arrays.items() if "moving_" not in name})
    out = tmp_path / "out.safetensors"
    typed = ("convert", prefix, "--model", f"{MODEL}:original", *words(EXPORTED), "--out", out)
    answer = acz(*typed)
    assert answer.code == 2
    assert "14 missing" in answer.err
    assert "missing in the file: tower/batch_normalization/moving_mean, which is trunk.norm.running_mean" in answer.err
    answer = acz(*typed, "--allow", "*.running_*")
    assert answer.code == 0, answer.err
    assert "trunk.norm.running_variance" in answer.err
    whole = convert(EXPORTED.file, EXPORTED.model, EXPORTED.overrides, tmp_path / "whole.safetensors")
    again = convert(prefix, EXPORTED.model, EXPORTED.overrides, out, allowed=["*.running_*"])
    for path, value in whole.parameters.items():
        assert np.array_equal(again.parameters[path], value)


def test_the_words_under_which_it_would_fit_are_given(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    answer = acz("convert", TRAINED.file, "--model", f"{MODEL}:original", "--out", out)
    assert answer.code == 2
    suggested = answer.err[answer.err.index("it fits: ") + 9 :].split()
    assert acz("convert", TRAINED.file, "--model", f"{MODEL}:original", *suggested, "--out", out).code == 0
    arrays = read(TRAINED.file, "tensorflow").named
    without = {
        name: value for name, value in arrays.items() if not name.startswith(("tower/video/alpha", "tower/video/beta"))
    }
    answer = acz("convert", tables.write(tmp_path, without), "--model", f"{MODEL}:original", *suggested, "--out", out)
    assert "--set model.streams.rgb.layers.attention.shift=False" in answer.err


def test_a_model_with_another_formula_is_refused(acz: Callable[..., Answer], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    for more in ((), ("--set", "model.streams.rgb.layers.attention.score_bias=true")):
        name = MODEL if not more else f"{MODEL}:original"
        answer = acz(
            "convert", TRAINED.file, "--from", "pomonam", "--model", name, *words(TRAINED), *more, "--out", out
        )
        assert answer.code == 2
        assert "attention_cluster_experts:original" in answer.err
    assert not out.exists()


# The compact networks


def test_the_order_of_the_streams_is_put_right_in_the_classifier(tmp_path: Path) -> None:
    model = COMPACT.model["model"]
    other = {"model": {**model, "streams": dict(reversed(model["streams"].items()))}}
    inputs = {name: value.astype(np.float64) for name, value in COMPACT.inputs.items()}
    recorded = COMPACT.expected["predictions"][0]
    for tree in (COMPACT.model, other):
        done = convert(COMPACT.file, tree, {}, tmp_path / "out.safetensors")
        assert np.abs(execution.forward(done.spec, done.parameters, inputs)["output"] - recorded).max() < 1e-5
    circulant = {"factors": 1, "diagonal": "learned"}
    over = {"model.trunk": {"experts": {**model["trunk"]["experts"], "circulant": circulant}}}
    with pytest.raises(SpecError, match="the order of the streams matters"):
        convert(COMPACT.file, other, over, tmp_path / "out.safetensors", "youtube8m-circulant")


def test_vectors_of_a_circulant_layer_are_gathered_when_all_are_there(tmp_path: Path) -> None:
    """A weight of two factors with three blocks each: (factors, blocks, features)."""
    gather = SYSTEMS["youtube8m-circulant"].gather
    scope = "tower/audio/DBoF_audio/dbof/"
    vectors = {f"{scope}weights_circ{b}_f{f}": np.full((1, 4), 10 * f + b) for b in range(3) for f in range(2)}
    rest = {"tower/gates/weights": np.zeros((2, 2)), f"{scope}dbof_fc_hidden_weights": np.zeros((4, 2))}
    gathered = gather({**vectors, **rest})
    assert set(gathered) == {f"{scope}weights_circ*_f*", *rest}
    assert gathered[f"{scope}weights_circ*_f*"][:, :, 0].tolist() == [[0, 1, 2], [10, 11, 12]]
    without = {name: value for name, value in vectors.items() if not name.endswith("circ1_f0")}
    assert set(gather(without)) == set(without)
    of_experts = {f"tower/circulant_gates/weights{n}": np.full((1, 4), n) for n in range(2)}
    of_experts["tower/circulant_expert/weights"] = np.zeros((1, 4))
    shapes = {name: value.shape for name, value in gather(of_experts).items()}
    assert shapes == {"tower/circulant_gates/weights*": (1, 2, 4), "tower/circulant_expert/weights*": (1, 1, 4)}


def test_another_size_of_a_compact_network_is_suggested(tmp_path: Path) -> None:
    tree = json.loads(json.dumps(COMPACT.model))
    for stream in tree["model"]["streams"].values():
        stream["layers"]["clusters"]["clusters"] += 1
        stream["layers"]["hidden"]["units"] += 2
    tree["model"]["trunk"]["experts"] |= {"classes": 5, "mixtures": 3}
    tree["model"]["inputs"]["rgb"]["features"] = 1024
    with pytest.raises(DoesNotFit, match="with these words it fits") as caught:
        convert(COMPACT.file, tree, {}, tmp_path / "out.safetensors", "youtube8m-circulant")
    given = given_overrides(str(caught.value).partition("it fits: ")[2].replace("--set ", "").split())
    done = convert(COMPACT.file, tree, given, tmp_path / "out.safetensors", "youtube8m-circulant")
    assert done.parameters["trunk.gating.weight"].shape == (COMPACT.model["model"]["trunk"]["experts"]["classes"],) * 2


def test_a_norm_over_one_modality_is_refused_unless_allowed(tmp_path: Path) -> None:
    """The original divides a frame by the norm over both."""
    tree = json.loads(json.dumps(COMPACT.model))
    for stream in tree["model"]["streams"].values():
        stream["layers"] = {"unit": {"type": "l2_normalize"}, **stream["layers"]}
    with pytest.raises(
        DoesNotFit, match=r"another formula: rgb_netvlad\.unit: the system divides a frame by the norm of rgb and audio"
    ):
        convert(COMPACT.file, tree, {}, tmp_path / "out.safetensors")
    done = convert(COMPACT.file, tree, {}, tmp_path / "out.safetensors", allowed=["*.unit"])
    assert sum("norm of rgb and audio together" in note for note in done.notes) == len(tree["model"]["streams"])


def test_a_diagonal_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Learned and fixed ones have the same names and shapes; fixed ones are signs."""
    setting = "model.streams.rgb_netvlad.layers.hidden.diagonal"
    out = tmp_path / "out.safetensors"
    with pytest.raises(
        DoesNotFit, match=r"rgb_netvlad\.hidden: its diagonal is learned in the file and fixed in the model"
    ):
        convert(COMPACT.file, COMPACT.model, {setting: "fixed"}, out)
    arrays = read(COMPACT.file, "tensorflow").named
    theirs = "tower/video/NetVLAD_video/netvlad/weights_diag0_f0"
    prefix = tables.write(tmp_path, arrays | {theirs: np.sign(arrays[theirs])})
    with pytest.raises(DoesNotFit, match="its diagonal is fixed in the file and learned in the model"):
        convert(prefix, COMPACT.model, {}, out)
    convert(prefix, COMPACT.model, {setting: "fixed"}, out)


@pytest.mark.parametrize(
    "change",
    [
        {"model.streams.rgb_netvlad.layers.end.function": "relu"},
        {"model.streams.rgb_netvlad.layers.hidden.bias": True},
        {"model.streams.rgb_netvlad.layers.hidden.activation": "relu"},
        {"model.streams.rgb_netvlad.layers.norm.decay": 0.99},
        {"model.streams.rgb_netvlad.layers.clusters": {"type": "netvlad", "clusters": 4}},
        {"model.streams.rgb_netvlad.input": "audio"},
        {"model.trunk.gating": {"type": "context_gating"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_compact_network_with_another_formula_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not one of youtube8m-circulant's"):
        convert(COMPACT.file, COMPACT.model, change, tmp_path / "out.safetensors", "youtube8m-circulant")


def test_a_file_that_is_read_is_not_written(tmp_path: Path) -> None:
    shutil.copytree(TRAINED.file.parent, tmp_path / "logs")
    prefix = tmp_path / "logs" / TRAINED.file.name
    with pytest.raises(AczError, match="is the file that is read"):
        convert(prefix, TRAINED.model, TRAINED.overrides, tmp_path / "logs/model.ckpt-10.index")


def test_the_help_names_every_system(acz: Callable[..., Answer]) -> None:
    shown = acz("convert", "--help").out
    assert all(name in shown for name in SYSTEMS)
