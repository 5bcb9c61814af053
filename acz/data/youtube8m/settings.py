"""The settings of reading YouTube-8M, which a configuration gives as `data.reading`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CLASSES = 3862
MOST_FRAMES = 300
"""Frames of a video that are read; the official reader cuts there, too."""
SEGMENT = 5
"""Frames of a segment, as the ratings of 2019 have them."""
WIDTHS = {"rgb": 1024, "audio": 128}
"""Features of a frame of the official files."""


class Sampling(BaseModel):
    """The choice of the frames of a video. Frames after the 300th are never taken.

    - `all`: every frame.
    - `first`: the first frames.
    - `random`: frames drawn with or without `replacement`.
    - `contiguous`: neighbours, from a random place on.
    - `strata`: one frame from each of as many equal stretches, at a random place in training, else in the middle.

    `bags` samplings of one video follow one another on the axis of frames, each with its own draws. With `halves`,
    training reads the first or the second half of each video, at random.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    type: Literal["all", "first", "random", "contiguous", "strata"] = "all"
    frames: int | None = Field(default=None, gt=0, le=2**16)
    """Frames of one sampling."""
    replacement: bool = False
    bags: int = Field(default=1, gt=0, le=2**12)
    halves: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Sampling:
        if (self.frames is None) != (self.type == "all"):
            need = "takes no" if self.type == "all" else "needs"
            raise ValueError(f"type: {self.type} {need} frames, for example {{type: strata, frames: 100}}")
        if self.replacement and self.type != "random":
            raise ValueError("replacement belongs to type: random")
        if self.bags > 1 and self.type in ("all", "first"):
            raise ValueError(f"bags of type: {self.type} would all be the same; bags need random, contiguous or strata")
        if self.bags * (self.frames or 0) > 2**20:
            raise ValueError(f"bags x frames is at most {2**20:,}")
        return self

    @property
    def always_full(self) -> bool:
        """True where every video gives as many frames as were asked for, so that no mask is needed."""
        return self.type in ("strata", "contiguous") or self.replacement


class Reading(BaseModel):
    """The settings of reading shards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sampling: Sampling = Sampling()
    verify: Literal["first", "all", "none"] = "first"
    """The records whose content is compared with its checksum: the first of each shard, all, or none."""
    on_bad_record: Literal["fail", "skip"] = "fail"
    """`skip` reads every record of a new shard once, and leaves out damaged records from then on."""
    unlabelled: bool = False
    """Take videos without labels, for inference."""
    labels: Literal["multi_hot", "indices"] = "multi_hot"
    """The form of labels: uint8 (videos, classes), or int32 (videos, most_labels), filled up with -1."""
    most_labels: int = Field(default=64, gt=0, le=2**12)
    unequal_lengths: Literal["cut", "fail"] = "cut"
    """`cut` cuts the modalities of a video to the shortest, as the official reader does; `fail` calls such a video bad."""
    classes: int = Field(default=CLASSES, gt=0, le=2**24)
    """Labels are 0 .. classes - 1. A configuration without it takes its model's outputs. Where there is no model, a data
    set without it takes what its files say, if they say it."""
    segments: Literal["rated", "all"] | None = None
    """Read segments of five frames and not videos: those that are rated, with their ratings as labels, or all, without
    labels. Each is read whole, so that `sampling` does not apply, and this process reads them."""
    segment_frames: int = Field(default=SEGMENT, ge=SEGMENT, le=MOST_FRAMES)
    """Frames that are read of a segment: its own, and as many as the video has before and after it."""
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that read; 0 reads in this process. Batches do not depend on it."""
    shuffle_buffer: int = Field(default=4096, gt=0, le=2**31)
    """Videos from which the next video of an epoch is drawn."""

    @model_validator(mode="after")
    def _fits_segments(self) -> Reading:
        if self.segments is None and self.segment_frames != SEGMENT:
            raise ValueError("segment_frames belongs to segments: rated or all")
        if self.segments is not None and self.labels == "indices":
            raise ValueError("segments have labels: multi_hot")
        return self
