"""Images of digits: MNIST from a folder of IDX files, or scikit-learn's own digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acz.data.flash_mnist.idx import read_idx
from acz.foundation.errors import DataError
from acz.foundation.files.hashing import array_hash
from acz.foundation.randomness import generator

Bytes = npt.NDArray[np.uint8]
SIDE = 28


@dataclass(frozen=True)
class Images:
    """Images (count, 28, 28) and their digits (count)."""

    pixels: Bytes
    digits: Bytes


@dataclass(frozen=True)
class DigitImages:
    """Images of digits, split by image. `name` is that of their source."""

    name: str
    train: Images
    test: Images

    @property
    def hash(self) -> str:
        """A hash that tells one set of images from another."""
        return array_hash(self.train.pixels, self.train.digits, self.test.pixels, self.test.digits)


def load_mnist(folder: Path) -> DigitImages:
    """MNIST from its four IDX files, gzipped or not. Raises DataError that names the file."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; --mnist takes the folder that holds MNIST's four IDX files")
    return DigitImages("mnist", _mnist_part(folder, "train"), _mnist_part(folder, "t10k"))


def _mnist_part(folder: Path, part: str) -> Images:
    arrays = []
    for stem in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
        candidates = [folder / f"{stem}.gz", folder / stem, folder / stem.replace("-idx", ".idx")]
        path = next((c for c in candidates if c.is_file()), candidates[0])
        arrays.append(read_idx(path))
    pixels, digits = arrays
    if pixels.shape[1:] != (SIDE, SIDE) or digits.shape != pixels.shape[:1]:
        raise DataError(f"{folder}: images {pixels.shape} and labels {digits.shape} of '{part}' don't belong together")
    if digits.size == 0 or digits.max() > 9 or len(np.unique(digits)) < 10:
        raise DataError(f"{folder}: the labels of '{part}' are not the digits 0 .. 9")
    return Images(pixels, digits)


def load_digits() -> DigitImages:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, scaled to 28 x 28.

    Of every digit four fifths of the images are for training, the rest for tests.
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits as load

    small, digits = load(return_X_y=True)
    scaled = zoom(small.reshape(-1, 8, 8), (1, 3.5, 3.5), order=1, grid_mode=True, mode="nearest")
    pixels = np.clip(np.rint(scaled * (255 / 16)), 0, 255).astype(np.uint8)
    digits = digits.astype(np.uint8)
    order = generator(0, "digits").permutation(len(digits))
    is_test = np.zeros(len(digits), dtype=bool)
    for digit in range(10):
        of_digit = order[digits[order] == digit]
        is_test[of_digit[: len(of_digit) // 5]] = True
    return DigitImages("digits", Images(pixels[~is_test], digits[~is_test]), Images(pixels[is_test], digits[is_test]))


class PixelNoise:
    """Pixels drawn independently from a histogram of bytes.

    A draw takes 16 random bits and looks them up in a table, in which byte b has floor(65536 p_b) places. The fewer
    than 256 places that are left over draw again, from the remainders of the floors. So the probabilities are the
    histogram's to 2^-53.
    """

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        expected = counts / counts.sum() * 65536
        whole = np.floor(expected).astype(np.int64)
        self.certain = int(whole.sum())
        self.table = np.zeros(65536, dtype=np.uint8)
        self.table[: self.certain] = np.repeat(np.arange(256, dtype=np.uint8), whole)
        rest = np.cumsum(expected - whole)
        self.rest = rest / rest[-1] if rest[-1] > 0 else np.linspace(1 / 256, 1, 256)

    @classmethod
    def of(cls, *images: Bytes) -> PixelNoise:
        """The histogram of all bytes of some images."""
        return cls(np.sum([np.bincount(part.reshape(-1), minlength=256) for part in images], axis=0))

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Bytes:
        """Pixels of this shape, uint8."""
        count = int(np.prod(shape))
        words = np.asarray(source.bit_generator.random_raw((count + 3) // 4), dtype="<u8").view("<u2")[:count]
        pixels = self.table[words]
        again = np.flatnonzero(words >= self.certain)
        pixels[again] = np.searchsorted(self.rest, source.random(len(again)), side="right").clip(0, 255)
        return pixels.reshape(shape)
