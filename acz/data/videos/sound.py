"""The way from samples to log-mel patches, as VGGish has it, in NumPy.

Source: Hershey et al. 2017, CNN architectures for large-scale audio classification; Gemmeke et al. 2017, Audio Set. The
constants are those of VGGish.
"""

from __future__ import annotations

import math

import numpy as np

from acz.foundation.arrays import Array

RATE = 16000
"""Samples a second that the spectrogram is computed from."""
WINDOW, HOP, FFT = 400, 160, 512
"""Samples of a window (25 ms), between two windows (10 ms), and of a transform."""
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
"""The number of mel bands, and their ends in Hz."""
OFFSET = 0.01
"""Is added before the logarithm."""
PATCH = 96
"""Windows of a patch."""
WIDTH, BETA = 10, 5.0
"""Zero crossings on each side of the resampling filter, and the form of its Kaiser window."""


def resample(samples: Array, rate: int, wanted: int = RATE) -> Array:
    """Change the number of samples a second, through a windowed sinc filter.

    Args:
        samples: (samples).
        rate: Samples a second of `samples`.
        wanted: Samples a second of the result.

    Returns:
        float32 (ceil(samples * wanted / rate)).
    """
    shared = math.gcd(rate, wanted)
    up, down = wanted // shared, rate // shared
    if up == down or not len(samples):
        return samples.astype(np.float32)
    half = WIDTH * max(up, down)
    places = np.arange(-half, half + 1)
    taps = np.sinc(places / max(up, down)) * np.kaiser(2 * half + 1, BETA)
    taps *= up / taps.sum()
    count = -(-len(samples) * up // down)
    reach = half // up + 1
    padded = np.pad(samples.astype(np.float64), (reach, reach + down + 1))
    result = np.empty(count)
    for phase in range(min(up, count)):  # the results phase, phase + up, ... have the same taps, and steps of `down`
        middle = phase * down
        nearest, rest = divmod(middle, up)
        offsets = np.arange(-reach, reach + 1)
        place = half + rest - offsets * up
        inside = (place >= 0) & (place <= 2 * half)
        own, offsets = taps[place[inside]], offsets[inside]
        rows = len(range(phase, count, up))
        first = nearest + reach + int(offsets[0])
        total = np.zeros(rows)
        for index, tap in enumerate(own):
            total += tap * _every(padded, first + index, down, rows)
        result[phase::up] = total
    return result.astype(np.float32)


def _every(values: Array, first: int, step: int, count: int) -> Array:
    return values[first : first + step * (count - 1) + 1 : step]


def mel_filters() -> Array:
    """The weight of each frequency of a transform in each band, float64 (FFT / 2 + 1, BANDS)."""
    frequencies = np.linspace(0, RATE / 2, FFT // 2 + 1)
    mels = _mel(frequencies)
    edges = np.linspace(_mel(np.array(LOWEST)), _mel(np.array(HIGHEST)), BANDS + 2)
    lower, middle, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (mels[:, None] - lower) / (middle - lower)
    falling = (upper - mels[:, None]) / (upper - middle)
    weights = np.maximum(0, np.minimum(rising, falling))
    weights[0] = 0
    return weights


def _mel(frequency: Array) -> Array:
    """HTK's mel scale."""
    return 1127 * np.log1p(frequency / 700)


def log_mel(samples: Array) -> Array:
    """The log-mel spectrogram of samples at RATE, float32 (windows, BANDS). Only whole windows count."""
    count = 1 + (len(samples) - WINDOW) // HOP if len(samples) >= WINDOW else 0
    if not count:
        return np.zeros((0, BANDS), np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW)[::HOP]
    filters, parts = mel_filters(), []
    for start in range(0, count, 4096):
        spectrum = np.abs(np.fft.rfft(windows[start : start + 4096] * window, FFT))
        parts.append(np.log(spectrum @ filters + OFFSET).astype(np.float32))
    return np.concatenate(parts)


def patches(spectrogram: Array, hop: int) -> Array:
    """Patches of a spectrogram, float32 (patches, PATCH, BANDS).

    Args:
        spectrogram: (windows, BANDS).
        hop: Windows between the beginnings of two patches: 100 for one each second, 96 for VGGish alone.
    """
    if len(spectrogram) < PATCH:
        return np.zeros((0, PATCH, BANDS), np.float32)
    starts = range(0, len(spectrogram) - PATCH + 1, hop)
    return np.stack([spectrogram[start : start + PATCH] for start in starts])


def sound_patches(samples: Array, rate: int, hop: int) -> Array:
    """The log-mel patches of a sound, float32 (patches, PATCH, BANDS). A sound shorter than a patch has one, with silence.

    Args:
        samples: (samples), -1 .. 1.
        rate: Samples a second.
        hop: Windows between the beginnings of two patches.
    """
    resampled = resample(samples, rate)
    least = WINDOW + HOP * (PATCH - 1)
    if len(resampled) < least:
        resampled = np.pad(resampled, (0, least - len(resampled)))
    return patches(log_mel(resampled), hop)


def statistics(given: Array) -> Array:
    """The mean and the standard deviation of each band of each patch, float32 (patches, 2 * BANDS)."""
    return np.concatenate([given.mean(axis=1), given.std(axis=1)], axis=1).astype(np.float32)
