"""Readers and makers: exact bytes, reproducible from a seed, and clear about what is wrong with a file."""

from __future__ import annotations

import contextlib
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acz.data.flash_mnist.build import Settings, build_features, build_noisy
from acz.data.flash_mnist.digits import DigitImages, Images, PixelNoise, load_digits, load_mnist
from acz.data.flash_mnist.idx import read_idx
from acz.data.flash_mnist.videos import Videos
from acz.data.folder import Split, read_manifest, verify
from acz.foundation.errors import DataError
from acz.foundation.files.claims import claim_folder
from acz.foundation.randomness import generator
from tests.conftest import write_features


def idx(values: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def tiny_digits() -> DigitImages:
    source = np.random.default_rng(0)

    def part(count: int) -> Images:
        return Images(
            source.integers(0, 256, (count, 28, 28), dtype=np.uint8), (np.arange(count) % 10).astype(np.uint8)
        )

    return DigitImages("tiny", part(40), part(20))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_is_read_exactly(tmp_path: Path, pack: type) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "a"
    path.write_bytes(pack(idx(values)))
    np.testing.assert_array_equal(read_idx(path), values)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (idx(np.zeros((2, 3), np.uint8))[:-1], "truncated: it holds 5 of 6"),
        (idx(np.zeros((2, 3), np.uint8)) + b"x", "too long"),
        (gzip.compress(idx(np.zeros((2, 3), np.uint8)), mtime=0)[:-9], "truncated"),
        (b"\x00\x00\x08\x02\x00", "truncated in its header"),
        (b"", "not an IDX file"),
        (b"hello, world", "not an IDX file"),
        (b"\x00\x00\x08\x04" + b"\xff" * 16, "announces"),
    ],
)
def test_damaged_idx_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=word):
        read_idx(path)


@given(st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("idx") / "f"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        read_idx(path)


def test_a_folder_of_mnist(tmp_path: Path) -> None:
    images = tiny_digits()
    for stem, part in (("train", images.train), ("t10k", images.test)):
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(idx(part.pixels))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(part.digits)))
    read = load_mnist(tmp_path)
    np.testing.assert_array_equal(read.test.pixels, images.test.pixels)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels"):
        load_mnist(tmp_path)


def test_scikit_learns_digits_are_split_by_image() -> None:
    digits = load_digits()
    assert len(digits.train.digits) + len(digits.test.digits) == 1797
    assert digits.train.pixels.shape[1:] == (28, 28)
    assert digits.train.pixels.max() == 255
    assert (np.bincount(digits.test.digits) > 30).all()
    train = {image.tobytes() for image in digits.train.pixels}
    assert not any(image.tobytes() in train for image in digits.test.pixels)


def test_noise_has_the_histogram_of_the_images() -> None:
    counts = np.zeros(256, dtype=np.int64)
    counts[[0, 1, 7, 255]] = [800_000, 3, 150_001, 49_996]
    drawn = PixelNoise(counts).draw(generator(0, "noise"), (4_000_000,))
    histogram = np.bincount(drawn, minlength=256)
    assert set(np.flatnonzero(histogram)) == {0, 1, 7, 255}
    want = counts / counts.sum() * drawn.size
    shown = counts > 0
    assert (((histogram - want) ** 2)[shown] / want[shown]).sum() < 20  # chi-squared, 3 degrees of freedom
    flat = PixelNoise(np.full(256, 10)).draw(generator(0, "flat"), (256_000,))
    assert abs(np.bincount(flat, minlength=256) - 1000).max() < 200


def test_videos_show_exactly_the_digits_of_their_label() -> None:
    images = tiny_digits()
    blank = PixelNoise(np.eye(256, dtype=np.int64)[0])  # noise of zeros, so that a frame is its digit
    videos = Videos(images.train, blank, 0, "train", 1)
    frames, labels = videos.chunk(3)
    assert frames.shape == (128, 25, 28, 28)
    known = {image.tobytes(): digit for image, digit in zip(images.train.pixels, images.train.digits, strict=True)}
    positions = []
    for video, label in zip(frames, labels, strict=True):
        shown = [known.get(frame.tobytes()) for frame in video]
        digits = [digit for digit in shown if digit is not None]
        positions += [i for i, digit in enumerate(shown) if digit is not None]
        assert set(digits) == {d for d in range(10) if label >> d & 1}
        assert all(digits.count(d) in (1, 2) for d in set(digits))
        assert frames.dtype == np.uint8
    assert abs(np.mean(positions) - 12) < 0.5, "digits flash up anywhere in the video"


