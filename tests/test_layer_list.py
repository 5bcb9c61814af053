"""The list of layers: every setting of every layer, in words that a YAML file can use."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import BaseModel, TypeAdapter

from acz.api.models import list_layers
from acz.foundation.errors import SpecError
from acz.foundation.files.yaml import parse_value
from acz.model.layers import LAYERS
from acz.model.layers.description import Setting
from tests.conftest import Answer


def field_of(layer: str, path: str) -> object:
    """The field of a setting, `norm.epsilon` among them."""
    kind: type[BaseModel] = LAYERS[layer]
    *mappings, name = path.split(".")
    for mapping in mappings:
        default = kind.model_fields[mapping]
        kind = next(choice for choice in _choices(default.annotation) if isinstance(choice, type))
    return kind.model_fields[name]


def _choices(annotation: object) -> tuple[object, ...]:
    return getattr(annotation, "__args__", (annotation,))


@pytest.mark.parametrize("name", LAYERS)
def test_every_setting_is_listed_with_its_meaning(name: str) -> None:
    layer = list_layers()[name]
    listed = [setting.name for setting in layer.settings if "." not in setting.name]
    assert listed == [field for field in LAYERS[name].model_fields if field != "type"]
    for setting in layer.settings:
        assert setting.values, setting
        assert setting.meaning.endswith("."), f"{name}.{setting.name} needs a docstring"
    assert layer.summary.endswith("."), layer


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_listed_can_be_typed(name: str) -> None:
    """A default, and each of several values, are taken as they are printed; a value behind a bound is refused."""
    for setting in list_layers()[name].settings:
        field = field_of(name, setting.name)
        adapter: TypeAdapter[object] = TypeAdapter(field.annotation)  # type: ignore[attr-defined]
        if setting.default:
            assert adapter.validate_python(parse_value(setting.default, setting.name)) == field.default  # type: ignore[attr-defined]
        words = setting.values.removesuffix(", or null").removeprefix("one or a list of: ")
        if " | " in words and words != "true | false":
            for word in words.split(" | "):
                value = parse_value(word, setting.name)
                adapter.validate_python([value] if "list of" in setting.values else value)


def test_the_words_of_some_settings() -> None:
    dense = {setting.name: setting for setting in list_layers("dense")["dense"].settings}
    assert dense["units"] == Setting(
        "units", "whole number > 0 and <= 2,147,483,648", "", "Outputs; in the last layer the number of classes."
    )
    assert dense["bias"].default == "true"
    assert dense["activation"].values == "relu | relu6 | tanh | sigmoid, or null"
    assert (dense["bias_start"].values, dense["bias_start"].default) == ("number, or null", "null")
    attention = {setting.name: setting for setting in list_layers("attention_cluster")["attention_cluster"].settings}
    assert attention["score_norm.decay"].values == "number >= 0 and < 1"
    assert attention["score_scale"].values == '"1" | 1/sqrt(features)', "1 without quotes would be a number"
    assert list_layers("dropout")["dropout"].settings[0].values == "number >= 0 and < 1"
    assert list_layers("net_fv")["net_fv"].settings[-1].values == "number >= -1000 and <= 1000, or null"


def test_a_name_a_part_of_one_and_wildcards() -> None:
    assert list(list_layers()) == list(LAYERS)
    assert list(list_layers("dense")) == ["dense"], "a whole name is that layer alone"
    assert list(list_layers("vlad")) == ["netvlad", "light_vlad", "nextvlad"]
    assert list(list_layers("*_gating")) == ["context_gating", "deep_context_gating"]
    with pytest.raises(SpecError, match="no layer matches 'denze'; did you mean 'dense'"):
        list_layers("denze")


def test_the_command_prints_formulas_and_settings(acz: Callable[..., Answer]) -> None:
    short = acz("layers").out
    assert all(f"\n{name} " in short or f"\n{name}\n" in short for name in LAYERS)
    whole = acz("layers", "net_fv").out
    assert "\n  sigma = spread^2 + 1e-6. The output is first" in whole
    assert "SoftAssignment: " in whole, "what a layer builds on is there, too"
    assert "\nclusters       whole number > 0" in whole
    assert "It has no settings." in acz("layers", "flatten").out
    [dropout] = json.loads(acz("layers", "dropout", "--json").out)
    assert dropout["settings"][0] == {
        "name": "rate",
        "values": "number >= 0 and < 1",
        "default": "",
        "meaning": "The share that is dropped in training.",
    }
    assert str(list_layers("dropout")["dropout"]).endswith("Settings: rate (required), over")
    assert acz("layers", "denze").code == 2
