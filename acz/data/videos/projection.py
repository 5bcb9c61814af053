"""From the features of a network to those of a data set: principal components, whitening, bytes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.npy import read_header

LEAST, SPREAD = -2.0, 4.0
"""The value of byte 0, and the distance to that of byte 255."""
MOST_BYTES = 2**28
"""Bytes of an array that is read from a file."""

Rounding = Literal["truncate", "round"]


class ProjectionSettings(BaseModel):
    """The files of a projection. A file may be an array of an .npz file, as in `vggish_pca_params.npz:pca_means`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: str
    vectors: str
    """The vectors, one a row."""
    variances: str | None = None
    """Divides each component by the root of its variance."""
    epsilon: float = Field(1e-4, ge=0)
    """Is added to each variance."""
    width: int = Field(ge=1)
    """Components that are kept."""

    @property
    def files(self) -> list[str]:
        """The names of its files, each once."""
        words = [self.mean, self.vectors, *([self.variances] if self.variances else [])]
        return list(dict.fromkeys(word.partition(":")[0] for word in words))


class Projection:
    """A projection on principal components: y = (x - mean) V^T / sqrt(variance + epsilon)."""

    def __init__(self, settings: ProjectionSettings, folder: Path) -> None:
        """Read the files. Raises DataError where one is missing or has another shape."""
        self.mean = read_values(folder, settings.mean).astype(np.float64).ravel()
        vectors = read_values(folder, settings.vectors).astype(np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean) or len(vectors) < settings.width:
            raise DataError(
                f"{folder / settings.vectors}: must be vectors (at least {settings.width}, {len(self.mean)}), "
                f"got {vectors.shape}"
            )
        self.matrix = vectors[: settings.width].T
        self.scale = np.ones(settings.width)
        if settings.variances:
            variances = read_values(folder, settings.variances).astype(np.float64).ravel()
            if len(variances) < settings.width or (variances < 0).any():
                raise DataError(f"{folder / settings.variances}: must be {settings.width} variances or more")
            self.scale = np.sqrt(variances[: settings.width] + settings.epsilon)

    def __call__(self, features: Array) -> Array:
        """Project features (rows, features). Returns float32 (rows, width)."""
        if features.shape[1] != len(self.mean):
            raise DataError(f"the network gives {features.shape[1]} features, the projection takes {len(self.mean)}")
        return (((features - self.mean) @ self.matrix) / self.scale).astype(np.float32)


def quantize(features: Array, rounding: Rounding) -> Array:
    """Features as bytes: 0 is -2 and below, 255 is 2 and above.

    Args:
        features: (rows, features).
        rounding: `truncate`, as MediaPipe and VGGish do, or `round`, as the first extractor of YouTube-8M did.
    """
    values = (np.clip(features.astype(np.float32), LEAST, LEAST + SPREAD) - LEAST) * np.float32(255 / SPREAD)
    return (np.rint(values) if rounding == "round" else values).astype(np.uint8)


def read_values(folder: Path, word: str) -> Array:
    """An array of numbers: a file .npy, or `FILE.npz:NAME`.

    Raises:
        DataError: The file or the name is missing, or the file is damaged.
    """
    file, _, name = word.partition(":")
    path = folder / file
    try:
        if not name:
            return _parse(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            if entry.file_size > MOST_BYTES:
                raise ValueError(f"'{name}' is larger than {MOST_BYTES:,} bytes")
            return _parse(archive.read(entry))
    except FileNotFoundError:
        raise DataError(f"there is no file {path}, which these features need; --files names its folder") from None
    except KeyError:
        raise DataError(f"{path}: holds no array '{name}'") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: can't be read: {error}") from None


def _parse(content: bytes) -> Array:
    header = read_header(io.BytesIO(content))
    values = np.frombuffer(content, header.dtype, int(np.prod(header.shape)), header.end)
    if header.dtype.kind not in "fiu":
        raise ValueError(f"holds {header.dtype}, not numbers")
    return values.reshape(header.shape, order="F" if header.fortran else "C")
