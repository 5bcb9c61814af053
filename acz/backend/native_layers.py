"""An adapter's tables: its own form of each layer and of each loss, found by name in its module.

Both are made when the adapter is imported, so a form that is missing is an error at once, and not a wrong number later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from acz.model.layers import LAYERS
from acz.model.losses import LOSSES, LossTable


def native_layers(names: Mapping[str, Any]) -> dict[str, Any]:
    """The adapter's class of each layer, by the layer's type: `LAYERS = native_layers(globals())`.

    Args:
        names: of the adapter's module. A layer's class has the name that it has in acz.model.layers.

    Raises:
        ImportError: a class is missing.
    """
    return _table(names, ((layer, kind.__name__) for layer, kind in LAYERS.items()))


def native_losses(names: Mapping[str, Any]) -> LossTable[Any]:
    """The adapter's function of each loss, by the loss's name: `LOSSES = native_losses(globals())`.

    Args:
        names: of the adapter's module. A loss's function has the loss's name, and takes `alpha` where the loss does.

    Raises:
        ImportError: a function is missing.
    """
    functions = _table(names, ((loss, loss) for loss in LOSSES))
    return LossTable(functions.items(), _with_alpha)


def _with_alpha(function: Any, name: str, alpha: float) -> Any:
    """The function of a loss with its alpha. It is no partial: a graph of MindSpore leaves out a partial's keywords."""

    def weighed(model: Any, logits: Any, labels: Any) -> Any:
        return function(model, logits, labels, alpha)

    return weighed


def _table(names: Mapping[str, Any], wanted: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The objects of a module by key; `wanted` holds pairs of key and name."""
    pairs = list(wanted)
    if missing := [name for _, name in pairs if name not in names]:
        raise ImportError(f"{names['__name__']} must define {', '.join(missing)}: an adapter has every layer and loss")
    return {key: names[name] for key, name in pairs}
