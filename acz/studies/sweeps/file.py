"""The file of a sweep: a grid and a list of overrides, and the trials that follow from them."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from acz.foundation.errors import SpecError, nearest
from acz.foundation.files.local import require_local
from acz.foundation.files.yaml import read_yaml
from acz.foundation.settings import validate
from acz.zoo.catalog import EXPERIMENTS, config_folder
from acz.zoo.config import SET, Config, load_config

MOST_TRIALS, LONGEST_NAME = 1000, 120
WORDS = ("config", "backend", "device")
"""The choices of a trial beside values of its configuration."""
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._=+,-]{{0,{LONGEST_NAME - 1}}}")


class TrialSettings(BaseModel):
    """One entry of `trials`. It inherits what it leaves out from the sweep."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str | None = None
    config: str | None = None
    backend: str | None = None
    device: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    published: dict[str, float | str] = Field(default_factory=dict)
    """Figures that others report for this trial. They are copied into the results."""


class Sweep(BaseModel):
    """The contents of a sweep's file. Every entry of `trials` runs at every point of the grid."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    description: str = ""
    source: str = ""
    config: str | None = None
    backend: str | None = None
    device: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    trials: list[TrialSettings] = Field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """One training run."""

    name: str
    base: str
    """The configuration, as `acz train` takes it."""
    config: Config
    """The configuration with all overrides."""
    backend: str
    device: str
    overrides: dict[str, Any]
    published: dict[str, float | str]


def find_sweep(name: str) -> Path:
    """Find a sweep's file.

    Args:
        name: A path, or the name of a sweep of the zoo, with or without its folder.

    Raises:
        SpecError: There is no such sweep; the message gives the nearest name.
    """
    require_local(name)
    stem = name.removeprefix(f"{EXPERIMENTS}/")
    folder = config_folder() / EXPERIMENTS
    for candidate in (Path(name), folder / f"{stem}.yaml"):
        if candidate.is_file():
            return candidate
    raise SpecError(
        f"there is no sweep or file '{name}'; {nearest(stem, (path.stem for path in folder.glob('*.yaml')))}"
    )


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's file.

    Raises:
        SpecError: A key or value is not valid; the message names the place and the nearest key.
    """
    tree = read_yaml(path)
    for key, values in tree["grid"].items() if isinstance(tree.get("grid"), Mapping) else ():
        if not isinstance(values, list) or not values:
            raise SpecError(f"{path}: grid.{key}: must be a list of values, got {values!r}; for example [1, 2]")
    for number, entry in enumerate(tree["trials"] if isinstance(tree.get("trials"), list) else ()):
        validate(TrialSettings, entry, f"{path}: trials.{number}")
    sweep = validate(Sweep, tree, str(path))
    if not sweep.grid and not sweep.trials:
        raise SpecError(f"{path}: a sweep needs 'grid', 'trials' or both, to say what varies")
    return sweep


def expand(
    sweep: Sweep,
    folder: Path,
    choose_backend: Callable[[str | None], str],
    fixed: Mapping[str, Any] | None = None,
) -> list[Trial]:
    """List every trial, with its configuration read and checked.

    Args:
        sweep: The contents of the file.
        folder: The folder of the file. Files of configurations are looked up there first.
        choose_backend: Returns the backend of a trial, given the name that the trial has, if any.
        fixed: Values by path, for all trials, as --set gives them. They may not change what varies.

    Returns:
        The trials; their device is the CPU by default.

    Raises:
        SpecError: A trial is not valid; the message names it.
    """
    settings = sweep.trials or [TrialSettings()]
    varying = [*sweep.grid, *(key for entry in settings for key in entry.set)]
    _check_paths(sweep, settings, fixed or {})
    if math.prod(map(len, sweep.grid.values())) * len(settings) > MOST_TRIALS:
        raise SpecError(f"the sweep has more than {MOST_TRIALS:,} trials; shorten the lists of 'grid'")
    labels = _labels(dict.fromkeys(varying))
    trials = []
    for entry in settings:
        for values in itertools.product(*sweep.grid.values()):
            point = dict(zip(sweep.grid, values, strict=True))
            name = _name(entry, point, labels)
            words = {word: point.pop(word, None) or getattr(entry, word) or getattr(sweep, word) for word in WORDS}
            if not isinstance(words["config"], str):
                raise SpecError(f"trial {name}: 'config' must name a model, or a file; 'acz models' lists them")
            overrides = {**sweep.set, **entry.set, **point, **(fixed or {})}
            base = _base(words["config"], folder)
            try:
                config = load_config(base, deepcopy(overrides))  # an override may change what another sets
            except SpecError as error:
                raise SpecError(f"trial {name}: {error}") from None
            backend, device = choose_backend(words["backend"]), str(words["device"] or "CPU")
            trials.append(Trial(name, base, config, backend, device, overrides, dict(entry.published)))
    _check_different(trials)
    return trials


