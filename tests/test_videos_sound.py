"""The signal path of sound and the way to bytes, against SciPy and against formulas written in another way."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from acz.data.videos.projection import Projection, ProjectionSettings, quantize, read_values
from acz.data.videos.sound import (
    BANDS,
    FFT,
    HOP,
    RATE,
    WINDOW,
    log_mel,
    mel_filters,
    patches,
    resample,
    sound_patches,
    statistics,
)
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


def noise(seconds: float, rate: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, round(seconds * rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_resampling_is_that_of_scipy(rate: int) -> None:
    samples = noise(1.01, rate)
    shared = math.gcd(rate, RATE)
    expected = scipy.signal.resample_poly(samples.astype(np.float64), RATE // shared, rate // shared)
    np.testing.assert_allclose(resample(samples, rate), expected, atol=3e-7)


def test_very_short_sounds_are_resampled() -> None:
    for count in (0, 1, 2, 5):
        samples = noise(count / 44100, 44100)
        assert len(resample(samples, 44100)) == -(-count * 160 // 441)
    assert sound_patches(np.zeros(1, np.float32), 44100, 100).shape == (1, 96, 64)


def test_mel_filters_are_triangles_on_htks_scale() -> None:
    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    step = (mel(7500) - mel(125)) / (BANDS + 1)
    expected = np.zeros((FFT // 2 + 1, BANDS))
    for row in range(1, FFT // 2 + 1):
        for band in range(BANDS):
            distance = abs(mel(row * RATE / FFT) - (mel(125) + (band + 1) * step))
            expected[row, band] = max(0.0, 1 - distance / step)
    np.testing.assert_allclose(mel_filters(), expected, atol=2e-4)  # 1127 is 2595 / ln(10), rounded
    assert (mel_filters().sum(axis=0) > 0).all()


def test_the_spectrogram_is_that_of_scipy() -> None:
    samples = noise(2.5, RATE)
    _, _, spectrum = scipy.signal.stft(
        samples.astype(np.float64),
        window=scipy.signal.get_window("hann", WINDOW),
        nperseg=WINDOW,
        noverlap=WINDOW - HOP,
        nfft=FFT,
        boundary=None,
        padded=False,
        scaling="spectrum",
    )
    magnitudes = np.abs(spectrum.T) * scipy.signal.get_window("hann", WINDOW).sum()
    expected = np.log(magnitudes @ mel_filters() + 0.01)
    np.testing.assert_allclose(log_mel(samples), expected, atol=1e-5)


def test_a_tone_has_its_band() -> None:
    for hertz in (300.0, 1000.0, 4000.0):
        wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
        mels = 1127 * np.log1p(np.array([125, hertz, 7500]) / 700)
        band = (mels[1] - mels[0]) / (mels[2] - mels[0]) * (BANDS + 1) - 1
        assert abs(int(log_mel(wave).mean(axis=0).argmax()) - band) <= 1


def test_patches_start_each_second() -> None:
    spectrogram = log_mel(noise(4.3, RATE))
    cut = patches(spectrogram, 100)
    assert cut.shape == (4, 96, 64)
    for number in range(4):
        np.testing.assert_array_equal(cut[number], spectrogram[100 * number : 100 * number + 96])
    assert len(patches(spectrogram, 96)) == 4
    assert len(patches(spectrogram[:95], 100)) == 0
    means = statistics(cut)
    np.testing.assert_allclose(means[1, 3], cut[1, :, 3].mean(), rtol=1e-6)
    np.testing.assert_allclose(means[2, 67], cut[2, :, 3].std(), rtol=1e-5)


def test_bytes_are_truncated_or_rounded() -> None:
    values = np.array([[-9, -2, -1.999, 0, 0.0079, 1.9999, 2, 9]], np.float32)
    assert quantize(values, "truncate").tolist() == [[0, 0, 0, 127, 128, 254, 255, 255]]
    assert quantize(values, "round").tolist() == [[0, 0, 0, 128, 128, 255, 255, 255]]
    middles = np.arange(255, dtype=np.float32)[None] * np.float32(4 / 255) - np.float32(2) + np.float32(2 / 255)
    np.testing.assert_array_equal(quantize(middles, "truncate"), np.arange(255, dtype=np.uint8)[None])


def test_a_projection_takes_its_files(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    mean, vectors, variances = random.normal(size=(6, 1)), random.normal(size=(6, 6)), random.uniform(0, 1, (6, 1))
    np.save(tmp_path / "mean.npy", mean)
    np.save(tmp_path / "variances.npy", variances.astype(np.float32))
    np.savez(tmp_path / "all.npz", vectors=np.asfortranarray(vectors))
    settings = ProjectionSettings(mean="mean.npy", vectors="all.npz:vectors", variances="variances.npy", width=4)
    features = random.normal(size=(5, 6)).astype(np.float32)
    projected = Projection(settings, tmp_path)(features)
    for row in range(5):
        for column in range(4):
            product = sum((features[row, k] - mean[k, 0]) * vectors[column, k] for k in range(6))
            wanted = product / math.sqrt(variances[column, 0] + 1e-4)
            assert projected[row, column] == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    assert settings.files == ["mean.npy", "all.npz", "variances.npy"]
    with pytest.raises(DataError, match="the network gives 5 features, the projection takes 6"):
        Projection(settings, tmp_path)(features[:, :5])
    with pytest.raises(DataError, match=r"all\.npz: holds no array 'other'"):
        read_values(tmp_path, "all.npz:other")
    with pytest.raises(DataError, match="there is no file"):
        read_values(tmp_path, "gone.npy")
    (tmp_path / "text.npy").write_text("text")
    with pytest.raises(DataError, match="can't be read"):
        read_values(tmp_path, "text.npy")
