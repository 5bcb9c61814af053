"""The videos of an epoch and their order: they follow from the seed alone, for any reader and after any resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from acz.data.base import Examples
from acz.data.folder import Split
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.reading.plan import batches, order
from acz.data.youtube8m.reading.reader import YouTube8M
from acz.data.youtube8m.reading.sampling import draws_of, frames_at, select
from acz.data.youtube8m.settings import Reading, Sampling
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.randomness import generator
from tests.conftest import write_features
from tests.youtube8m_cases import write_shards

NAMES = ["rgb", "audio"]
BOTH = {"rgb", "audio", "rgb.mask", "audio.mask"}


def flat(examples: Iterator[Examples]) -> dict[str, Array]:
    """All batches in one."""
    batches = [(dict(batch.inputs), batch.labels, np.array(batch.ids)) for batch in examples]
    inputs = {name: np.concatenate([part[0][name] for part in batches]) for name in batches[0][0]}
    return inputs | {place: np.concatenate([part[at] for part in batches]) for at, place in ((1, "labels"), (2, "ids"))}


def same(first: dict[str, Array], second: dict[str, Array]) -> None:
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_an_order_holds_every_record_once_and_follows_from_the_seed() -> None:
    starts = np.cumsum([0, 70_000, 3, 0, 500])
    whole = np.concatenate(list(order(starts, 1000, 5, 2)))
    assert sorted(whole.tolist()) == list(range(70_503))
    np.testing.assert_array_equal(whole, np.concatenate(list(order(starts, 1000, 5, 2))))
    assert not np.array_equal(whole, np.concatenate(list(order(starts, 1000, 5, 3))))
    assert not np.array_equal(whole, np.concatenate(list(order(starts, 1000, 6, 2))))
    for first in (0, 1, 5000):
        np.testing.assert_array_equal(
            np.concatenate(list(batches(order(starts, 1000, 5, 2), 7, first))), whole[7 * first : 70_503 // 7 * 7]
        )
    everything = np.concatenate(list(order(starts, 10**6, 5, 2)))
    place = np.argsort(everything)
    assert abs(np.corrcoef(np.arange(70_503), place)[0, 1]) < 0.02, "a buffer of everything shuffles everything"


@pytest.mark.parametrize(
    ("sampling", "packed"),
    [(Sampling(), (1,)), (Sampling(type="random", frames=4, replacement=True, bags=2, halves=True), ())],
)
def test_batches_do_not_depend_on_the_number_of_workers(
    tmp_path: Path, sampling: Sampling, packed: tuple[int, ...]
) -> None:
    write_shards(tmp_path, [40, 25, 36], packed)
    epochs = []
    for workers in (0, 1, 3):
        data = open_youtube8m(tmp_path, "train", Reading(sampling=sampling, workers=workers, shuffle_buffer=16))
        epochs.append([flat(data.epoch(1, epoch, 33, 0, NAMES)) for epoch in (0, 1)] + [flat(data.in_order(33, NAMES))])
        data.close()
    for other in epochs[1:]:
        for alone, second in zip(epochs[0], other, strict=True):
            same(alone, second)
    first, _, whole = epochs[0]
    assert len(set(first["ids"])) == 99
    assert whole["ids"].tolist() == [f"{s}-{i}" for s, count in enumerate((40, 25, 36)) for i in range(count)]
    assert set(first) - {"labels", "ids"} == (BOTH if sampling.type == "all" else {"rgb", "audio"})


def test_an_epoch_goes_on_at_any_batch(tmp_path: Path) -> None:
    data = open_youtube8m(write_shards(tmp_path, [30, 31]), "train", Reading(shuffle_buffer=20))
    whole = [batch.ids for batch in data.epoch(0, 3, 7, 0, NAMES)]
    assert len(whole) == 8
    for first in (1, 4, 7, 8):
        assert [batch.ids for batch in data.epoch(0, 3, 7, first, NAMES)] == whole[first:]


def test_processes_together_see_what_one_would(tmp_path: Path) -> None:
    write_shards(tmp_path, [20, 21])
    alone = [batch.ids for batch in open_youtube8m(tmp_path, "train").epoch(0, 0, 8, 0, NAMES)]
    ranks = [open_youtube8m(tmp_path, "train", None, rank, 2) for rank in range(2)]
    parts = [[batch.ids for batch in data.epoch(0, 0, 8, 0, NAMES)] for data in ranks]
    assert [first + second for first, second in zip(*parts, strict=True)] == alone
    held = [name for data in ranks for batch in data.in_order(6, NAMES) for name in batch.ids or []]
    assert held == open_youtube8m(tmp_path, "train").ids(np.arange(41))
    uneven = [[len(batch.ids or []) for batch in data.epoch(0, 0, 7, 0, NAMES)] for data in ranks]
    assert uneven == [[3] * 5, [4] * 5]
    with pytest.raises(DataError, match="a batch of 1 can't be made of 41 videos for 2 processes"):
        next(ranks[0].epoch(0, 0, 1, 0, NAMES))


def test_64_ranks_read_every_video_once_an_epoch_and_24_ranks_resume_it(tmp_path: Path) -> None:
    """16 shards of unequal size. A batch of 80 gives each of 64 ranks one or two videos, each of 24 three or four."""
    folder = write_shards(tmp_path, [16 + shard % 5 for shard in range(15)] + [50])
    everything = {f"{shard}-{i}" for shard in range(16) for i in range(50 if shard == 15 else 16 + shard % 5)}
    assert len(everything) == 320, "4 batches of 80"

    def read(world: int, epoch: int, first: int, last: int) -> list[list[str]]:
        """The ids of batches first .. last - 1, each the parts of all ranks, in the order of ranks."""
        parts = []
        for rank in range(world):
            data = open_youtube8m(folder, "train", Reading(shuffle_buffer=100), rank, world)
            examples = islice(data.epoch(3, epoch, 80, first, NAMES), last - first)
            parts.append([batch.ids or [] for batch in examples])
        return [[name for part in step for name in part] for step in zip(*parts, strict=True)]

    alone = read(1, 0, 0, 4)
    assert read(64, 0, 0, 4) == alone
    for epoch, whole in ((0, alone), (1, read(1, 1, 0, 4))):
        begun, rest = read(64, epoch, 0, 2), read(24, epoch, 2, 4)
        assert begun + rest == whole, "a resume with other ranks reads what is left"
        ids = [name for batch in begun + rest for name in batch]
        assert len(ids) == len(set(ids)) == 320
        assert set(ids) == everything
    evaluated = [
        name
        for rank in range(64)
        for batch in open_youtube8m(folder, "train", None, rank, 64).in_order(3, NAMES)
        for name in batch.ids or []
    ]
    assert len(evaluated) == len(set(evaluated)) == 320, "an evaluation too"


def test_a_damaged_record_ends_an_epoch_with_its_name_whoever_reads(tmp_path: Path) -> None:
    folder = write_shards(tmp_path, [10, 10])
    path = folder / "train01.tfrecord"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    for workers in (0, 2):
        data = open_youtube8m(folder, "train", Reading(workers=workers, verify="all"))
        with pytest.raises(DataError, match=rf"{path}: record 9: its content is not what was written"):
            list(data.epoch(0, 0, 5, 0, NAMES))
        data.close()


READS = """
import sys
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
data = open_youtube8m(sys.argv[1], "train", Reading(workers=int(sys.argv[2]), shuffle_buffer=50))
for number, batch in enumerate(data.epoch(7, 0, 8, int(sys.argv[3]), ["rgb"]), int(sys.argv[3])):
    print(number, *batch.ids, flush=True)
    if data._pool or number == 3:
        print("workers", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_an_epoch_that_was_killed_goes_on_and_shows_every_video_once(tmp_path: Path, workers: int) -> None:
    """Twenty shards; kill -9 in the middle; the worker processes go too."""
    folder = write_shards(tmp_path, [12] * 20)

    def start(first: int) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", READS, str(folder), str(workers), str(first)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    process = start(0)
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        if line.startswith("workers"):
            children = _children(process.pid)
            assert len(children) == workers
            os.kill(process.pid, signal.SIGKILL)
            break
        seen.append(line)
    process.wait()
    process.stdout.close()
    seen = seen[: len(seen) // 2]  # the last checkpoint was earlier
    for child in children:
        _wait_for_end(child)
    rest, _ = start(len(seen)).communicate(timeout=60)
    seen += [line for line in rest.splitlines() if not line.startswith("workers")]
    assert [int(line.split()[0]) for line in seen] == list(range(30))
    ids = [name for line in seen for name in line.split()[1:]]
    assert sorted(ids) == sorted(f"{shard}-{i}" for shard in range(20) for i in range(12))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _wait_for_end(pid: int) -> None:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


# Which frames


def test_strata_are_paddlepaddles() -> None:
    """Golden fixture 10_paddle_segment_sampling, its second case: 8 frames, 10 strata."""
    u = [0.89286015, 0.33197981, 0.82122912, 0.04169663, 0.10765668, 0.59505206, 0.52981736, 0.41880743, 0.33540785, 0.62251943]  # fmt: skip
    strata = Sampling(type="strata", frames=10)
    assert frames_at(strata, 8, np.array(u)).tolist() == [0, 1, 2, 2, 3, 4, 5, 5, 6, 7]
    assert select(strata, 20, "v").tolist() == [[1, 3, 5, 7, 9, 11, 13, 15, 17, 19]]


if "ACZ_GOLDEN" in os.environ:  # a folder of recorded fixtures, other than the one above

    def test_the_recorded_samplings() -> None:
        folder = Path(os.environ["ACZ_GOLDEN"])
        with np.load(folder / "10_paddle_segment_sampling.npz") as found:
            for case in range(3):
                u = found[f"input/u_{case}"]
                taken = frames_at(Sampling(type="strata", frames=len(u)), int(found[f"input/feature_len_{case}"]), u)
                np.testing.assert_array_equal(taken, found[f"expected/idx_{case}"])
        for name, kind in (("random_frames", "random"), ("random_sequence", "contiguous")):
            with np.load(folder / f"10_sample_{name}.npz") as found:
                for x, count, u, want in zip(*(found[k] for k in ("input/x", "input/num_frames", "input/u", "expected/sampled")), strict=True):  # fmt: skip
                    sampling = Sampling(type=kind, frames=len(want), replacement=kind == "random")
                    np.testing.assert_array_equal(x[frames_at(sampling, int(count[0]), u)], want)


@pytest.mark.parametrize("count", [1, 2, 7, 60, 310])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(type="first", frames=15),
        Sampling(type="random", frames=15),
        Sampling(type="random", frames=15, replacement=True, bags=3),
        Sampling(type="contiguous", frames=15, bags=2),
        Sampling(type="strata", frames=15),
    ],
    ids=lambda sampling: sampling.type,
)
def test_samples_keep_to_the_frames_that_count(sampling: Sampling, count: int) -> None:
    valid = min(count, 300)
    for epoch in (None, 0, 1):
        taken = select(sampling, count, "abcd", 3, epoch)
        wanted = sampling.frames or valid
        full = wanted if sampling.always_full else min(wanted, valid)
        assert taken.shape == (sampling.bags, full)
        assert taken.min() >= 0
        assert taken.max() < valid
        np.testing.assert_array_equal(taken, select(sampling, count, "abcd", 3, epoch))
        if not sampling.replacement and valid >= wanted:
            assert all(len(set(row)) == len(row) for row in taken.tolist())
    if sampling.type not in ("all", "first") and count > 15:
        drawn = {select(sampling, count, "abcd", 3, epoch).tobytes() for epoch in range(8)}
        assert len(drawn) > 4
        assert not np.array_equal(select(sampling, count, "abcd", 3, 0), select(sampling, count, "abce", 3, 0))
        assert not np.array_equal(select(sampling, count, "abcd", 3, 0), select(sampling, count, "abcd", 4, 0))


