"""One split of YouTube-8M, as training, evaluation and inference read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from acz.backend.processes import rows_of_rank
from acz.data.base import Examples, batches_in_order, enough_outputs
from acz.data.youtube8m.location import count_classes
from acz.data.youtube8m.reading.batch import Form, count_frames, fill
from acz.data.youtube8m.reading.plan import batches, order
from acz.data.youtube8m.reading.pool import Batch, Pool
from acz.data.youtube8m.reading.sources import RecordSource, Source
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards.video import MEAN, Level
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.losses import LOSSES, Loss
from acz.model.spec import Spec

MOST_IDS = 2**16
"""Ids of videos that are remembered after they were read."""


class YouTube8M:
    """Videos of one split, from any source.

    `epoch` samples frames as in training, the other functions as in evaluation. Where several processes share the work,
    each gives its `rank` among `world` processes and reads one of `world` parts of each training batch. Together
    the processes read the batches that one process would read.
    """

    def __init__(
        self, source: Source, level: Level, folder: Path, name: str, reading: Reading, rank: int = 0, world: int = 1
    ) -> None:
        if not 0 <= rank < world:
            raise DataError(f"rank {rank} of {world} processes; ranks are 0 .. {world - 1}")
        self.source, self.level, self.folder, self.name, self.reading = source, level, folder, name, reading
        self.rank, self.world = rank, world
        self.widths, self.floats = source.widths, source.floats
        self._ids: dict[int, str] = {}
        self._pool: Pool | None = None
        self._lock = Lock()

    def __len__(self) -> int:
        return int(self.source.starts[-1])

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return tuple(self.widths) if self.level == "frame" else tuple(MEAN + key for key in self.widths)

    def form(self, names: Sequence[str]) -> Form:
        """The form of batches with these inputs."""
        frames = count_frames(self.reading, self.source.longest)
        return Form(tuple(names), self.widths, tuple(self.floats), frames, self.reading)

    def require(self, spec: Spec, loss: Loss | None = None) -> None:
        """Check that a model can read these videos.

        Raises:
            DataError: The inputs are not those of the model, or the labels are not those of its loss.
        """
        for name, entry in spec.inputs.items():
            if name not in self.input_names:
                raise DataError(
                    f"{self.folder} ({self.name}) has no '{name}', which the model reads; "
                    f"it holds {', '.join(self.input_names)}"
                )
            width = self.widths[name.removeprefix(MEAN)]
            dtype = "float32" if name in self.floats else "uint8"
            if self.level == "frame" and (not entry.has_frames or entry.features != width or entry.dtype != dtype):
                rescaled = ", and a layer of type rescale first" if dtype == "uint8" else ""
                raise DataError(
                    f"{self.folder}: '{name}' has {width} features a frame, {dtype}; "
                    f"the model reads {entry.dtype} {entry.resolve()}. "
                    f"Write {name}: {{frames: 300, features: {width}, dtype: {dtype}}}{rescaled}"
                )
            if self.level == "video" and (entry.resolve() != (width,) or entry.dtype != "float32"):
                raise DataError(
                    f"{self.folder}: '{name}' is float32 ({width},); the model reads {entry.dtype} {entry.resolve()}. "
                    f"Write {name}: {{shape: [{width}]}}"
                )
        sampling = self.reading.sampling
        for path, bag in spec.bags.items() if sampling.bags > 1 else ():
            if bag != sampling.frames:
                raise DataError(
                    f"{self.folder}: the sampling takes bags of {sampling.frames} frames, "
                    f"and {path} reads bags of {bag}; --set data.reading.sampling.frames={bag} fits"
                )
        if spec.width != self.reading.classes:
            raise DataError(
                f"{self.folder}: labels have {self.reading.classes} classes, the model has {spec.width}; leave out "
                f"data.reading.classes, or {enough_outputs(spec, self.reading.classes)}"
            )
        if self.reading.segments and loss is not None and not loss.takes_unrated:
            fitting = sorted(known.name for known in LOSSES.values() if known.takes_unrated)
            raise DataError(
                f"{self.folder}: a segment has ratings of a few classes, which {loss.name} does not take; "
                f"--set train.loss=NAME takes {', '.join(fitting)}"
            )
        if self.reading.segments == "all" and loss is not None:
            raise DataError(
                f"{self.folder}: without ratings segments have no labels; --segments rated reads those that have"
            )
        known = count_classes(self.folder)
        if known is not None and known > spec.width and self.reading.on_bad_record == "fail":
            raise DataError(
                f"{self.folder}: labels are 0 .. {known - 1}, the model has {spec.width} outputs; "
                f"{enough_outputs(spec, known)}"
            )
        if loss is not None and (not loss.several_labels or self.reading.labels != "multi_hot"):
            fitting = sorted(known.name for known in LOSSES.values() if known.several_labels)
            raise DataError(
                f"{self.folder}: videos have several labels each, as {self.reading.labels}; "
                f"{loss.name} does not take that. With --set data.reading.labels=multi_hot, "
                f"--set train.loss=NAME takes {', '.join(fitting)}"
            )

    def take(self, numbers: Array, names: Sequence[str]) -> Examples:
        """The videos of these numbers, in this order, with frames as in evaluation.

        Raises:
            DataError: A record is damaged; the message names the file and the record.
        """
        return self._read_here(Batch(np.asarray(numbers)), self.form(names))

    def ids(self, numbers: Array) -> list[str]:
        """The ids of these videos."""
        unknown = np.array([number for number in numbers.tolist() if number not in self._ids], np.int64)
        read = {number: video.id for number, video in zip(unknown.tolist(), self.source.videos(unknown), strict=True)}
        return [read.get(number) or self._ids[number] for number in numbers.tolist()]

    def in_order(self, size: int, names: Sequence[str]) -> Iterator[Examples]:
        """Every video of this rank's part once, in batches of `size`; the last batch may be smaller."""
        wanted = (Batch(np.array(numbers)) for numbers in batches_in_order(len(self), size, self.rank, self.world))
        return self._read(wanted, size, names)

    def epoch(self, seed: int, epoch: int, batch_size: int, first: int, names: Sequence[str]) -> Iterator[Examples]:
        """This rank's part of each full batch of a training epoch, from batch number `first`.

        `batch_size` is that of all ranks together.

        Raises:
            DataError: A batch has fewer videos than there are ranks, or there are too few videos for a batch.
        """
        if batch_size < self.world or batch_size > len(self):
            raise DataError(
                f"{self.folder}: a batch of {batch_size} can't be made of {len(self)} videos for {self.world} processes"
            )
        own = rows_of_rank(batch_size, self.rank, self.world)
        size = own.stop - own.start
        parts = order(self.source.starts, self.reading.shuffle_buffer, seed, epoch)
        wanted = (Batch(numbers[own], seed, epoch) for numbers in batches(parts, batch_size, first))
        return self._read(wanted, size, names)

    def _read(self, wanted: Iterator[Batch], size: int, names: Sequence[str]) -> Iterator[Examples]:
        """Batches with their arrays, from the worker processes where there are any."""
        form = self.form(names)
        if not self.reading.workers or not isinstance(self.source, RecordSource):
            for batch in wanted:
                yield self._read_here(batch, form)
            return
        pool = self._take_pool(form, size)
        try:
            for batch in pool.run(wanted):
                examples = [self._examples(batch, form)]
                del batch  # the consumer alone decides how long the arrays are kept
                yield examples.pop()
        finally:
            self._give_back(pool)

    def _read_here(self, batch: Batch, form: Form) -> Examples:
        batch.arrays = form.new(len(batch.numbers))
        batch.ids = []
        for row, video in enumerate(self.source.videos(batch.numbers)):
            fill(batch.arrays, row, video, form, batch.seed, batch.epoch)
            batch.ids.append(video.id)
        return self._examples(batch, form)

    def _examples(self, batch: Batch, form: Form) -> Examples:
        self._ids.update(zip(batch.numbers.tolist(), batch.ids, strict=True))
        while len(self._ids) > MOST_IDS + len(batch.ids):
            del self._ids[next(iter(self._ids))]
        rated = self.reading.segments == "rated"
        return Examples(form.inputs(batch.arrays), batch.arrays["labels"], batch.numbers, batch.ids, rated)

    def _take_pool(self, form: Form, size: int) -> Pool:
        """The processes of the last call where they fit, new ones elsewhere."""
        assert isinstance(self.source, RecordSource)
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and (pool.form, pool.videos) == (form, size):
            return pool
        if pool is not None:
            pool.close()
        return Pool(self.source, form, size, self.reading.workers)

    def _give_back(self, pool: Pool) -> None:
        with self._lock:
            if pool.idle and self._pool is None:
                self._pool = pool
                return
        pool.close()

    def close(self) -> None:
        """End the worker processes. A later call starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def __del__(self) -> None:
        if getattr(self, "_pool", None) is not None:
            self.close()