def test_labels_and_chunks_do_not_depend_on_how_they_are_made() -> None:
    images = tiny_digits()
    noise = PixelNoise.of(images.train.pixels)
    first, other = (Videos(images.train, noise, 5, "train", 2) for _ in range(2))
    np.testing.assert_array_equal(first.chunk(7)[0], [other.chunk(0), other.chunk(7)][1][0])
    assert (np.bincount(first.labels(0, first.count)) == 2).all()
    assert not np.array_equal(first.chunk(7)[0], Videos(images.train, noise, 6, "train", 2).chunk(7)[0])


def test_noisy_frames_carry_the_right_digit(tmp_path: Path) -> None:
    images = tiny_digits()
    out = build_noisy(tmp_path, images, Settings("tiny", repeats=5), lambda *_: None)
    train = Split(out, "train").take(np.arange(220), ["frame"])
    assert np.bincount(train.labels).tolist() == [20] * 10 + [20]
    for frame, label in zip(train.inputs["frame"][:, 0], train.labels, strict=True):
        if label < 10:
            assert any((frame >= image).all() for image in images.train.pixels[images.train.digits == label])


def test_an_interrupted_build_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    images, asked = tiny_digits(), Settings("tiny", train_videos_per_label=4, test_videos_per_label=1)

    def extract(frames: np.ndarray) -> np.ndarray:
        return frames.reshape(len(frames), -1)[:, :3].astype(np.float32)

    class Stop(Exception):
        pass

    def stop_late(what: str, done: int, total: int) -> None:
        if done > 2500:
            raise Stop

    build_features(tmp_path / "whole", images, asked, extract, None, {}, lambda *_: None)
    with pytest.raises(Stop):
        build_features(tmp_path / "parts", images, asked, extract, None, {}, stop_late)
    with pytest.raises(DataError, match="no finished data set"):
        read_manifest(tmp_path / "parts")
    build_features(tmp_path / "parts", images, asked, extract, None, {}, lambda *_: None)
    assert read_manifest(tmp_path / "parts") == read_manifest(tmp_path / "whole")
    assert verify(tmp_path / "parts") == 5 * 1024


def test_a_folder_is_one_build(tmp_path: Path) -> None:
    mine = {"digits": "tiny", "seed": 0, "frames": (3, 4)}
    claim_folder(tmp_path / "a", "building.json", mine)
    claim_folder(tmp_path / "a", "building.json", mine)
    for changed in ({"seed": 1}, {"more": None}):
        with pytest.raises(DataError, match=f"other settings \\({next(iter(changed))} was"):
            claim_folder(tmp_path / "a", "building.json", {**mine, **changed})
    with pytest.raises(DataError, match="other settings \\(seed was 0, is None"):
        claim_folder(tmp_path / "a", "building.json", {key: mine[key] for key in ("digits", "frames")})
    for damaged in ("{", "[]"):
        (tmp_path / "a" / "building.json").write_text(damaged)
        with pytest.raises(DataError, match="damaged"):
            claim_folder(tmp_path / "a", "building.json", mine)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other files"):
        claim_folder(tmp_path / "b", "building.json", mine)


def test_batches_come_in_the_order_asked_for(features: Path) -> None:
    split = Split(features, "train")
    numbers = np.array([63, 0, 40, 31, 32])
    examples = split.take(numbers, ["features"])
    for row, number in enumerate(numbers):
        shard = split.shards[number // 32]
        np.testing.assert_array_equal(examples.inputs["features"][row], shard["features"][number % 32])
        assert examples.labels[row] == shard["labels"][number % 32]
    assert sum(len(batch.labels) for batch in split.in_order(7, ["features"])) == 64


def test_damaged_features_are_named(tmp_path: Path) -> None:
    def fresh(name: str) -> tuple[Path, Path]:
        folder = write_features(tmp_path / name)
        return folder, folder / "train" / "00001.features.npy"

    folder, path = fresh("nan")
    values = np.load(path)
    values[3, 2, 1] = np.nan
    np.save(path, values)
    with pytest.raises(DataError, match=r"example 35 of 'features' holds NaN or infinity \(shard 00001, row 3\)"):
        Split(folder, "train").take(np.arange(64), ["features"])
    with pytest.raises(DataError, match=r"00001.features.npy: its content is not what was written"):
        verify(folder)
    folder, path = fresh("short")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        Split(folder, "train")
    folder, path = fresh("gone")
    path.unlink()
    with pytest.raises(DataError, match="which the manifest lists"):
        Split(folder, "train")
    folder, path = fresh("shape")
    np.save(path, values[:, :, :2])
    with pytest.raises(DataError, match="the manifest says"):
        Split(folder, "train")
    folder, _ = fresh("manifest")
    (folder / "manifest.json").write_text(json.dumps({"format": "acz-features-1"}))
    with pytest.raises(DataError, match="damaged"):
        Split(folder, "train")
