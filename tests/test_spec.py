"""A model as data: accepted, refused with a message, unchanged by a round trip."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import acz
from acz.foundation.errors import SpecError
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity.cases import layer_models
from acz.zoo.catalog import config_folder, config_names
from acz.zoo.config import load_config

MODEL: dict[str, Any] = {
    "inputs": {"rgb": {"frames": 4, "features": 3}, "audio": {"frames": 4, "features": 2}},
    "streams": {
        "rgb": {"input": "rgb", "layers": {"attention": {"type": "attention_cluster", "units": 2, "hidden": 5}}},
        "audio": {"input": "audio", "layers": {"attention": {"type": "attention_cluster", "units": 1}}},
    },
    "trunk": {"logits": {"type": "dense", "units": 7}},
    "output": "softmax",
}


def changed(path: str, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(MODEL)
    node = tree
    *parents, last = path.split(".")
    for part in parents:
        node = node[part]
    node[last] = value
    return tree


def test_every_shape_and_parameter_is_known() -> None:
    spec = acz.load_spec(MODEL)
    assert {path: p.shape for path, p in spec.parameters.items()} == {
        "rgb.attention.hidden.weight": (3, 5),
        "rgb.attention.hidden.bias": (5,),
        "rgb.attention.score.weight": (5, 2),
        "rgb.attention.score.bias": (2,),
        "rgb.attention.alpha": (2,),
        "rgb.attention.beta": (2,),
        "audio.attention.score.weight": (2, 1),
        "audio.attention.score.bias": (1,),
        "audio.attention.alpha": (1,),
        "audio.attention.beta": (1,),
        "trunk.logits.weight": (8, 7),
        "trunk.logits.bias": (7,),
    }
    assert [placed.output_shape for placed in spec.layout] == [(6,), (2,), (7,)]


def test_a_class_that_is_a_set_has_the_sum_of_its_members() -> None:
    logits = {"type": "dense", "units": 8, "bias": False, "fixed": "subsets"}
    spec = Spec.from_dict(changed("trunk", {"each": {"type": "dense", "units": 3}, "logits": logits}))
    assert spec.parameters["trunk.logits.weight"].role == "fixed"
    weight = initial_parameters(spec)["trunk.logits.weight"]
    assert ([1, 10, 100] @ weight).tolist() == [0, 1, 10, 11, 100, 101, 110, 111]
    with pytest.raises(SpecError, match=r"logits.*subsets of 3 inputs need 8 units, not 7"):
        Spec.from_dict(changed("trunk", {"each": {"type": "dense", "units": 3}, "logits": {**logits, "units": 7}}))


def test_a_bias_starts_where_it_is_told() -> None:
    spec = Spec.from_dict(changed("trunk.logits", {"type": "dense", "units": 7, "bias_start": -5.0}))
    assert (initial_parameters(spec)["trunk.logits.bias"] == -5.0).all()
    with pytest.raises(SpecError, match=r"trunk.*logits.*bias_start: there is no bias"):
        Spec.from_dict(changed("trunk.logits", {"type": "dense", "units": 7, "bias": False, "bias_start": 0.0}))


def test_the_score_bias_is_fixed_exactly_where_it_changes_nothing() -> None:
    def role(**settings: Any) -> str:
        layer = {"type": "attention_cluster", "units": 1, **settings}
        spec = Spec.from_dict(changed("streams.audio.layers.attention", layer))
        return spec.parameters["audio.attention.score.bias"].role

    assert role() == "fixed"
    assert role(score_norm={}) == "fixed"
    assert role(normalize_over="units") == "trained"
    assert role(score_dropout=0.3) == "trained"


@pytest.mark.parametrize("name", [*config_names(), *layer_models()])
def test_a_spec_survives_yaml(name: str) -> None:
    spec = Spec.from_dict(layer_models()[name]) if name in layer_models() else acz.load_spec(name)
    text = yaml.safe_dump(spec.to_dict(), sort_keys=False)
    again = Spec.from_dict(yaml.safe_load(text))
    assert again == spec
    assert again.hash == spec.hash
    assert yaml.safe_dump(again.to_dict(), sort_keys=False) == text


def test_the_yaml_itself_comes_back_unchanged() -> None:
    tree = yaml.safe_load((config_folder() / "flash_mnist/multimodal.yaml").read_text())["model"]
    assert Spec.from_dict(tree).to_dict() == tree


def test_the_hash_is_of_the_function_not_of_the_spelling() -> None:
    spec = Spec.from_dict(MODEL)
    assert spec.hash == "6793a00bd271470c", "a stable hash: checkpoints carry it"
    assert (
        Spec.from_dict(
            changed("streams.audio.layers.attention", {"units": 1, "shift": True, "type": "attention_cluster"})
        ).hash
        == spec.hash
    )
    assert Spec.from_dict(changed("trunk.logits.units", 8)).hash != spec.hash
    assert Spec.from_dict(changed("streams.audio.layers.attention.pre_normalize", True)).hash != spec.hash


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            "streams.rgb.layers.attention.type",
            "atention_cluster",
            ["model.streams.rgb.layers.attention", "did you mean 'attention_cluster'"],
        ),
        ("streams.rgb.layers.attention.unit", 3, ["model.streams.rgb.layers.attention.unit", "did you mean 'units'"]),
        ("streams.rgb.layers.attention.score_norm", {"epsilo": 1}, ["score_norm.epsilo", "did you mean 'epsilon'"]),
        ("streams.rgb.layers.attention.units", 0, ["units", "greater than 0", "got 0"]),
        ("streams.rgb.layers.attention.units", "many", ["units", "integer", "got 'many'"]),
        ("streams.rgb.input", "rbg", ["model.streams.rgb.input", "did you mean 'rgb'"]),
        ("streams.rgb.layer", {}, ["model.streams.rgb", "did you mean 'layers'"]),
        ("inputs.rgb.feature", 3, ["model.inputs.rgb.feature", "did you mean 'features'"]),
        ("inputs.rgb", {"frames": 3}, ["model.inputs.rgb", "frames and features"]),
        ("output", "softmx", ["model.output", "did you mean 'softmax'"]),
        ("trunk.logits", 5, ["model.trunk.logits", "type"]),
        ("inputs.labels", {"shape": [2]}, ["the name 'labels' is reserved"]),
        ("streams.trunk", MODEL["streams"]["rgb"], ["the name 'trunk' is reserved"]),
        ("streams.rgb.layers", {"a": {"type": "dense", "units": 2}}, ["must end in a vector", "attention_cluster"]),
        (
            "trunk.conv",
            {"type": "conv2d", "filters": 1, "size": 2},
            ["model.trunk.conv", "(channels, height, width)", "(7,)"],
        ),
        ("outputs", 1, ["unknown key 'outputs'", "did you mean 'output'"]),
        ("streams.rgb.layers.attention.units", 10**9, ["parameters need", "GiB"]),
    ],
)
def test_an_error_names_the_place_and_the_right_word(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.from_dict(changed(path, value))
    for word in words:
        assert word in str(caught.value)


def test_overrides_and_variants() -> None:
    name = "flash_mnist/attention_cluster"
    key = "model.streams.features.layers.attention.units"
    assert acz.load_spec(name, {key: 8}).parameters["features.attention.alpha"].shape == (8,)
    assert acz.load_spec(f"{name}:tiny").width == 6
    assert load_config(name, {"train.optimizer.learning_rate": 0.5}).recipe.optimizer.learning_rate == 0.5
    with pytest.raises(SpecError, match="did you mean 'attention'"):
        acz.load_spec(name, {key.replace("attention", "atention"): 8})
    with pytest.raises(SpecError, match="did you mean 'learning_rate'"):
        load_config(name, {"train.optimizer.learning_rat": 1})
    with pytest.raises(SpecError, match="did you mean 'tiny'"):
        acz.load_spec(f"{name}:tny")
    with pytest.raises(SpecError, match="did you mean 'flash_mnist/extractor'"):
        acz.load_spec("flash_mnist/extracto")


@pytest.mark.parametrize(
    ("start", "mean", "deviation"),
    [("normal", (0.0, 0.0), 0.1), ("constant", (0.1, 0.1), 0.0), ("identity", (1.0, 0.0), 0.0)],
)
def test_alpha_and_beta_start_as_the_authors_draw_them_or_as_one_port_sets_them(
    start: str, mean: tuple[float, float], deviation: float
) -> None:
    """10,000 units: the authors' deviation, sqrt(1 / sqrt(N)), is 0.1, which is the port's constant too."""
    units = {"model.streams.features.layers.attention.units": 10_000, "model.trunk.logits.units": 2}
    spec = acz.load_spec(
        "flash_mnist/attention_cluster", {**units, "model.streams.features.layers.attention.shift_start": start}
    )
    values = initial_parameters(spec, 3)
    for name, center in zip(("alpha", "beta"), mean, strict=True):
        drawn = values[f"features.attention.{name}"]
        np.testing.assert_allclose(
            [drawn.mean(), drawn.std()], [center, deviation], rtol=1e-6, atol=0.03 * deviation + 1e-6
        )


def test_forms_and_variants_are_applied_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    tree = {"model": MODEL, "forms": {"wide": {"model.trunk.logits.units": 40}}}
    path.write_text(yaml.safe_dump(tree | {"variants": {"tiny": {"model.trunk.logits.bias": False}}}))
    config = load_config(f"{path}:wide:tiny")
    assert (config.spec.width, config.forms, config.variants) == (40, ("wide",), ("tiny",))
    assert "trunk.logits.bias" not in config.spec.parameters
    assert load_config(f"{path}:tiny").spec.width != 40
    with pytest.raises(SpecError, match="did you mean 'wide'"):
        load_config(f"{path}:wid:tiny")
    path.write_text(yaml.safe_dump(tree | {"variants": {"wide": {}}}))
    with pytest.raises(SpecError, match="both a form and a variant"):
        load_config(path)


def test_every_model_has_a_tiny_variant() -> None:
    names = config_names()
    for name in names:
        if ":" not in name:
            assert f"{name}:tiny" in names


def test_a_resolved_configuration_loads_to_the_same() -> None:
    config = load_config("flash_mnist/attention_cluster:tiny", {"train.epochs": 3})
    again = load_config(config.to_dict())
    assert (again.spec.hash, again.recipe, again.data) == (config.spec.hash, config.recipe, config.data)


@pytest.mark.parametrize("text", ["", "[1, 2]", "model: [", "model: &x {inputs: *x}", "\x00", "model: 3"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(SpecError):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{dropout: {type: dropout, rate: 0.5}, dropout: {type: dense, units: 3}}", "'dropout' is given twice"),
        ("{a: {type: [dense]}}", "not a type of layer"),
        ("{a: {type: dense, units: true}}", "must not be true or false"),
        ("{a: {type: dense, units: .inf}}", "units"),
        ("{a: {type: rescale, scale: .nan}}", "scale"),
        ("{values: {type: dense, units: 3}}", "the name 'values' is taken"),
        ("{a: {type: dense, units: 2020-13-45}}", "valid integer"),
    ],
)
def test_odd_yaml_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.yaml"
    tree = yaml.safe_dump({k: v for k, v in MODEL.items() if k != "trunk"})
    path.write_text("model:\n" + "".join(f"  {line}\n" for line in tree.splitlines()) + f"  trunk: {text}\n")
    with pytest.raises(SpecError, match=words):
        load_config(path)


@pytest.mark.parametrize("section", ["variants", "forms"])
@pytest.mark.parametrize("changes", ["[tiny]", "3", "{tiny: [1]}"])
def test_odd_changes_are_refused(tmp_path: Path, section: str, changes: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"model": MODEL}) + f"{section}: {changes}\n")
    with pytest.raises(SpecError, match=f"'{section}' must map"):
        load_config(f"{path}:tiny")


def test_every_setting_can_be_written_in_yaml_and_by_override(tmp_path: Path) -> None:
    settings = {
        "type": "attention_cluster",
        "units": 2,
        "output_scale": "1",
        "score_scale": "1",
        "score_norm": {"epsilon": 1e-3},
    }
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({"model": changed("streams.audio.layers.attention", settings)}))
    layer = load_config(path).spec.streams["audio"].layers["attention"]
    assert layer.model_dump()["output_scale"] == "1"
    recipe = load_config(path, {"train.optimizer.learning_rate": "3e-3"}).recipe
    assert recipe.optimizer.learning_rate == 0.003


def test_a_model_without_a_trunk_knows_its_width() -> None:
    tree = {k: v for k, v in MODEL.items() if k != "trunk"}
    assert Spec.from_dict({**tree, "output": "none"}).width == 6 + 2
