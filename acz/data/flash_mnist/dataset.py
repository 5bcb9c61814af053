"""Flash-MNIST as a data set: where its files lie and how a split is opened."""

from __future__ import annotations

from pathlib import Path

from acz.foundation.errors import DataError


def feature_files(folder: Path) -> dict[str, Path]:
    """The feature file of each split in a folder. Raises DataError where a split has several."""
    found: dict[str, Path] = {}
    for split in ("train", "test"):
        files = sorted(folder.glob(f"feature_{split}*.pkl"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise DataError(
                f"{folder} holds several files of '{split}' ({names}); name one of them, or move the others"
            )
        if files:
            found[split] = files[0]
    return found
