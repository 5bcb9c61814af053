"""Inputs that people reported in public trackers of this field, each with the right answer.

tests/fixtures/reports has a folder for each, whose README says what it is.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.data.vocabulary import read_labels
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards.check import SHORTENED
from acz.data.youtube8m.shards.index import layout_of
from acz.data.youtube8m.shards.messages import full
from acz.data.youtube8m.shards.records import contents
from acz.data.youtube8m.shards.video import Criteria, Video, parse
from acz.foundation.errors import DataError
from tests.conftest import Answer
from tests.youtube8m_cases import record, write

FOLDER = Path(__file__).parent / "fixtures/reports"
CLASSES = ("--classes", "5")
MODEL = FOLDER / "models/fa.yaml"
Acz = Callable[..., Answer]


def videos_of(location: Path, split: str = "train", classes: int = 5, **reading: object) -> list[Video]:
    source = open_youtube8m(location, split, Reading.model_validate({"classes": classes, **reading})).source
    return list(source.videos(np.arange(int(source.starts[-1]))))


@pytest.fixture
def trained(acz: Acz, tmp_path: Path) -> Path:
    """A run of the frame average on the plain shards."""
    words = ("train", MODEL, "--backend", "numpy", "--data", FOLDER / "plain", "--out", tmp_path / "run")
    answer = acz(*words)
    assert answer.code == 0, answer.err
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("name", "unlabelled", "splits"),
    [("three_splits", False, ["test", "train", "validate"]), ("three_official", True, ["test", "train", "validate"])],
)
def test_a_conversion_keeps_the_splits_apart(
    acz: Acz, tmp_path: Path, name: str, unlabelled: bool, splits: list[str]
) -> None:
    extra = ["--unlabelled"] if unlabelled else []
    answer = acz("data", "youtube8m", "convert", FOLDER / name, "--out", tmp_path / "made", *CLASSES, *extra)
    assert answer.code == 0, answer.err
    assert sorted(json.loads((tmp_path / "made/manifest.json").read_text())["splits"]) == splits
    for split in ("train", "test"):
        ours, theirs = videos_of(tmp_path / "made", split), videos_of(FOLDER / name, split)
        assert [video.id for video in ours] == [video.id for video in theirs]
        for own, other in zip(ours, theirs, strict=True):
            assert own.labels == sorted(other.labels)
            assert all(np.array_equal(own.features[key], other.features[key]) for key in ("rgb", "audio"))


@pytest.mark.parametrize("name", ["plain", "pkl_split", "pkl_int_label"])
def test_a_conversion_of_shards_or_pickles_has_their_splits_and_figures(
    acz: Acz, trained: Path, tmp_path: Path, name: str
) -> None:
    answer = acz("data", "youtube8m", "convert", FOLDER / name, "--out", tmp_path / "made", *CLASSES)
    assert answer.code == 0, answer.err
    assert sorted(json.loads((tmp_path / "made/manifest.json").read_text())["splits"]) == ["train", "validate"]
    words = ("--backend", "numpy", "--json")
    figures = [
        json.loads(acz("eval", trained, "--data", data, *words).out) for data in (FOLDER / name, tmp_path / "made")
    ]
    assert figures[0]["gap"] == figures[1]["gap"]
    assert figures[0]["loss"] == figures[1]["loss"]


def test_unlabelled_shards_are_refused_with_the_option_that_takes_them(acz: Acz, tmp_path: Path) -> None:
    answer = acz("data", "youtube8m", "convert", FOLDER / "three_official", "--out", tmp_path / "made", *CLASSES)
    assert answer.code == 2
    assert "has no labels; --unlabelled takes such videos" in answer.err


def test_ids_are_utf8_from_shards_pickles_and_conversions(acz: Acz, tmp_path: Path) -> None:
    ids = [video.id for video in videos_of(FOLDER / "utf8_ids", "test")]
    assert all(not name.isascii() and "\ufffd" not in name and "Ã" not in name for name in ids)
    assert acz("data", "youtube8m", "convert", FOLDER / "utf8_ids", "--out", tmp_path / "made", *CLASSES).code == 0
    assert [video.id for video in videos_of(tmp_path / "made", "test")] == ids
    assert videos_of(FOLDER / "pkl_utf8_id", "test")[0].id == "视频100"
    raw = b"\xff\xe9id"
    write(tmp_path / "raw/train00.tfrecord", [record(raw.decode("utf-8", "surrogateescape"), [1])])
    assert videos_of(tmp_path / "raw")[0].id.encode("utf-8", "surrogateescape") == raw


def test_ids_are_written_as_they_were_read(acz: Acz, trained: Path, tmp_path: Path) -> None:
    ids = [video.id for video in videos_of(FOLDER / "utf8_ids", "test")]
    for name in ("p.csv", "p.jsonl", "p.npz"):
        answer = acz("infer", trained, "--data", FOLDER / "utf8_ids", "--backend", "numpy", "--out", tmp_path / name)
        assert answer.code == 0, answer.err
    assert [line.split(",")[0] for line in (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[1:]] == ids
    lines = (tmp_path / "p.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids
    with np.load(tmp_path / "p.npz") as file:
        assert file["ids"].tolist() == ids


def test_records_after_the_65536th_are_read(tmp_path: Path) -> None:
    content = record("one")
    video = parse(content, Criteria())
    write(tmp_path / "train00.tfrecord", [b""] * 66_035 + [content])
    last = videos_of(tmp_path, classes=3862, on_bad_record="skip")
    assert [(own.id, own.labels) for own in last] == [("one", video.labels)]
    layout = layout_of(tmp_path / "train00.tfrecord")
    assert len(layout.lengths) == 66_036
    assert layout.cut is None


def test_a_shard_of_too_many_records_is_refused_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acz.data.youtube8m.shards.records.MOST_RECORDS", 100)
    write(tmp_path / "train00.tfrecord", [b""] * 101)
    for setting in ("fail", "skip"):
        with pytest.raises(DataError, match=r"holds more than 100 records, .* split the shard"):
            open_youtube8m(tmp_path, "train", Reading.model_validate({"on_bad_record": setting}))


@pytest.mark.parametrize("name", ["plain.csv", "bom.csv", "crlf.csv", "semicolon.csv", "names_bom.txt"])
def test_names_of_classes_are_read_from_what_other_programs_write(name: str) -> None:
    names = read_labels(FOLDER / "vocab" / name)
    assert names == ["Game", "Rock, paper, scissors", 'He said "hi"', "Pokémon (ポケモン)", "Plain"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("names.tsv", "Index\tName\n0\tGame\n2\tB, c\n"),
        ("names.txt", 'Index,Name\n0,Game\n2,"B, c"\n'),
        ("class_labels_indices.csv", 'index,mid,display_name\n0,/m/0a,"Game"\n2,/m/0c,"B, c"\n'),
        ("lower.csv", "name;index\nGame;0\nB, c;2\n"),
    ],
)
def test_a_table_of_names_is_told_by_its_titles(file: str, content: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    assert read_labels(tmp_path / file) == ["Game", "", "B, c"]


def test_names_of_classes_end_at_line_feeds_alone() -> None:
    assert read_labels(FOLDER / "vocab/names_nel.txt") == ["Game", "A\u2028B", "C\x85D", "E\x0bF", "Plain"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Index,Name\n0,a\n0,b\n", "line 3: class 0 has two names"),
        ("Index,Name\nx,a\n", "line 2 has no number in Index"),
        ("Index,Name\n-1,a\n", "line 2: the Index -1"),
        ("Number,Title\n0,a\n", "needs the columns Index and Name; its first line is 'Number,Title'"),
        ("Index,Name\n", "holds no labels"),
    ],
)
def test_a_bad_vocabulary_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "v.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / "v.csv")


def test_other_encodings_of_a_vocabulary_are_read_or_named(tmp_path: Path) -> None:
    text = "label_id,label_name\n0,Game\n2,游戏\n"
    (tmp_path / "wide.csv").write_bytes(text.encode("utf-16"))
    assert read_labels(tmp_path / "wide.csv") == ["Game", "", "游戏"]
    (tmp_path / "gbk.csv").write_bytes(text.encode("gbk"))
    with pytest.raises(DataError, match=r"gbk.csv: is not UTF-8 .* save it as UTF-8"):
        read_labels(tmp_path / "gbk.csv")


def raw_frames(path: Path, key: str) -> list[np.ndarray]:
    """The frames of each record, read with protobuf alone."""
    arrays = []
    for content in contents(path):
        assert isinstance(content, bytes)
        frames = full(content).feature_lists.feature_list[key].feature
        if len(frames[0].bytes_list.value):
            arrays.append(np.array([np.frombuffer(frame.bytes_list.value[0], np.uint8) for frame in frames]))
        else:
            arrays.append(np.array([np.array(frame.float_list.value, np.float32) for frame in frames]))
    return arrays


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("name", "shard", "keys"),
    [
        ("official_layout", "frame/train/train0000.tfrecord", {"rgb": "rgb", "audio": "audio"}),
        ("audioset", "train00.tfrecord", {"audio_embedding": "audio_embedding"}),
        ("mediapipe", "train00.tfrecord", {"rgb": "RGB/feature/floats", "audio": "AUDIO/feature/floats"}),
        ("wide", "train00.tfrecord", {"rgb": "rgb", "audio": "audio"}),
        ("rgb_only", "train00.tfrecord", {"rgb": "rgb"}),
        ("unequal", "train00.tfrecord", {"rgb": "rgb", "audio": "audio"}),
    ],
)
def test_the_frames_that_a_model_gets_are_those_of_the_records(
    name: str, shard: str, keys: dict[str, str], workers: int, acz: Acz, tmp_path: Path
) -> None:
    theirs = {modality: raw_frames(FOLDER / name / shard, key) for modality, key in keys.items()}
    lengths = np.array([min(map(len, frames)) for frames in zip(*theirs.values(), strict=True)])
    reading = Reading(classes=5, workers=workers)
    words = ("data", "youtube8m", "convert", FOLDER / name, "--out", tmp_path / "made", "--unlabelled", *CLASSES)
    assert acz(*words).code == 0
    for location in (FOLDER / name, tmp_path / "made"):
        data = open_youtube8m(location, "train", reading)
        assert set(data.input_names) == set(keys)
        [examples] = data.in_order(len(lengths), list(keys))
        for modality, frames in theirs.items():
            own = examples.inputs[modality]
            assert own.dtype == frames[0].dtype
            for row, (length, wanted) in enumerate(zip(lengths, frames, strict=True)):
                assert np.array_equal(own[row, :length], wanted[:length])
                assert not own[row, length:].any()
            mask = examples.inputs[f"{modality}.mask"]
            assert np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None])
        data.close()


def test_videos_of_unequal_modalities_are_counted_or_refused_on_request(acz: Acz) -> None:
    shown = json.loads(acz("data", "youtube8m", "show", FOLDER / "unequal", *CLASSES, "--json").out)
    assert shown[SHORTENED] > 0
    assert "cut to the shortest" in acz("data", "youtube8m", "show", FOLDER / "unequal", *CLASSES).out
    with pytest.raises(DataError, match=r"frames of rgb, .* frames of audio"):
        videos_of(FOLDER / "unequal", unequal_lengths="fail")


@pytest.mark.parametrize(("name", "model"), [("audioset", "audioset"), ("wide", "wide"), ("rgb_only", "rgb")])
def test_a_model_of_other_features_trains_and_another_is_refused_in_true_words(
    name: str, model: str, acz: Acz, tmp_path: Path
) -> None:
    words = ("--backend", "numpy", "--data", FOLDER / name, "--out", tmp_path / "run")
    refused = acz("train", MODEL, *words)
    assert refused.code == 2
    holds = {"audioset": "it holds audio_embedding", "wide": "'rgb' has 2048 features", "rgb_only": "it holds rgb\n"}
    assert holds[name] in refused.err
    assert not (tmp_path / "run").exists(), "before anything starts"
    answer = acz("train", FOLDER / f"models/{model}.yaml", *words)
    assert answer.code == 0, answer.err


def test_pickles_of_one_video_and_labels_of_any_form_are_read() -> None:
    assert len(videos_of(FOLDER / "pkl_split")) == len(videos_of(FOLDER / "pkl_split", "test")) == 4
    assert all(len(video.labels) == 1 for video in videos_of(FOLDER / "pkl_int_label"))


@pytest.mark.parametrize("form", ["shard", "pickle"])
def test_labels_that_are_zeros_and_ones_are_read_as_classes(form: str, tmp_path: Path) -> None:
    rows = [[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    if form == "shard":
        write(tmp_path / "train00.tfrecord", [record(f"v{number}", row) for number, row in enumerate(rows)])
    else:
        frames = {"feature": np.zeros((2, 1024), np.uint8), "audio": np.zeros((2, 128), np.uint8)}
        entries = [{"video": f"v{number}", "label": np.array(row), **frames} for number, row in enumerate(rows)]
        (tmp_path / "train00.pkl").write_bytes(pickle.dumps(entries))
    assert [video.labels for video in videos_of(tmp_path)] == [[0, 2], [4]]
    with pytest.raises(DataError, match=r"v0 has 5 labels, all of them 0 or 1, .* --classes 5 reads them so"):
        videos_of(tmp_path, classes=6)


def test_shards_of_a_split_have_the_features_of_the_first(acz: Acz, tmp_path: Path) -> None:
    """A shard far down the list is asked before training starts, and not met in the middle of it."""
    for name, other in (("without", "rgb_only"), ("wide", "wide"), ("id", "audioset")):
        shutil.copytree(FOLDER / "plain", tmp_path / name)
        shutil.copy(FOLDER / other / "train00.tfrecord", tmp_path / name / "train01.tfrecord")
        words = ("train", MODEL, "--backend", "numpy", "--data", tmp_path / name, "--out", tmp_path / "run")
        answer = acz(*words, "--set", "train.batch_size=1")
        assert answer.code == 2
        assert "train01.tfrecord: its records have " in answer.err
        assert "those of train00.tfrecord have id and, of each frame, rgb 1,024 uint8, audio 128 uint8" in answer.err
        assert not (tmp_path / "run").exists()
    only = videos_of(tmp_path / "without", on_bad_record="skip")
    assert [video.id for video in only] == [video.id for video in videos_of(FOLDER / "plain")]


def test_a_missing_modality_is_said_of_the_split_that_lacks_it(acz: Acz, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "plain", tmp_path / "data")
    shutil.copy(FOLDER / "rgb_only/validate00.tfrecord", tmp_path / "data")
    answer = acz("train", MODEL, "--backend", "numpy", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert "(validate) has no 'audio', which the model reads; it holds rgb\n" in answer.err


def test_copies_and_missing_shards_are_found(acz: Acz, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "plain", tmp_path / "copy")
    shutil.copy(FOLDER / "plain/train00.tfrecord", tmp_path / "copy/train00 (1).tfrecord")
    for words in (
        ("train", MODEL, "--out", tmp_path / "run"),
        ("data", "youtube8m", "convert", "--out", tmp_path / "made"),
    ):
        place = ("--data", tmp_path / "copy", "--backend", "numpy") if words[0] == "train" else (tmp_path / "copy",)
        answer = acz(*words, *place)
        assert answer.code == 2
        assert "are the same shard; remove one" in answer.err
    (tmp_path / "set").mkdir()
    for number in (0, 2):
        shutil.copy(
            FOLDER / f"{('plain', '', 'utf8_ids')[number]}/train00.tfrecord",
            tmp_path / f"set/a-train.tfrecord-{number:05d}-of-00004",
        )
    answer = acz("data", "youtube8m", "verify", tmp_path / "set", *CLASSES, "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["defects"] == {"missing shard": 2}
    assert "a-train.tfrecord-00001-of-00004: is not there" in answer.out


def test_pickles_are_shown_and_verified(acz: Acz, tmp_path: Path) -> None:
    shown = json.loads(acz("data", "youtube8m", "show", FOLDER / "pkl_utf8_id", *CLASSES, "--json").out)
    assert shown["features"] == {"rgb": "1,024 uint8", "audio": "128 uint8"}
    assert (shown["videos"], shown["first"][0]["id"]) == (8, "视频0")
    assert acz("data", "youtube8m", "verify", FOLDER / "pkl_split", *CLASSES).code == 0
    shutil.copytree(FOLDER / "pkl_split", tmp_path / "bad")
    (tmp_path / "bad/train00_split_9.pkl").write_bytes(b"\x80\x03junk")
    shutil.copy(FOLDER / "pkl_split/train00_split_1.pkl", tmp_path / "bad/train00_split_7.pkl")
    answer = acz("data", "youtube8m", "verify", tmp_path / "bad", *CLASSES, "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["defects"] == {"unreadable shard": 1, "video twice": 1}


def test_verify_finds_shards_that_are_there_twice_or_hold_nothing(acz: Acz, tmp_path: Path) -> None:
    twice = acz("data", "youtube8m", "verify", FOLDER / "both_gz", *CLASSES, "--json")
    assert twice.code == 1
    good = len(videos_of(FOLDER / "plain")) + len(videos_of(FOLDER / "plain", "test"))
    about = json.loads(twice.out)
    assert about["videos"] == good
    assert about["defects"] == {"video twice": good}
    assert any("came before, the first in train00.tfrecord" in line for line in about["named"])
    empty = acz("data", "youtube8m", "verify", FOLDER / "empty_only", *CLASSES, "--json")
    assert empty.code == 1
    assert json.loads(empty.out)["defects"] == {"empty shard": 2}
    shutil.copytree(FOLDER / "plain", tmp_path / "linked")
    (tmp_path / "linked/train01.tfrecord").symlink_to("gone.tfrecord")
    linked = acz("data", "youtube8m", "verify", tmp_path / "linked", *CLASSES, "--json")
    assert linked.code == 1
    assert json.loads(linked.out)["defects"] == {"unreadable shard": 1}
    assert acz("data", "youtube8m", "verify", FOLDER / "plain", *CLASSES).code == 0


def test_the_same_shard_twice_is_refused_by_all_who_read(acz: Acz, trained: Path, tmp_path: Path) -> None:
    data = ("--data", FOLDER / "both_gz", "--backend", "numpy")
    for words in (
        ("train", MODEL, *data, "--out", tmp_path / "other"),
        ("eval", trained, *data),
        ("infer", trained, *data, "--out", tmp_path / "p.npz"),
        ("data", "youtube8m", "convert", FOLDER / "both_gz", "--out", tmp_path / "made", *CLASSES),
    ):
        answer = acz(*words)
        assert answer.code == 2, answer.out
        assert "are the same shard; remove one" in answer.err
    shutil.copytree(FOLDER / "plain", tmp_path / "linked")
    (tmp_path / "linked/train01.tfrecord").symlink_to("train00.tfrecord")
    with pytest.raises(DataError, match="are the same shard"):
        videos_of(tmp_path / "linked")
    (tmp_path / "linked/train01.tfrecord").unlink()
    (tmp_path / "linked/train01.tfrecord").symlink_to("gone")
    with pytest.raises(DataError, match=r"train01.tfrecord: can't be read"):
        videos_of(tmp_path / "linked")


def test_predictions_of_other_programs_are_scored_alike(acz: Acz) -> None:
    data = ("--labels", FOLDER / "plain", "--classes", 5, "--json")
    answers = {
        name: acz("eval", "--predictions", FOLDER / f"prediction_files/{name}.csv", *data)
        for name in ("plain", "bom", "quoted", "reversed")
    }
    assert all(answer.code == 0 for answer in answers.values()), [answer.err for answer in answers.values()]
    figures = [json.loads(answer.out) for answer in answers.values()]
    assert all(own["gap"] == figures[0]["gap"] and own["map"] == figures[0]["map"] for own in figures)
    refused = acz("eval", "--predictions", FOLDER / "prediction_files/label_out.csv", *data)
    assert refused.code == 2
    assert "4000" in refused.err
    assert "0100" in refused.err
    assert "label_out.csv" in refused.err
