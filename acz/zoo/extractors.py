"""The extractors of features: their files, which lie beside the zoo."""

from __future__ import annotations

from pathlib import Path

from acz.foundation.errors import SpecError, nearest
from acz.foundation.files.local import require_local
from acz.zoo.catalog import FEATURES, config_folder


def extractor_names() -> list[str]:
    """List the names of the extractors."""
    return sorted(path.stem for path in (config_folder() / FEATURES).glob("*.yaml"))


def extractor_file(name: str) -> Path:
    """Find the file of an extractor.

    Args:
        name: The name of one beside the zoo, or the path of a file.

    Raises:
        SpecError: There is no such file. The message has the nearest name.
    """
    require_local(name)
    known = config_folder() / FEATURES / f"{name}.yaml"
    for candidate in (Path(name), known):
        if candidate.is_file():
            return candidate
    raise SpecError(f"'{name}' is not a known extractor of features; {nearest(name, extractor_names())}")
