"""YouTube-8M's files: read exactly as the original tools read them; a defect of a record is named."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.internal import api_implementation

from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards import cache
from acz.data.youtube8m.shards.check import CUT, judged
from acz.data.youtube8m.shards.index import layout_of
from acz.data.youtube8m.shards.messages import full
from acz.data.youtube8m.shards.records import BadRecord, contents, is_packed, scan
from acz.data.youtube8m.shards.summary import criteria_for, look_at
from acz.data.youtube8m.shards.video import Criteria, Video, parse
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.tfrecord import framed
from tests.youtube8m_cases import record, write, write_shards

FIXTURES = Path(__file__).parent / "fixtures/yt8m"
ALL = Reading(unlabelled=True, verify="all")


def stacked(videos: list[Video], name: str) -> Array:
    return np.concatenate([video.features[name] for video in videos])


def check_recorded(videos: list[Video], recorded: dict[str, Array], pixels: tuple[str, ...]) -> None:
    assert [video.id for video in videos] == recorded["id"].tolist()
    assert [len(video.labels) for video in videos] == recorded["labels_count"].tolist()
    assert [label for video in videos for label in video.labels] == recorded["labels"].tolist()
    for name in pixels:
        np.testing.assert_array_equal(stacked(videos, name), recorded[name].reshape(stacked(videos, name).shape))


def recorded(prefix: str = "") -> dict[str, Array]:
    """The values that TensorFlow 1.8.0 read."""
    with np.load(FIXTURES / "expected.npz") as file:
        return {
            key.removeprefix(prefix): file[key]
            for key in file.files
            if key.startswith(prefix) and ("/" in key) == bool(prefix)
        }


@pytest.mark.parametrize(
    ("file", "prefix"),
    [("train0093.tfrecord", ""), ("train0093_gzip.tfrecord.gz", "gzip/"), ("train0093_gzip_py3.pkl", "gzip/")],
)
def test_files_of_the_original_tools_are_read_exactly(file: str, prefix: str) -> None:
    want = recorded(prefix)
    source = open_youtube8m(FIXTURES / file, "train", ALL).source
    videos = list(source.videos(np.arange(int(source.starts[-1]))))
    if file.endswith(".pkl"):  # the converter sorts labels
        counts = np.cumsum(want["labels_count"])[:-1]
        want["labels"] = np.concatenate([np.sort(part) for part in np.split(want["labels"], counts)])
    check_recorded(videos, want, ("rgb", "audio"))
    assert [video.frames for video in videos] == want["frames"].tolist()


def test_video_level_files_are_read_exactly() -> None:
    data = open_youtube8m(FIXTURES / "video_train0093.tfrecord", "train", ALL)
    want = recorded("video/")
    check_recorded(list(data.source.videos(np.arange(2))), want, ("mean_rgb", "mean_audio"))
    examples = data.take(np.array([1, 0]), ["mean_rgb", "mean_audio"])
    assert examples.inputs["mean_rgb"].dtype == np.float32
    np.testing.assert_array_equal(examples.inputs["mean_audio"], want["mean_audio"][::-1])


if "ACZ_CHECKPOINTS" in os.environ:  # a folder of a larger set

    def test_the_larger_set_is_read_exactly() -> None:
        folder = Path(os.environ["ACZ_CHECKPOINTS"]) / "yt8m"
        with np.load(folder / "expected.npz") as found:
            want = {key.removesuffix("_flat"): found[key] for key in found.files}
        for file in ("train0093.tfrecord", "train0093.pkl"):
            source = open_youtube8m(folder / file, "train", ALL).source
            videos = list(source.videos(np.arange(24)))
            if file.endswith(".pkl"):
                counts = np.cumsum(want["labels_count"])[:-1]
                want["labels"] = np.concatenate([np.sort(part) for part in np.split(want["labels"], counts)])
            check_recorded(videos, want, ("rgb", "audio"))
        matrix = open_youtube8m(folder / "train0093.tfrecord", "train", ALL).take(np.array([3]), ["rgb", "audio"])
        joined = np.concatenate([matrix.inputs["rgb"][0], matrix.inputs["audio"][0]], axis=1)
        ours = joined.astype(np.float32) * np.float32(4 / 255) + np.float32(4 / 512 - 2)
        assert abs(ours.sum(dtype=np.float64) - want["reader_sum_float64"][3]) < 1e-6  # cut at 300 of its 310 frames
        assert matrix.inputs["rgb.mask"].sum() == 300


def test_protobuf_is_the_c_implementation_and_agrees_with_the_quick_reading() -> None:
    assert api_implementation.Type() == "upb"
    content = record("abcd", [5, 300, 0], frames=4, seed=3)
    whole, quick = full(content), parse(content, Criteria())
    assert list(whole.context.feature["labels"].int64_list.value) == quick.labels
    for key, value in quick.features.items():
        frames = whole.feature_lists.feature_list[key].feature
        assert b"".join(frame.bytes_list.value[0] for frame in frames) == value.tobytes()


def test_what_is_written_in_another_way_is_read_the_same() -> None:
    content = record("abcd", [5, 300], frames=3)
    want = parse(content, Criteria())
    other = full(content)
    unpacked = b"\x0a" + bytes([10]) + b"\x0a\x06labels\x12\x00"  # an earlier entry of a map gives way to a later one
    lists = other.feature_lists.SerializeToString()
    other.ClearField("feature_lists")
    strange = b"\x0a" + bytes([len(unpacked)]) + unpacked + b"\x12" + _varint(len(lists)) + lists
    video = parse(strange + other.SerializeToString() + b"\x78\x01", Criteria())  # reversed order, an unknown field
    assert (video.id, video.labels) == (want.id, want.labels)
    np.testing.assert_array_equal(video.features["rgb"], want.features["rgb"])
    tagged = _with_unknown_field_in_each_frame(content)
    np.testing.assert_array_equal(parse(tagged, Criteria()).features["rgb"], want.features["rgb"])


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def _with_unknown_field_in_each_frame(content: bytes) -> bytes:
    message = full(content)
    for frame in message.feature_lists.feature_list["rgb"].feature:
        frame.MergeFromString(b"\x78\x01")
    return message.SerializeToString()


DAMAGE = {
    "no labels": (record("v", []), "video v has no labels"),
    "labels out of range": (record("v", [3862]), "video v has the label 3862; classes are 0 .. 3861"),
    "no frames": (record("v", frames=0), "video v has no frames"),
    "unequal lengths": (record("v", frames=3, audio=2), "video v has 3 frames of rgb, 2 frames of audio"),
    "missing feature": (record("v").replace(b"\x05audio", b"\x05audi0"), "video v has no frames of 'audio'"),
    "wrong frame size": (record("v").replace(b"\x0a\x80\x08", b"\x0a\xff\x07\x00", 1), "not 1024"),
    "no message": (b"\xff" * 40, "its content is not a tf.SequenceExample"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_bad_record_is_named_counted_and_skipped(tmp_path: Path, kind: str) -> None:
    content, words = DAMAGE[kind]
    good = [record(f"v{i}", seed=i) for i in range(3)]
    path = write(tmp_path / "train00.tfrecord", [*good[:2], content, good[2]])
    if kind == "wrong frame size":
        words = "record 2: "
    with pytest.raises(DataError) as caught:
        list(open_youtube8m(path, "train", Reading(unequal_lengths="fail")).in_order(4, ["rgb"]))
    assert f"{path}: record 2: " in str(caught.value)
    assert words in str(caught.value)
    assert "--on-bad-record skip" in str(caught.value)
    data = open_youtube8m(path, "train", Reading(on_bad_record="skip", unequal_lengths="fail"))
    assert len(data) == 3
    assert data.ids(np.arange(3)) == ["v0", "v1", "v2"]
    assert [len(batch.labels) for epoch in range(2) for batch in data.epoch(0, epoch, 3, 0, ["rgb"])] == [3, 3]
    kinds = [
        entry.kind if isinstance(entry, BadRecord) else entry.id for entry in judged(path, Criteria(equal_lengths=True))
    ]
    assert len(kinds) == 4
    assert kinds[2] in (kind, "no message")


def test_a_bad_checksum_is_found_as_far_as_is_asked(tmp_path: Path) -> None:
    shard = [framed(record(f"v{i}", seed=i)) for i in range(3)]
    path = tmp_path / "train00.tfrecord"
    flipped = [bytearray(part) for part in shard]
    flipped[1][-100] ^= 1
    path.write_bytes(b"".join(flipped))
    for verify in ("none", "first"):
        assert len(list(open_youtube8m(path, "train", Reading(verify=verify)).in_order(3, ["rgb"]))) == 1
    with pytest.raises(DataError, match=r"record 1: its content is not what was written"):
        open_youtube8m(path, "train", Reading(verify="all")).take(np.arange(3), ["rgb"])
    assert len(open_youtube8m(path, "train", Reading(on_bad_record="skip"))) == 2
    first = bytearray(b"".join(shard))
    first[500] ^= 1
    path.write_bytes(first)
    with pytest.raises(DataError, match=r"record 0: its content is not what was written"):
        open_youtube8m(path, "train").take(np.arange(3), ["rgb"])


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_shard_is_refused_or_read_up_to_there(tmp_path: Path, packed: bool) -> None:
    whole = b"".join(framed(record(f"v{i}", seed=i)) for i in range(3))
    path = tmp_path / ("train00.tfrecord.gz" if packed else "train00.tfrecord")
    path.write_bytes(gzip.compress(whole)[:-1000] if packed else whole[:-1000])
    with pytest.raises(DataError, match=r"record 2: .*(announces|gzip file is cut off)"):
        open_youtube8m(path, "train")
    data = open_youtube8m(path, "train", Reading(on_bad_record="skip"))
    assert data.ids(np.arange(len(data))) == ["v0", "v1"]
    assert look_at([path], criteria_for([path]))["defects"] == {"truncated shard": 1}
    length = bytearray(whole)
    length[len(whole) // 3] ^= 1  # the second record's length
    path.write_bytes(length)
    with pytest.raises(DataError, match="record 1: the checksum of its length is wrong"):
        open_youtube8m(path, "train")


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    path = write(tmp_path / "train00.tfrecord", [record("a")], packed=True)
    assert is_packed(path)
    content = b"\0" * 0x8B1F  # a length that begins like gzip does
    path.write_bytes(framed(content))
    assert not is_packed(path)
    assert scan(path).lengths.tolist() == [0x8B1F]
    path.write_bytes(b"")
    assert list(contents(path)) == []
    path.write_bytes(b"hello, world, this is no shard")
    cut = scan(path).cut
    assert cut is not None
    assert cut.kind == "bad checksum"
    path.write_bytes(struct.pack("<Q", 2**60) + framed(b"")[8:])
    assert scan(path).cut is not None


def test_videos_of_more_than_300_frames_are_cut_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "train00.tfrecord", [record("long", frames=310), record("short", frames=7)])
    examples = open_youtube8m(path, "train").take(np.arange(2), ["rgb", "audio"])
    assert examples.inputs["rgb"].shape == (2, 300, 1024)
    assert examples.inputs["rgb.mask"].sum(axis=1).tolist() == [300, 7]
    assert not examples.inputs["audio"][1, 7:].any()
    about = look_at([path], criteria_for([path]))
    assert (about[CUT], about["frames"]["most"]) == (1, 310)


def test_the_index_is_kept_and_made_anew_when_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write_shards(tmp_path, [3]) / "train00.tfrecord"
    want = layout_of(path)
    assert [file.suffix for file in cache.folder().iterdir()] == [".index"]
    monkeypatch.setattr("acz.data.youtube8m.shards.index.scan", None)  # it is not needed again
    np.testing.assert_array_equal(layout_of(path).lengths, want.lengths)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    os.utime(path, (1, 1))
    write(path, [record("a")])
    assert len(layout_of(path).lengths) == 1
    for file in cache.folder().iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert len(layout_of(path).lengths) == 1, "a damaged cache is no cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))  # no folder: nothing can be kept there
    assert len(layout_of(path).lengths) == 1


def test_splits_are_found_by_name(tmp_path: Path) -> None:
    write_shards(tmp_path, [2, 1])
    write_shards(tmp_path, [3], packed=[0], split="validate")
    assert len(open_youtube8m(tmp_path, "train")) == 3
    assert len(open_youtube8m(tmp_path, "test")) == 3
    assert len(open_youtube8m(str(tmp_path / "*01.tfrecord"), "train")) == 1
    assert len(open_youtube8m([tmp_path / "train00.tfrecord", tmp_path / "validate00.tfrecord.gz"], "test")) == 3
    with pytest.raises(DataError, match=r"2 shards, .* none begins with validate or test"):
        open_youtube8m(str(tmp_path / "train*.tfrecord"), "test")
    with pytest.raises(DataError, match="no shards"):
        open_youtube8m(str(tmp_path / "nothing*"), "train")
