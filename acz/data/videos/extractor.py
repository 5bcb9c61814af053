"""Feature extractors: settings in a YAML file, and the way from a video file to its features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from acz.data.videos.decoding import Picture, Sound, read_frames, read_sound
from acz.data.videos.ffmpeg import Limits
from acz.data.videos.network import Network
from acz.data.videos.networks import open_network
from acz.data.videos.projection import Projection, ProjectionSettings, Rounding, quantize
from acz.data.videos.sound import sound_patches, statistics
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.hashing import contents_hash
from acz.foundation.files.yaml import read_yaml
from acz.foundation.settings import validate


class _Modality(BaseModel):
    """Settings that frames and sound share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str | None = None
    """A network that a package brings, or the name of a file: .onnx, .pt2, .pt (TorchScript) or .pb (a frozen graph)."""
    input: str | None = None
    """The value that is the network's input in a frozen graph; None: its only placeholder."""
    output: str | None = None
    """The output of the network that is taken; None: the first."""
    batch: int = Field(16, ge=1)
    """Rows that are computed at once."""
    projection: ProjectionSettings | None = None
    bytes: Rounding | None = None
    """Stores the features as bytes; None: as float32."""


class FrameSettings(_Modality):
    """From frames to features."""

    network: str
    size: tuple[int, int] = (224, 224)
    """Width and height that the network takes."""
    crop: float | None = Field(None, gt=0, le=1)
    """The share of the shorter side that the square in the middle has; None: the whole frame, whatever its form."""
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    """The network takes (pixel - mean) / scale; of a network that takes bytes, the pixels."""
    layout: Literal["nchw", "nhwc"] = "nchw"


class SoundSettings(_Modality):
    """From sound to features."""

    hop: int | None = Field(None, ge=1)
    """Hundredths of a second between two patches; None: those between two frames. VGGish alone has 96."""
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    """Without a network, features are (statistics of the bands - mean) / scale."""


class FileCheck(BaseModel):
    """A file that the user must bring, and the facts by which it is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    published: str
    """The place where it is published, by name."""
    shapes: dict[str, list[int]] = Field(default_factory=dict)
    """The shape of each array, by its name in an .npz file; '' of an .npy file."""
    values: dict[str, dict[int, float]] = Field(default_factory=dict)
    """Values by array and place in it."""
    width: int | None = None
    """Features that a network gives for the input that the extractor makes."""
    excludes: dict[str, str] = Field(default_factory=dict)
    """The words of a message, by what a network must not have: see `acz.data.videos.checks`."""
    replaces: str | None = None
    """The network for which this one is taken where that is not there."""
    input: str | None = None
    output: str | None = None
    """The values of this network that are taken then."""


class ExtractorSettings(BaseModel):
    """The content of a YAML file of features."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    fps: float = Field(1.0, gt=0, le=60)
    """Frames a second."""
    most: int = Field(300, ge=1)
    """The most frames of a video."""
    rgb: FrameSettings | None = None
    audio: SoundSettings | None = None
    files: dict[str, FileCheck] = Field(default_factory=dict)

    @property
    def modalities(self) -> dict[str, FrameSettings | SoundSettings]:
        """The modalities by name."""
        both: dict[str, FrameSettings | SoundSettings | None] = {"rgb": self.rgb, "audio": self.audio}
        return {name: settings for name, settings in both.items() if settings is not None}

    def fitted(self, folder: Path) -> ExtractorSettings:
        """The settings for the files of a folder: with the networks that replace those that are not there."""
        changes = {}
        for modality, entry in self.modalities.items():
            missing = entry.network is not None and not (folder / entry.network).is_file()
            for name, check in self.files.items():
                if missing and check.replaces == entry.network and (folder / name).is_file():
                    taken = {"network": name, "input": check.input, "output": check.output}
                    changes[modality] = entry.model_copy(update=taken)
        return self.model_copy(update=changes)


def recorded_extractor(record: Mapping[str, Any], folder: Path, threads: int) -> Extractor:
    """Open the extractor of a manifest, as `Extractor.to_json` wrote it.

    Raises:
        DataError: A file is missing, or is not the one that the data were made with.
        MissingError: A package is not installed.
    """
    settings = validate(ExtractorSettings, {"about": "", **record["settings"]}, "features")
    extractor = Extractor(str(record["name"]), settings, folder, threads)
    now, then = extractor.to_json()["sha256"], record["sha256"]
    for key in then:
        if now.get(key) != then[key]:
            raise DataError(
                f"the file of {key} of the features '{extractor.name}' is not the one that the data were made with; "
                "--files names the folder of the right one"
            )
    return extractor


def read_settings(path: Path, changes: Mapping[str, Any] | None = None) -> ExtractorSettings:
    """Read the settings of an extractor.

    Args:
        path: The YAML file.
        changes: Values of `fps` and `most` that replace those of the file.

    Raises:
        SpecError: The file is missing, or a setting is not possible.
    """
    tree = read_yaml(path)
    settings = validate(ExtractorSettings, {**tree, **(changes or {})}, path.name)
    if not settings.modalities:
        raise DataError(f"{path}: must have rgb, audio or both")
    return settings


@dataclass(frozen=True)
class Decoded:
    """The frames of a video as bytes, and its sound."""

    frames: Array | None
    """uint8 (frames, height, width, 3)."""
    times: Array
    """The time of each row of features in seconds, (rows)."""
    sound: Sound | None


