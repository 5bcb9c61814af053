"""The weights in a file that holds more: under a key, beside other entries, with a wrapper's word before every name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from acz.exchange.weights.readers.contents import Contents
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, nearest

KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "net_state_dict", "net", "network", "module", "weights",
    "params", "parameters", "student", "ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "ema", "teacher",
)  # fmt: skip
"""Keys under which people save weights. The first that a file has counts."""
TRAINING = ("optim", "sched", "scaler", "rng", "random", "history")
"""Parts of the keys of a training's other state."""
PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.")
"""The words that DataParallel, torch.compile and others put before every name."""
LIGHTNING, ATTRIBUTES = "pytorch-lightning_version", ("model.", "net.", "network.", "module.")
"""The key of Lightning's files, and the usual names of the attribute that holds the network in them."""
COUNTER = "n_averaged"
"""The number of averaged models, beside the names of torch.optim.swa_utils.AveragedModel."""
MOST_NESTED = 4
MOST_NAMES = 8
"""The most keys that a remark lists."""

Path = tuple[str, ...]


def choose_weights(tree: Mapping[str, Any], key: str | None = None) -> Contents:
    """Find the weights in nested dictionaries.

    Args:
        tree: arrays, dictionaries and anything else by name.
        key: the key that holds the weights; keys in each other with dots between them. None: the usual one.

    Returns:
        The arrays by name, without the words that wrappers put before every name, and remarks on what was done.

    Raises:
        DataError: there are no arrays, or there is no telling which of several dictionaries holds the weights.
    """
    sets = dict(_sets(tree))
    path = _path(sets, key)
    notes = [f"its weights are those under '{'.'.join(path)}'"] if path else []
    aside = [name for level in range(max(len(path), 1)) for name in _beside(tree, path, level)]
    if aside:
        more = f" and {len(aside) - MOST_NAMES:,} more" if len(aside) > MOST_NAMES else ""
        notes.append(f"left aside: {', '.join(aside[:MOST_NAMES])}{more}")
    named = {name: value for name, value in sets[path].items() if isinstance(value, np.ndarray)}
    named, taken_off = without_prefixes(named, ATTRIBUTES if LIGHTNING in tree else ())
    return Contents(named, notes=notes + taken_off)


def without_prefixes(named: Mapping[str, Array], more: tuple[str, ...] = ()) -> tuple[dict[str, Array], list[str]]:
    """Take off the words that wrappers put before all names.

    Args:
        named: arrays by name.
        more: prefixes that may be taken off beside PREFIXES.

    Returns:
        The arrays by their own names, and remarks.
    """
    arrays = dict(named)
    notes: list[str] = []
    while True:
        names = [name for name in arrays if name != COUNTER]
        prefix = next(
            (prefix for prefix in (*PREFIXES, *more) if names and all(name.startswith(prefix) for name in names)), None
        )
        if prefix is None:
            return arrays, notes
        arrays = {name.removeprefix(prefix): arrays[name] for name in names}
        notes.append(f"'{prefix}' before all names is taken off")


def _sets(tree: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every dictionary that holds arrays, with the keys that lead to it, but for those of a training's other state."""
    if any(isinstance(value, np.ndarray) and value.ndim for value in tree.values()):
        yield path, tree
    for name, value in tree.items():
        if isinstance(value, Mapping) and len(path) < MOST_NESTED and not any(w in name.lower() for w in TRAINING):
            yield from _sets(value, (*path, name))


def _path(sets: Mapping[Path, Any], key: str | None) -> Path:
    """The keys that lead to the weights. Raises DataError where they are unknown."""
    if not sets:
        raise DataError("it holds no state_dict, a dictionary of arrays by name")
    words = {".".join(path): path for path in sets}
    if key is not None:
        if not key or key not in words:
            raise DataError(f"it has no weights under '{key}'; {nearest(key, filter(None, words))}")
        return words[key]

    def rank(path: Path) -> list[int]:
        """Usual keys come first in their order, then the file's own level, then other keys."""
        places = [KEYS.index(name.lower()) if name.lower() in KEYS else len(KEYS) + 1 for name in path]
        return places or [len(KEYS)]

    first, *others = sorted(sets, key=rank)
    if others and rank(others[0]) == rank(first):
        raise DataError(f"it has several sets of weights; say one with --key: {', '.join(filter(None, sorted(words)))}")
    return first


def _beside(tree: Mapping[str, Any], path: Path, level: int) -> list[str]:
    """The entries beside the weights at a level of the path, without texts about names."""
    for name in path[:level]:
        tree = tree[name]
    used = path[level : level + 1] or [name for name, value in tree.items() if isinstance(value, np.ndarray)]
    return [name for name in tree if name not in used and not name.endswith("@@")]