def _check_paths(sweep: Sweep, settings: Iterable[TrialSettings], fixed: Mapping[str, Any]) -> None:
    """Check that a path or a word is set in one place. Only values of the sweep's own `set` may be changed by a trial.

    Raises:
        SpecError: It is set in two places, or a key of the grid is unknown.
    """
    for key in sweep.grid:
        if key not in WORDS and key.partition(".")[0] not in SET:
            raise SpecError(f"grid.{key}: unknown key; {nearest(key.partition('.')[0], [*SET, *WORDS])}")
    varied = dict.fromkeys(sweep.grid, "the grid")
    for entry in settings:
        for key in entry.set:
            if any(_overlap(key, other) for other in sweep.grid):
                raise SpecError(f"'{key}' is set by a trial and by the grid; leave it out of one of them")
        for word in WORDS:
            if word in sweep.grid and getattr(entry, word):
                raise SpecError(f"'{word}' is chosen by a trial and by the grid; leave it out of one of them")
        varied |= dict.fromkeys(entry.set, "a trial")
    for key in fixed:
        for other, setter in varied.items():
            if _overlap(key, other):
                raise SpecError(f"--set {key}: {setter} sets {other}; change the sweep's file instead")


def _overlap(path: str, other: str) -> bool:
    """True where two dotted paths are equal, or one is inside the other."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


def _base(name: str, folder: Path) -> str:
    """The name of a configuration that `acz train` takes from any folder."""
    file, colon, variant = name.partition(":")
    for candidate in (folder / file, Path(file)):
        if candidate.is_file():
            return f"{candidate.resolve()}{colon}{variant}"
    return name


def _labels(paths: Iterable[str]) -> dict[str, str]:
    """Map each path to its shortest end that no other path has: `units`, or `rgb.layers.attention.units`."""
    paths = list(paths)
    labels = {}
    for path in paths:
        parts = path.split(".")
        ends = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
        unique = (end for end in ends if sum(f".{other}".endswith(f".{end}") for other in paths) == 1)
        labels[path] = next(unique, path)
    return labels


def _name(entry: TrialSettings, point: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Name a trial: its own name, then the values of the grid. Raises SpecError where the name cannot be a folder's."""
    own = {word: getattr(entry, word) for word in WORDS if getattr(entry, word)} | entry.set
    parts = [entry.name] if entry.name else [_part(key, value, labels) for key, value in own.items()]
    name = ",".join([*parts, *(_part(key, value, labels) for key, value in point.items())])
    if not name:
        raise SpecError("an entry of 'trials' must have a name, or set something")
    if not NAME.fullmatch(name):
        raise SpecError(
            f"trial '{name}': a trial names a folder, so its name has up to {LONGEST_NAME} letters, digits and ._=+,- "
            "and begins with a letter or digit; give the trial a shorter 'name'"
        )
    return name


def _part(key: str, value: Any, labels: Mapping[str, str]) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
    if key == "config":
        text = text.rpartition("/")[2].replace(".yaml", "")
    words = [word for word in re.split(r"[^A-Za-z0-9._+-]+", text) if word]
    plain = "-".join(words) or "none"
    return plain if key in WORDS else f"{labels[key]}={plain}"


def _check_different(trials: Iterable[Trial]) -> None:
    """Raise SpecError where two trials have the same settings, or names that differ in the case of letters at most."""
    names: dict[str, str] = {}
    same: dict[str, str] = {}
    for trial in trials:
        if trial.name.lower() in names:
            raise SpecError(f"two trials have the name '{trial.name}'; give them different values, or names")
        names[trial.name.lower()] = trial.name
        key = json.dumps([trial.config.to_dict(), trial.backend, trial.device], sort_keys=True)
        if key in same:
            raise SpecError(
                f"the trials '{same[key]}' and '{trial.name}' have the same settings; leave one of them out"
            )
        same[key] = trial.name
