"""The model of every golden fixture that has an original's names is found from its names and shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.exchange.weights.finding import Candidate, SeveralFit, find_model, parameters_of
from acz.exchange.weights.matching import match
from acz.exchange.weights.readers.contents import Contents
from acz.exchange.weights.systems.starter_code import SCOPE
from acz.foundation.errors import SpecError
from acz.model.spec import Spec
from acz.reference import execution
from acz.zoo.config import load_config
from parity_tests.golden_cases import load
from parity_tests.golden_fixture import FOLDER, Golden

pytestmark = pytest.mark.slow

FILES = {
    "flash_satt": "torch",
    "flash_ext": "torch",
    "ms_ac": "mindspore",
    "ms_ext": "mindspore",
    "pd_ac": "paddle",
    "pom_model": "tensorflow",
    "circ_net": "tensorflow",
}
"""The kind of the file that a kind of fixture would be saved in."""
CUT = "04_paddle_ac_real_hidden"
"""A fixture without its two largest arrays."""
NAMES = [
    path.stem
    for path in sorted(FOLDER.glob("*.json"))
    if json.loads(path.read_text(encoding="utf-8"))["kind"] in FILES and path.stem != CUT
]


def contents(name: str, kind: str) -> Contents:
    scope = SCOPE if kind == "tensorflow" else ""
    with np.load(FOLDER / f"{name}.npz") as z:
        return Contents({f"{scope}{key[6:]}": z[key] for key in z.files if key.startswith("param/")})


def find(name: str, kind: str, mixtures: int) -> Candidate:
    """Find the model of a fixture. Circulant experts leave the mixtures open, so the test says which."""
    held = contents(name, kind)
    try:
        return find_model(Path(name), kind, held, None, {}, ())
    except SeveralFit:
        count = held.named[f"{SCOPE}circulant_expert/biases"].size
        sizes = {"model.trunk.experts.classes": count // mixtures, "model.trunk.experts.mixtures": mixtures}
        return find_model(Path(name), kind, held, None, sizes, ())


@pytest.mark.parametrize("name", NAMES)
def test_the_model_of_a_fixture_is_found(name: str) -> None:
    about, golden = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")), load(name)
    candidate = find(name, FILES[about["kind"]], about["config"].get("flags", {}).get("moe_num_mixtures", 0))
    ours = sorted(parameter.shape for parameter in candidate.spec.parameters.values())
    without_bias = about["kind"] == "ms_ext"  # the port's convolutions have no bias, which the zoo's have
    theirs = [value.shape for value in golden.parameters.values()]
    assert ours == sorted([*theirs, *([(10,), (20,)] if without_bias else [])])
    if about["kind"] == "circ_net":
        compare_outputs(name, golden, candidate, about["config"])


def compare_outputs(name: str, golden: Golden, candidate: Candidate, config: dict[str, Any]) -> None:
    """Compare the outputs of the fixture's model and of the model that was found, with what no file tells."""
    flags = config["flags"]
    changes: dict[str, Any] = dict(candidate.changes)
    for stream, value in candidate.spec.streams.items():
        changes[f"model.streams.{stream}.bags"] = flags["n_bagging"]
        changes[f"model.inputs.{value.input}.frames"] = flags["n_bagging"] * config["iterations"]
        if "expansion" in value.layers:
            method = flags["dbof_pooling_method"].replace("average", "mean")
            changes[f"model.streams.{stream}.layers.pool.pooling"] = method
        if "net_fv" in value.layers and flags["fv_couple_weights"]:
            changes[f"model.streams.{stream}.layers.net_fv.coupling"] = flags["fv_coupling_factor"]
    if "circulant_expert" in str(list(contents(name, "tensorflow").named)):
        changes["model.trunk.experts"] = candidate.spec.to_dict()["trunk"]["experts"]
    spec = load_config(candidate.model, changes).spec
    arrays = parameters_of(candidate.system, contents(name, "tensorflow").named)
    found = match(spec, candidate.system.table(spec), arrays).parameters
    inputs = {
        key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in golden.inputs.items()
    }
    first, second = (
        execution.run(model, {path: np.float64(value) for path, value in parameters.items()}, inputs).output
        for model, parameters in ((Spec.from_dict(golden.spec), golden.parameters), (spec, found))
    )
    np.testing.assert_allclose(second, first, rtol=1e-9, atol=1e-12)


def test_a_fixture_without_some_of_its_arrays_has_no_model() -> None:
    with pytest.raises(SpecError, match=r"youtube8m/attention_cluster: trunk\.hidden1\.weight does not fit"):
        find_model(Path(CUT), "paddle", contents(CUT, "paddle"), None, {}, ())
