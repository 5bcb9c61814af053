"""Words that a shell completes. Each function is called while somebody types, so it imports little."""

from __future__ import annotations

from importlib.metadata import entry_points

from acz.backend.info import GROUP
from acz.foundation.errors import AczError
from acz.training.latest import RUNS
from acz.zoo.catalog import complete_name


def complete_model(beginning: str) -> list[str]:
    """List the models of the zoo that begin like this; none where a file of the zoo is damaged."""
    try:
        return complete_name(beginning)
    except AczError:
        return []


def complete_backend(beginning: str) -> list[str]:
    """List the registered backends that begin like this."""
    return sorted({point.name for point in entry_points(group=GROUP) if point.name.startswith(beginning)})


def complete_backends(beginning: str) -> list[str]:
    """List the backends that can follow the last comma of a list."""
    before, comma, last = beginning.rpartition(",")
    return [f"{before}{comma}{name}" for name in complete_backend(last) if name not in before.split(",")]


def complete_layer(beginning: str) -> list[str]:
    """List the types of layers that begin like this."""
    from acz.model.layers import LAYERS  # it loads NumPy

    return [name for name in LAYERS if name.startswith(beginning)]


def complete_format(beginning: str) -> list[str]:
    """List the formats of `acz export` that begin like this, and `all`."""
    from acz.exchange.artefacts.formats import formats  # it loads NumPy

    return [name for name in [*formats(), "all"] if name.startswith(beginning)]


def complete_extractor(beginning: str) -> list[str]:
    """List the extractors of features that begin like this."""
    from acz.zoo.extractors import extractor_names

    return [name for name in extractor_names() if name.startswith(beginning)]


def complete_native(beginning: str) -> list[str]:
    """List the kinds of frameworks' own files that begin like this."""
    from acz.backend.registry import native_formats  # it loads NumPy

    return [kind for kind in native_formats() if kind.startswith(beginning)]


def complete_run(beginning: str) -> list[str]:
    """List the folders of runs that begin like this. Without one the shell completes files."""
    try:
        folders = sorted(path.parent.as_posix() for path in RUNS.glob("*/run.json"))
    except OSError:
        return []
    return [folder for folder in folders if folder.startswith(beginning)]
