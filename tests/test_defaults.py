"""Default settings never change: a hash leaves them out, so another default is another function under the same hash.

`fixtures/defaults.json` has the default of every setting of a model, a recipe and the reading of data.
`python -m tests.test_defaults` adds new settings and changes no other.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field

from acz.data.registry import DATA_SETS
from acz.model.layers import LAYERS
from acz.model.layers.dense import Dense
from acz.model.optimizer import Adam
from acz.model.spec import Input, Spec
from acz.zoo.config import DataSettings
from acz.zoo.recipe import Average, Distillation, EarlyStopping, Recipe, Schedule

FILE = Path(__file__).parent / "fixtures/defaults.json"
Defaults = dict[str, object]


def defaults_of(settings: type[BaseModel]) -> Defaults:
    """The default of each setting that has one, as JSON gives it back."""
    fields = {name: field for name, field in settings.model_fields.items() if not field.is_required()}
    values = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    plain = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value for name, value in values.items()
    }
    return dict(json.loads(json.dumps(plain)))


def all_defaults() -> dict[str, Defaults]:
    """Defaults by the kind of settings: `layer dense`, `recipe`, `reading youtube8m`."""
    kinds: dict[str, type[BaseModel]] = {f"layer {name}": layer for name, layer in LAYERS.items()}
    kinds |= {"input": Input, "recipe": Recipe, "optimizer": Adam, "schedule": Schedule}
    kinds |= {"early_stopping": EarlyStopping, "average": Average, "distill": Distillation, "data": DataSettings}
    kinds |= {f"reading {data_set.name}": data_set.Reading for data_set in DATA_SETS}
    shortest = {"inputs": {"x": {"shape": [1]}}, "streams": {"x": {"input": "x"}}}
    spec = Spec.from_dict(shortest)
    model: Defaults = {"output": spec.output, "trunk": list(spec.trunk), "bags": spec.streams["x"].bags}
    return {"model": model} | {kind: defaults_of(settings) for kind, settings in kinds.items()}


def differences(recorded: dict[str, Defaults], now: dict[str, Defaults]) -> list[str]:
    """One line for each recorded default that is missing or has another value."""
    lines = []
    for kind, settings in recorded.items():
        for name, value in settings.items():
            if name not in now.get(kind, {}):
                lines.append(f"{kind}: '{name}' had the default {value!r} and has none now")
            elif now[kind][name] != value:
                lines.append(f"{kind}: the default of '{name}' was {value!r} and is {now[kind][name]!r} now")
    return lines


def test_no_default_has_changed() -> None:
    assert not differences(json.loads(FILE.read_text()), all_defaults()), (
        "checkpoints and files of before leave defaults out: give the new value another name or another setting"
    )


def test_every_default_is_recorded() -> None:
    unrecorded = differences(all_defaults(), json.loads(FILE.read_text()))
    assert not unrecorded, "type `python -m tests.test_defaults` to record the new settings"


def test_a_changed_default_is_noticed() -> None:
    class Changed(Dense):
        bias: bool = False

    class Required(Dense):
        bias: bool = Field()

    recorded = {"layer dense": defaults_of(Dense)}
    assert not differences(recorded, {"layer dense": defaults_of(Dense)})
    (changed,) = differences(recorded, {"layer dense": defaults_of(Changed)})
    assert changed == "layer dense: the default of 'bias' was True and is False now"
    (gone,) = differences(recorded, {"layer dense": defaults_of(Required)})
    assert "has none now" in gone


def record_new() -> None:
    """Write the fixture with the new settings. Recorded settings keep their values."""
    recorded: dict[str, Defaults] = json.loads(FILE.read_text()) if FILE.exists() else {}
    merged = {kind: settings | recorded.get(kind, {}) for kind, settings in all_defaults().items()}
    FILE.write_text(json.dumps(recorded | merged, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record_new()
