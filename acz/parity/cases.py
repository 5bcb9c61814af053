"""The models that parity is checked on: the tiny variant of every model, and small models of every layer setting."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from acz.foundation.errors import SpecError, nearest
from acz.model.losses import checking_loss
from acz.model.spec import Spec
from acz.reference.samples import Case
from acz.zoo.catalog import config_names
from acz.zoo.config import Config, load_config
from acz.zoo.recipe import Recipe

LOSSES: dict[str, str] = {
    "layers/softmax_normalize": "hinge",
    "layers/context_gating": "sigmoid_cross_entropy",
    "layers/context_gating_of_frames": "multilabel_softmax_cross_entropy",
    "layers/dense_functions": "probability_cross_entropy(alpha=0.8)",
}
"""Losses of the models of layers.yaml that do not take their output's own. So each loss is taken of some model."""

FROZEN: dict[str, tuple[str, ...]] = {"layers/frozen": ("first.norm.*", "trunk.hidden.*", "trunk.norm.weight")}
"""Patterns of the parameters and statistics that stay in the training of a model."""


def layer_models() -> dict[str, Any]:
    """The small models of layers.yaml by name."""
    tree: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "layers.yaml").read_text())
    return tree


def cases(pattern: str = "*") -> list[Case]:
    """Cases whose model matches; a model of the zoo stands for its tiny variant. Raises SpecError if none does."""
    matching = list(_all(pattern))
    if not matching:
        names = [n for n in config_names() if n.endswith(":tiny")] + list(layer_models())
        raise SpecError(f"no model matches '{pattern}'; {nearest(pattern, names)}")
    return matching


def _all(pattern: str) -> Iterator[Case]:
    def matches(name: str) -> bool:
        if any(c in pattern for c in "*?["):
            return fnmatchcase(name, pattern)
        return pattern.removesuffix(":tiny") in (name, name.rpartition("/")[2])

    def case(model: str, config: Config) -> Case:
        return Case(model, config.spec, config.recipe.loss or checking_loss(config.spec).name)

    if Path(pattern).is_file():
        has_tiny = "tiny" in load_config(pattern).variants
        yield case(pattern, load_config(f"{pattern}:tiny" if has_tiny else pattern))
        return
    for name in config_names():
        base, _, variant = name.partition(":")
        if variant == "tiny":
            tiny = load_config(name)
            for model in (base, *(f"{base}:{form}" for form in tiny.forms)):
                if matches(base) or matches(model):
                    yield case(model, load_config(f"{model}:tiny"))
    for name, tree in layer_models().items():
        if matches(name):
            spec = Spec.from_dict(tree)
            recipe = Recipe(freeze=FROZEN.get(name, ()))
            yield Case(name, spec, LOSSES.get(name) or checking_loss(spec).name, recipe.frozen(spec))
