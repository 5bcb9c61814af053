"""A configuration: one YAML file with a model, its data and a training recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from acz.backend.registry import check_names
from acz.data.registry import DEFAULT, find_data_set
from acz.foundation.errors import SpecError, nearest
from acz.foundation.files.yaml import copy_tree
from acz.foundation.settings import validate
from acz.model.spec import Spec
from acz.zoo.catalog import CHANGES, find_file, named_changes, read_config_file
from acz.zoo.recipe import Recipe


class DataSettings(BaseModel):
    """The data of a model. `digits: true` builds a small data set where the folder is missing.

    `reading` has the settings of the data set that `set` names. `_data_settings` validates it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    folder: str
    digits: bool = False
    set: str = DEFAULT.name
    reading: SerializeAsAny[BaseModel] | None = None


class Published(BaseModel):
    """Figures that the model's authors, or authors of a port, published. A fraction is between 0 and 1.

    The first figure is the one that short lists show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    figures: dict[str, float] = Field(min_length=1)
    source: str

    @property
    def headline(self) -> str:
        """The first figure."""
        return str(self).partition(", ")[0]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in self.figures.items())


@dataclass(frozen=True)
class Config:
    """A configuration that is read and checked.

    `name` is `folder/file` in the zoo, with `:form` and `:variant`, or the path of a file. `forms` are other functions
    for the same task, such as a circulant twin of a dense model. `variants` are other sizes and recipes.
    """

    name: str
    description: str
    source: str
    spec: Spec
    recipe: Recipe
    data: DataSettings | None
    variants: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    difference: str = ""
    """The difference between the model and its source, in words; may be empty."""
    published: Published | None = None
    """Figures of the file's own model; None for its forms and variants, and for a model that is changed."""

    @property
    def reading(self) -> BaseModel:
        """The settings of reading the data, or the defaults of the data set."""
        return (self.data and self.data.reading) or find_data_set(
            self.data.set if self.data else DEFAULT.name
        ).Reading()

    @property
    def fitted_reading(self) -> BaseModel:
        """The reading, with as many classes as the model has outputs, unless the configuration gives their number."""
        reading = self.reading
        if "classes" not in type(reading).model_fields or "classes" in reading.model_fields_set:
            return reading
        return reading.model_copy(update={"classes": self.spec.width})

    def to_dict(self) -> dict[str, Any]:
        """Give the plain tree, with all changes applied. `load_config` makes an equal configuration from it."""
        tree: dict[str, Any] = {"description": self.description, "source": self.source}
        tree |= ({"difference": self.difference} if self.difference else {}) | {"model": self.spec.to_dict()}
        tree["train"] = self.recipe.model_dump(mode="json")
        return tree | ({"data": self.data.model_dump(mode="json", exclude_defaults=True)} if self.data else {})


SET = {"model", "data", "train"}
TOP = {"model", "data", "train", "description", "source", "difference", "published", *CHANGES}


def load_config(name: str | Path | Mapping[str, Any] | Config, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check a configuration.

    Args:
        name: a name in the zoo or a path, with any of its forms and variants (`:tiny`); a plain tree; or a configuration.
        overrides: maps dotted paths (`model.trunk.logits.units`) to values. They are applied last.

    Raises:
        SpecError: the configuration is wrong. The message names the place and the nearest right word.
    """
    if isinstance(name, Config):
        label, tree = name.name, name.to_dict()
    elif isinstance(name, Mapping):
        label, tree = "(given)", dict(name) if "model" in name else {"model": dict(name)}
    else:
        path, names = find_file(str(name))
        label, tree = str(name), copy_tree(read_config_file(path))
        if names:
            tree.pop("published", None)
        changes = named_changes(tree)
        for change in names:
            if change not in changes:
                raise SpecError(f"{label}: '{change}' is not a form or a variant; {nearest(change, changes)}")
            for key, value in changes[change].items():
                _set(tree, str(key), copy_tree(value))
    tree = copy_tree(tree)
    for key in tree:
        if key not in TOP:
            raise SpecError(f"{label}: unknown key '{key}'; {nearest(str(key), TOP)}")
    for key, value in (overrides or {}).items():
        _set(tree, key, value)
    if not isinstance(tree.get("model"), Mapping):
        raise SpecError(f"{label}: 'model' must be a mapping of inputs, streams, trunk and output")
    spec, recipe = Spec.from_dict(tree["model"]), validate(Recipe, tree.get("train") or {}, "train")
    check_names(spec)
    recipe.require(spec)
    return Config(
        label,
        str(tree.get("description") or ""),
        str(tree.get("source") or ""),
        spec,
        recipe,
        _data_settings(tree["data"]) if tree.get("data") else None,
        tuple(tree.get("variants") or {}),
        tuple(tree.get("forms") or {}),
        str(tree.get("difference") or ""),
        validate(Published, tree["published"], "published") if tree.get("published") and not overrides else None,
    )


def _data_settings(tree: Any) -> DataSettings:
    """Check the section `data` of a configuration. Raises SpecError."""
    reading = tree.get("reading") if isinstance(tree, Mapping) else None
    settings = validate(DataSettings, tree if reading is None else {**tree, "reading": None}, "data")
    data_set = find_data_set(settings.set)
    if reading is None:
        return settings
    return settings.model_copy(update={"reading": validate(data_set.Reading, reading, "data.reading")})


def load_spec(path_or_dict: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Spec:
    """Read and check the model of a configuration.

    >>> load_spec("flash_mnist/attention_cluster", {"model.streams.features.layers.attention.units": 64})

    Args:
        path_or_dict: a name in the zoo or a path, with any of its forms and variants; or a plain tree.
        overrides: maps dotted paths to values.

    Raises:
        SpecError: the model is wrong. The message names the place and the nearest right word.
    """
    return load_config(path_or_dict, overrides).spec


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    """Change one value in place. Sections other than `model` are made where they are missing.

    The value null takes an input, a stream or a layer out of the model, and `train.early_stopping` out of the recipe.

    Raises:
        SpecError: the key is not known, or the value can't be there.
    """
    node: Any = tree
    parts = key.split(".")
    if parts[0] not in SET:
        raise SpecError(f"{key}: unknown key '{parts[0]}'; {nearest(parts[0], SET)}")
    for depth, part in enumerate(parts[:-1]):
        if part not in node:
            if parts[0] == "model":
                place = ".".join(parts[:depth]) or "the configuration"
                raise SpecError(f"{key}: there is no '{part}' in {place}; {nearest(part, node)}")
            node[part] = {}
        if not isinstance(node[part], Mapping):
            if node[part] is not None:
                raise SpecError(f"{key}: {'.'.join(parts[: depth + 1])} is a value, not a mapping")
            node[part] = {}
        node = node[part]
    if value is None and _is_part(parts):
        if parts[-1] not in node:
            raise SpecError(f"{key}: there is no '{parts[-1]}' to take out; {nearest(parts[-1], node)}")
        del node[parts[-1]]
        return
    if isinstance(node.get(parts[-1]), Mapping) and not isinstance(value, Mapping) and value is not None:
        raise SpecError(
            f"{key}: this is a mapping of {', '.join(map(str, node[parts[-1]]))}; set one of these, or give a mapping"
        )
    node[parts[-1]] = value


def _is_part(parts: list[str]) -> bool:
    """True for the path of an input, a stream or a layer."""
    if parts[:2] == ["model", "streams"] and len(parts) == 5:
        return parts[3] == "layers"
    return len(parts) == 3 and parts[0] == "model" and parts[1] in ("inputs", "streams", "trunk")