def test_every_frame_is_as_likely() -> None:
    for sampling in (Sampling(type="random", frames=5), Sampling(type="random", frames=5, replacement=True)):
        shown = np.bincount(np.concatenate([select(sampling, 20, str(n), 0, 0)[0] for n in range(4000)]), minlength=20)
        assert abs(shown - 1000).max() < 150
    starts = np.bincount([select(Sampling(type="contiguous", frames=5), 8, str(n), 0, 0)[0, 0] for n in range(4000)])
    assert abs(starts - 1000).max() < 150
    assert draws_of(Sampling(type="contiguous", frames=5), 8) == 1


def test_halves_are_halves_and_only_in_training() -> None:
    halves = Sampling(halves=True)
    chosen = {tuple(select(halves, 7, str(n), 0, 0)[0].tolist()) for n in range(50)}
    assert chosen == {(0, 1, 2, 3), (4, 5, 6)}
    assert select(halves, 7, "v").tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert select(halves, 1, "v", 0, 0).tolist() == [[0]]


def test_bags_follow_one_another_with_their_masks(tmp_path: Path) -> None:
    sampling = Sampling(type="random", frames=4, bags=3)
    data = open_youtube8m(write_shards(tmp_path, [6]), "train", Reading(sampling=sampling))
    [batch] = data.epoch(0, 0, 6, 0, NAMES)
    assert batch.inputs["rgb"].shape == (6, 12, 1024)
    for name, rgb, mask in zip(batch.ids or [], batch.inputs["rgb"], batch.inputs["rgb.mask"], strict=True):
        frames = 1 + int(name.split("-")[1]) % 6
        np.testing.assert_array_equal(mask.reshape(3, 4), [np.arange(4) < frames] * 3)
        picked = select(sampling, frames, name, 0, 0)
        np.testing.assert_array_equal(rgb.reshape(3, 4, 1024)[:, : picked.shape[1], 0], picked)
        assert not rgb[~mask].any()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"type": "strata"}, "needs frames"),
        ({"frames": 3}, "takes no frames"),
        ({"type": "first", "frames": 3, "bags": 2}, "would all be the same"),
        ({"type": "strata", "frames": 3, "replacement": True}, "belongs to type: random"),
        ({"type": "every"}, "Input should be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Sampling.model_validate(given)


def test_labels_as_indices(tmp_path: Path) -> None:
    data = open_youtube8m(write_shards(tmp_path, [3]), "train", Reading(labels="indices", most_labels=3))
    indices = data.take(np.arange(3), ["rgb"]).labels
    assert indices.dtype == np.int32
    assert indices.tolist() == [[0, 3861, -1], [1, 3861, -1], [2, 3861, -1]]
    with pytest.raises(DataError, match="video 0-0 has 2 labels and most_labels is 1"):
        open_youtube8m(tmp_path, "train", Reading(labels="indices", most_labels=1)).take(np.arange(1), ["rgb"])


def test_a_split_gives_the_epochs_that_it_always_gave(tmp_path: Path) -> None:
    """Recorded runs repeat: the permutation of an epoch is that of its key."""
    split = Split(write_features(tmp_path), "train")
    want = generator(5, "shuffle", 2).permutation(64)
    numbers = [batch.numbers for batch in split.epoch(5, 2, 10, 2, ["features"])]
    np.testing.assert_array_equal(numbers, want[20:60].reshape(4, 10))


def test_one_shape_for_every_batch(tmp_path: Path) -> None:
    write_shards(tmp_path, [7, 9])
    data: YouTube8M = open_youtube8m(tmp_path, "train")
    shapes = {batch.inputs["rgb"].shape[1:] for batch in data.in_order(3, NAMES)}
    assert shapes == {(20, 1024)}, "the longest video has 6 frames, the next multiple of 20 is the length"
