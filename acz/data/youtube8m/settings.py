"""How YouTube-8M is read: what a configuration may say under `data`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CLASSES = 3862
MOST_FRAMES = 300
"""Frames of a video that count; the official reader cuts there."""
WIDTHS = {"rgb": 1024, "audio": 128}
"""Features of a frame."""


class Sampling(BaseModel):
    """Which frames of a video are taken. Frames after the 300th never count.

    `all`; `first` of them; `random`, drawn with or without `replacement`; `contiguous`, neighbours from a random place; `strata`: one frame
    from each of as many equal stretches, at a random place in it in training and in its middle otherwise. `bags` samplings of one video, each with its
    own draws, follow one another on the axis of frames. `halves`: in training a video is, at random, its first or its second half.
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
        """Whether every video with a frame gives as many frames as were asked for, so that no mask is needed."""
        return self.type in ("strata", "contiguous") or self.replacement


class Reading(BaseModel):
    """How shards are read.

    `verify`: which checksums of content are compared: of the first record of each shard, of all, of none. `on_bad_record: skip` reads every record once
    when a shard is first met, and leaves out what is damaged from then on. `unlabelled: true` takes videos without labels, for inference.
    `labels: indices` gives int32 (videos, most_labels), filled up with -1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sampling: Sampling = Sampling()
    verify: Literal["first", "all", "none"] = "first"
    on_bad_record: Literal["fail", "skip"] = "fail"
    unlabelled: bool = False
    labels: Literal["multi_hot", "indices"] = "multi_hot"
    most_labels: int = Field(default=64, gt=0, le=2**12)
    classes: int = Field(default=CLASSES, gt=0, le=2**24)
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that read; 0 reads in this one. Batches don't depend on it."""
    shuffle_buffer: int = Field(default=4096, gt=0, le=2**31)
    """Videos among which the next one of an epoch is drawn."""