@dataclass(frozen=True)
class VideoFeatures:
    """The features of a video."""

    arrays: dict[str, Array]
    """The features of each modality, (rows, features): the same rows."""
    times: Array
    """The time of each row in seconds, (rows)."""
    silent: bool
    """True where the file has no sound and the extractor reads sound; silence replaces it."""


class Extractor:
    """An extractor with its networks and matrices."""

    def __init__(self, name: str, settings: ExtractorSettings, folder: Path, threads: int) -> None:
        """Open the networks and the matrices.

        Args:
            name: The name of the extractor.
            settings: Its settings.
            folder: The folder of the files that the settings name.
            threads: Threads of the networks.

        Raises:
            DataError: A file is missing, or is another one.
            MissingError: ONNX Runtime, a framework, or a package with weights is not installed.
        """
        self.name, self.settings, self.folder = name, settings, folder
        self.networks: dict[str, Network] = {}
        self.projections: dict[str, Projection] = {}
        for modality, entry in settings.modalities.items():
            if entry.network is not None:
                self.networks[modality] = open_network(
                    entry.network, folder, threads, input=entry.input, output=entry.output
                )
            if entry.projection is not None:
                self.projections[modality] = Projection(entry.projection, folder)

    @property
    def hop(self) -> int:
        """Hundredths of a second between two patches of sound."""
        given = self.settings.audio.hop if self.settings.audio is not None else None
        return given or max(1, round(100 / self.settings.fps))

    def to_json(self) -> dict[str, Any]:
        """The extractor for a manifest: its settings, and the hashes of its files. Two that are equal give the same features."""
        hashes = {name: network.hash for name, network in self.networks.items()}
        for name, entry in self.settings.modalities.items():
            if entry.projection is not None:
                hashes[f"{name}.projection"] = contents_hash(self.folder / file for file in entry.projection.files)
        settings = self.settings.model_dump(mode="json", exclude={"about", "files"})
        for entry in (settings[name] for name in self.settings.modalities):
            if entry["input"] is None:  # older manifests do not have it
                del entry["input"]
        return dict(json.loads(json.dumps({"name": self.name, "settings": settings, "sha256": hashes})))

    def decode(self, path: Path, limits: Limits | None = None, threads: int = 1) -> Decoded:
        """Decode a video as the extractor needs it. Runs in any thread. Raises DataError and MissingError."""
        settings, frames, times, sound = self.settings, None, np.zeros(0), None
        seconds = settings.most / settings.fps
        if settings.rgb is not None:
            width, height = settings.rgb.size
            picture = Picture(width, height, settings.rgb.crop, settings.rgb.filter)
            read = read_frames(path, picture, settings.fps, settings.most, limits, threads)
            frames, times = read.pixels, read.times
        if settings.audio is not None:
            sound = read_sound(path, seconds + 1, limits, threads)
            if sound is None and frames is None:
                raise DataError(f"{path}: has no sound")
        return Decoded(frames, times, sound)

    def compute(self, decoded: Decoded) -> VideoFeatures:
        """The features of a decoded video, cut to the shorter of frames and sound. Raises DataError."""
        arrays: dict[str, Array] = {}
        settings, times, rows = self.settings, decoded.times, self.settings.most
        if settings.rgb is not None and decoded.frames is not None:
            arrays["rgb"] = self.finish("rgb", self._of_frames(settings.rgb, decoded.frames))
            rows = min(rows, len(arrays["rgb"]))
        if settings.audio is not None:
            arrays["audio"] = self.finish("audio", self._of_sound(settings.audio, decoded.sound, rows))
            rows = min(rows, len(arrays["audio"]))
            times = times if settings.rgb is not None else np.arange(rows) * self.hop / 100
        silent = settings.audio is not None and decoded.sound is None
        return VideoFeatures({name: value[:rows] for name, value in arrays.items()}, times[:rows], silent)

    def finish(self, modality: str, features: Array) -> Array:
        """The projection and the bytes of a modality's features (rows, features)."""
        if modality in self.projections:
            features = self.projections[modality](features)
        rounding = self.settings.modalities[modality].bytes
        return quantize(features, rounding) if rounding else features

    def _of_frames(self, settings: FrameSettings, frames: Array) -> Array:
        network, parts = self.networks["rgb"], []
        for start in range(0, len(frames), settings.batch):
            given = frames[start : start + settings.batch]
            if not network.takes_bytes:
                given = (given.astype(np.float32) - np.float32(settings.mean)) / np.float32(settings.scale)
            if settings.layout == "nchw":
                given = given.transpose(0, 3, 1, 2)
            parts.append(network.run(given, settings.batch))
        return np.concatenate(parts)

    def _of_sound(self, settings: SoundSettings, sound: Sound | None, rows: int) -> Array:
        """The features of the patches; of silence, as many as there are frames."""
        if sound is None:
            given = np.repeat(sound_patches(np.zeros(1, np.float32), 16000, self.hop), rows, axis=0)
        else:
            given = sound_patches(sound.samples, sound.rate, self.hop)
        if "audio" not in self.networks:
            return (statistics(given) - np.float32(settings.mean)) / np.float32(settings.scale)
        network = self.networks["audio"]
        given = given.reshape(network.shape_of_patches(*given.shape))
        return network.run(given, settings.batch)
