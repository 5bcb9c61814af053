"""`acz data youtube8m`: made, shown, checked, converted."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.data.folder import verify
from acz.data.registry import fingerprint, open_split
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.making.synthesize import Synthesis, encode
from acz.data.youtube8m.settings import Reading, Sampling
from acz.data.youtube8m.shards.messages import full
from acz.data.youtube8m.shards.records import contents
from acz.data.youtube8m.shards.video import Criteria, Video, parse
from acz.foundation.errors import DataError
from acz.model.losses import LOSSES
from acz.zoo.config import load_spec
from tests.conftest import Answer
from tests.youtube8m_cases import record, write, write_shards

NAMES = ["rgb", "audio"]
Acz = Callable[..., Answer]


def read_all(folder: Path, split: str = "train") -> list[Video]:
    source = open_youtube8m(folder, split).source
    return list(source.videos(np.arange(int(source.starts[-1]))))


def test_shards_are_made_shown_and_found_whole(acz: Acz, tmp_path: Path) -> None:
    made = acz(
        "data", "youtube8m", "synthesize", "--videos", 30, "--shards", 3, "--frames", 4, 9, "--out", tmp_path / "a"
    )
    assert made.code == 0, made.err
    assert "30 training and 3 validation videos" in made.out
    names = tmp_path / "vocabulary.csv"
    names.write_text("Index,TrainVideoCount,Name\n0,788288,Game\n1,539945,Video game\n", encoding="utf-8")
    shown = acz("data", "youtube8m", "show", tmp_path / "a", "--vocabulary", names)
    assert "33 videos in 4 shards, frame level" in shown.out
    assert "t0000000" in shown.out
    assert "\n1 Video game  " in shown.out
    assert acz("data", "youtube8m", "verify", tmp_path / "a").code == 0
    again = acz("data", "youtube8m", "synthesize", "--videos", 31, "--out", tmp_path / "a")
    assert (again.code, "other settings (videos" in again.err) == (2, True)


def test_fewer_classes_are_labels_and_clutter_too(acz: Acz, tmp_path: Path) -> None:
    words = ("--videos", 40, "--frames", 4, 9, "--classes", 3, "--out", tmp_path / "a")
    assert acz("data", "youtube8m", "synthesize", *words).code == 0
    assert {label for video in read_all(tmp_path / "a") for label in video.labels} == {0, 1, 2}
    assert Synthesis(40, 4, 1, 1, frames=(4, 9), classes=3).marks.shape == (3, 1152)


def test_verify_counts_what_is_wrong_by_kind(acz: Acz, tmp_path: Path) -> None:
    path = write(tmp_path / "train00.tfrecord", [record("a"), record("b", []), record("c", [4000]), record("d", [])])
    answer = acz("data", "youtube8m", "verify", path, "--json")
    assert answer.code == 1
    about = json.loads(answer.out)
    assert (about["videos"], about["whole"]) == (1, False)
    assert about["defects"] == {"no labels": 2, "labels out of range": 1}
    assert (
        about["named"][1]
        == f"{path}: record 2: video c has the label 4000; classes are 0 .. 3861, or as many as --classes says"
    )
    assert "record 3: video d has no labels" in acz("data", "youtube8m", "verify", path).out
    assert acz("data", "youtube8m", "verify", path, "--unlabelled", "--classes", 5000).code == 0
    assert acz("data", "youtube8m", "verify", tmp_path / "nothing").code == 2
    assert acz("data", "youtube8m", "convert", path, "--out", tmp_path / "o", "--on-bad-record", "keep").code == 2


def test_a_synthesis_follows_from_its_seed_and_is_the_official_format(tmp_path: Path) -> None:
    asked = Synthesis(20, 5, 2, 1, seed=3, frames=(5, 9))
    labels, frames = asked.video("train", 7)
    np.testing.assert_array_equal(frames, Synthesis(99, 1, 1, 1, seed=3, frames=(5, 9)).video("train", 7)[1])
    assert not np.array_equal(frames[:5], Synthesis(20, 5, 2, 1, seed=4, frames=(5, 9)).video("train", 7)[1][:5])
    content = encode("abc", labels, {"rgb": frames[:, :1024], "audio": frames[:, 1024:]})
    message = full(content)
    assert message.context.feature["id"].bytes_list.value[0] == b"abc"
    assert len(message.feature_lists.feature_list["audio"].feature) == len(frames)
    assert parse(content, Criteria()).labels == labels
    assert len(set(labels)) == len(labels)


def test_labels_have_a_long_tail_and_frames_show_them() -> None:
    asked = Synthesis(10_000, 1, 1, 1, frames=(60, 60))
    counted = np.bincount(asked.draw_classes(np.random.default_rng(0), 30_000), minlength=3862)
    assert 200 < (counted >= 10).sum() < 600
    assert (counted == 0).sum() > 600
    assert counted[0] > 500
    labels, frames = asked.video("train", 1)
    values = frames * (4 / 255) + (4 / 512 - 2)
    common = np.sign(asked.common)
    shows = (values @ common) / 1152
    picked = shows > shows.mean() + 0.05
    assert picked.sum() == 2 * len(labels)
    scores = values[picked].mean(axis=0) @ np.sign(asked.marks.T.astype(np.float32)) / 1152
    assert set(np.argsort(-scores)[: len(labels)].tolist()) == set(labels)


@pytest.mark.parametrize("packed", [(), (0,)])
def test_a_converted_folder_reads_the_same(acz: Acz, tmp_path: Path, packed: tuple[int, ...]) -> None:
    write_shards(tmp_path / "in", [7, 5], packed)
    write_shards(tmp_path / "in", [4], split="validate")
    out = tmp_path / "out"
    assert acz("data", "youtube8m", "convert", tmp_path / "in", "--out", out).code == 0
    assert verify(out) == 16
    for split in ("train", "test"):
        for before, after in zip(read_all(tmp_path / "in", split), read_all(out, split), strict=True):
            assert (before.id, before.labels) == (after.id, after.labels)
            for name in NAMES:
                np.testing.assert_array_equal(before.features[name], after.features[name])
    reading = Reading(sampling=Sampling(type="strata", frames=4))
    for first, second in zip(
        open_split(tmp_path / "in", "train", reading).in_order(5, NAMES),
        open_split(out, "train", reading).in_order(5, NAMES),
        strict=True,
    ):
        np.testing.assert_array_equal(first.inputs["rgb"], second.inputs["rgb"])
        np.testing.assert_array_equal(first.labels, second.labels)
    assert fingerprint(out) != fingerprint(tmp_path / "in")
    shard = out / "train" / "00000.rgb.npy"
    shard.unlink()
    assert acz("data", "youtube8m", "convert", tmp_path / "in", "--out", out).code == 0
    assert verify(out) == 16, "what is missing is made again"
    assert acz("data", "youtube8m", "convert", tmp_path / "in", "--out", tmp_path / "in").code == 2


def test_pickles_of_paddlepaddle_of_either_python(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    videos = [
        {
            "video": f"v{i}",
            "feature": source.integers(0, 256, (i + 1, 1024), np.uint8),
            "audio": source.integers(0, 256, (i + 1, 128), np.uint8),
            "label": [i, 5 + i],
            "nframes": np.int32(i + 1),
        }
        for i in range(4)
    ]
    old = [
        {key.encode(): value.encode() if key == "video" else value for key, value in video.items()} for video in videos
    ]
    (tmp_path / "train00.pkl").write_bytes(pickle.dumps(videos[:2], 4))
    (tmp_path / "train01.pkl").write_bytes(pickle.dumps(old[2:], 2))
    data = open_split(tmp_path, "train")
    assert data.ids(np.arange(4)) == ["v0", "v1", "v2", "v3"]
    [batch] = data.in_order(4, NAMES)
    np.testing.assert_array_equal(batch.inputs["rgb"][3, :4], videos[3]["feature"])
    assert np.flatnonzero(batch.labels[2]).tolist() == [2, 7]
    del videos[1]["audio"]
    (tmp_path / "train00.pkl").write_bytes(pickle.dumps(videos[:2], 4))
    with pytest.raises(DataError, match=r"train00.pkl: record 1: it has no array 'audio'; --on-bad-record skip"):
        open_split(tmp_path, "train")
    assert len(open_split(tmp_path, "train", Reading(on_bad_record="skip"))) == 3
    (tmp_path / "train00.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="it has no 'video' that is a text"):
        open_split(tmp_path, "train")
    (tmp_path / "train00.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="must hold a dictionary or a list of them"):
        open_split(tmp_path, "train")


def test_a_model_says_what_it_would_read(tmp_path: Path) -> None:
    data = open_split(write_shards(tmp_path, [3]), "train")
    spec = load_spec("youtube8m/attention_cluster")
    data.require(spec, LOSSES["sigmoid_cross_entropy"])
    with pytest.raises(DataError, match="several labels each"):
        data.require(spec, LOSSES["softmax_cross_entropy"])
    with pytest.raises(DataError, match=r"'rgb' has 1024 features a frame, uint8; the model reads uint8 \(5, 4\)"):
        data.require(load_spec("youtube8m/attention_cluster:tiny"))
    with pytest.raises(DataError, match="has no 'features', which the model reads; it holds rgb, audio"):
        data.require(load_spec("flash_mnist/attention_cluster"))
    with pytest.raises(DataError, match="labels have 3862 classes, the model has 5"):
        data.require(load_spec("youtube8m/attention_cluster", {"model.trunk.logits.units": 5}))


def test_what_tells_data_sets_apart(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", [3, 2])
    write_shards(tmp_path / "b", [3, 2])
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    write_shards(tmp_path / "b", [3, 1])
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_an_interrupted_synthesis_goes_on_to_the_same_bytes(acz: Acz, tmp_path: Path) -> None:
    words = [
        "data",
        "youtube8m",
        "synthesize",
        "--videos",
        12,
        "--shards",
        3,
        "--frames",
        3,
        5,
        "--out",
        tmp_path / "a",
    ]
    assert acz(*words).code == 0
    files = sorted((tmp_path / "a").glob("*.tfrecord"))
    whole = [path.read_bytes() for path in files]
    files[1].unlink()
    assert acz(*words).code == 0
    assert [path.read_bytes() for path in files] == whole
    assert sum(len(list(contents(path))) for path in files) == 13
