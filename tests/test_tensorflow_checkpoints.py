"""TensorFlow's checkpoints without TensorFlow: read exactly, named in every way, converted, refused if damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.exchange.weights.readers import sorted_table, tensorflow
from acz.exchange.weights.readers.kinds import file_kind, read
from acz.exchange.weights.readers.sorted_table import read_table
from acz.foundation.errors import DataError
from acz.foundation.files.protobuf import varint
from fuzz import tables
from tests.checkpoint_cases import Case, cases

CASES = [case for case in cases() if case.system in ("pomonam", "youtube8m-circulant")]
EXPORTED = next(case for case in CASES if case.file.is_dir())


# Reading


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_variable_is_what_tensorflow_wrote(case: Case) -> None:
    recorded = case.file.with_name("saved_model.npz" if case.file.is_dir() else "model.npz")
    variables = read(case.file, "tensorflow").named
    groups = ("param/", "slot/") if case.file.name.startswith("model.ckpt") else ("param/",)
    with np.load(recorded) as z:
        names = [name for name in z.files if name.startswith(groups)]
        assert len(names) > 20
        for name in names:
            value = variables[name.partition("/")[2]]
            assert (value.dtype, value.shape) == (z[name].dtype, z[name].shape)
            assert np.array_equal(value, z[name])


def test_a_checkpoint_is_named_by_its_beginning_a_file_of_it_or_its_folder(tmp_path: Path) -> None:
    prefix = tables.write(tmp_path / "logs", {"a": np.arange(3, dtype=np.float32)}, name="model.ckpt-10")
    for path in (prefix, *prefix.parent.iterdir(), prefix.parent):
        assert file_kind(path) == "tensorflow"
        contents = read(path, "tensorflow")
        assert contents.name == "model.ckpt-10"
        assert [file.name for file in contents.files] == ["model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"]
    assert read(EXPORTED.file, "tensorflow").name == "variables"
    assert read(EXPORTED.file / "variables", "tensorflow").name == "variables"


def test_of_several_in_a_folder_it_is_the_one_that_the_file_checkpoint_names(tmp_path: Path) -> None:
    for step in (10, 20):
        tables.write(tmp_path, {"global_step": np.array(step, np.int64)}, name=f"model.ckpt-{step}")
    with pytest.raises(DataError, match=r"give one of them: model\.ckpt-10, model\.ckpt-20"):
        file_kind(tmp_path)
    latest = tmp_path / "checkpoint"
    for written in ("model.ckpt-10", "/moved/since/model.ckpt-10"):
        latest.write_text(
            f'model_checkpoint_path: "{written}"\nall_model_checkpoint_paths: "model.ckpt-20"\n', encoding="utf-8"
        )
        assert read(tmp_path, "tensorflow").named["global_step"] == 10
    for text, message in (
        ('model_checkpoint_path: "model.ckpt-30"', r"names 'model\.ckpt-30', of which there is no file"),
        ('model_checkpoint_path: ""', "names no checkpoint"),
        (f'model_checkpoint_path: "{"x" * 5000}"', "names 'xxxxx"),
        ("", "names no checkpoint"),
    ):
        latest.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            file_kind(tmp_path)


@pytest.mark.parametrize(("shards", "in_block"), [(1, 64), (1, 1), (3, 7)])
def test_types_shards_and_blocks(shards: int, in_block: int, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    kinds = [np.dtype(kind) for kind in tensorflow.TYPES.values()]
    arrays = {f"tower/dense_{n}/{kind}": source.integers(0, 2, (n, 3)).astype(kind) for n, kind in enumerate(kinds)}
    arrays |= {"global_step": np.array(2**40), "tower/one": np.ones(1, np.float32)}
    variables = read(tables.write(tmp_path, arrays, shards, in_block=in_block), "tensorflow").named
    assert list(variables) == sorted(arrays)
    for name, value in arrays.items():
        assert (variables[name].dtype, variables[name].shape) == (value.dtype, value.shape)
        assert np.array_equal(variables[name], value)


# Damage

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(4, dtype=np.int32)}
HEADER = (b"", tables.header().SerializeToString())


def entry(
    change: Callable[[Any], object] = lambda message: None, name: str = "a", offset: int = 0
) -> tuple[bytes, bytes]:
    """An array's name and message, changed."""
    message = tables.entry(ARRAYS[name], offset)
    change(message)
    return name.encode(), message.SerializeToString()


def headed(**fields: int) -> tuple[bytes, bytes]:
    message = tables.header()
    for name, value in fields.items():
        setattr(message, name, value)
    return b"", message.SerializeToString()


def later_format() -> tuple[bytes, bytes]:
    message = tables.header()
    message.version.min_consumer = 2
    return b"", message.SerializeToString()


def shaped(*sides: int) -> tuple[bytes, bytes]:
    """An entry with another shape than its bytes have."""

    def change(message: Any) -> None:
        del message.shape.dim[:]
        for side in sides:
            message.shape.dim.add().size = side

    return entry(change)


DAMAGED = {
    "no header": ([entry()], "no header"),
    "header": ([(b"", b"\xff"), entry()], "header is damaged"),
    "big-endian": ([headed(endianness=1), entry()], "big-endian"),
    "later format": ([later_format(), entry()], "later format 2"),
    "no shards": ([headed(num_shards=0), entry()], "0 data files"),
    "shards": ([headed(num_shards=2**31 - 1), entry()], "2,147,483,647 data files"),
    "second shard is missing": ([headed(num_shards=2), entry()], "of-00002: can't be read: No such file"),
    "message": ([HEADER, (b"a", b"\xff\xff")], "'a' is damaged"),
    "text": ([HEADER, entry(lambda m: setattr(m, "dtype", 7))], "type 7 of TensorFlow"),
    "type": ([HEADER, entry(lambda m: setattr(m, "dtype", 99))], "type 99 of TensorFlow"),
    "no rank": ([HEADER, entry(lambda m: setattr(m.shape, "unknown_rank", True))], "no array of numbers"),
    "partitioned": ([HEADER, entry(lambda m: m.slices.append(b""))], "'a' is partitioned"),
    "slice": ([HEADER, (b"\0a", entry()[1])], "parts of partitioned variables"),
    "size": ([HEADER, entry(lambda m: setattr(m, "size", 2**62))], "needs 24 bytes, and it announces 4,611,686,"),
    "shape": ([HEADER, shaped(2**40, 2**40)], "and it announces 24"),
    "axes": ([HEADER, shaped(*[2**62] * 100_000)], "has 100,000 axes"),
    "negative": ([HEADER, shaped(-2, -3)], "is not valid"),
    "empty and huge": ([HEADER, shaped(0, 2**62)], "and it announces 24"),
    "shard": ([HEADER, entry(lambda m: setattr(m, "shard_id", 1))], "data file 1 of 1"),
    "before the file": ([HEADER, entry(lambda m: setattr(m, "offset", -1))], "lies at byte -1"),
    "behind the file": ([HEADER, entry(lambda m: setattr(m, "offset", 2**62))], "and the file at 40"),
    "overlap": ([HEADER, entry(), entry(name="b", offset=20)], "'b' begins before 'a' ends"),
    "checksum": ([HEADER, entry(lambda m: setattr(m, "crc32c", 0))], "'a' is not what was written"),
    "order": ([HEADER, entry(name="b", offset=24), entry()], "not in order"),
    "twice": ([HEADER, entry(), entry()], "not in order"),
}


@pytest.mark.parametrize("name", list(DAMAGED))
def test_a_damaged_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    entries, message = DAMAGED[name]
    prefix = tables.write(tmp_path, ARRAYS)
    assert np.array_equal(read(prefix, "tensorflow").named["b"], ARRAYS["b"])
    (tmp_path / tables.INDEX).write_bytes(tables.table(entries))
    with pytest.raises(DataError, match=message) as caught:
        read(prefix, "tensorflow")
    assert str(caught.value).startswith(f"{prefix}.")


def test_an_empty_array_of_a_length_that_no_array_has_is_refused(tmp_path: Path) -> None:
    prefix = tables.write(tmp_path, {"a": np.zeros((0, 4), np.float32)})
    assert read(prefix, "tensorflow").named["a"].shape == (0, 4)
    message = tables.entry(np.zeros(0, np.float32))
    message.shape.dim.add().size = 2**62
    (tmp_path / tables.INDEX).write_bytes(tables.table([HEADER, (b"a", message.SerializeToString())]))
    with pytest.raises(DataError, match="can't be had"):
        read(prefix, "tensorflow")


GOOD = tables.table([HEADER, entry()])
BODY = tables.sealed(tables.block([HEADER, entry()]))
WHOLE = varint(0) + varint(len(BODY) - sorted_table.TRAILER)
BAD_TABLES = {
    "empty": (b"", "does not end as one does"),
    "cut": (GOOD[:-20], "does not end as one does"),
    "noise": (bytes(range(256)), "does not end as one does"),
    "footer alone": (GOOD[-48:], "announces a block"),
    "flipped": (bytes([*GOOD[:20], GOOD[20] ^ 1, *GOOD[21:]]), "block at byte 0 is not what was written"),
    "snappy": (tables.table([HEADER, entry()], compression=1), "is compressed (snappy)"),
    "compressed otherwise": (tables.table([HEADER, entry()], compression=9), "(compression 9)"),
    "block behind the end": (
        tables.ended(BODY, tables.block([(b"z", varint(2**62) + varint(9))])),
        "announces a block",
    ),
    "block twice": (tables.ended(BODY, tables.block([(b"y", WHOLE), (b"z", WHOLE)])), "before the one before it ends"),
    "no place": (tables.ended(BODY, tables.block([(b"z", b"")])), "does not end"),
    "endless number": (tables.ended(BODY, tables.block([(b"z", b"\xff" * 40)])), "does not end"),
    "restarts": (tables.ended(tables.sealed(b"\xff" * 8), tables.block([(b"z", b"\x00\x08")])), "restart points"),
    "no restarts": (tables.ended(tables.sealed(b""), tables.block([(b"z", b"\x00\x00")])), "restart points"),
    "shared of nothing": (
        tables.ended(tables.sealed(b"\x05\x00\x00" + bytes(4)), tables.block([(b"z", b"\x00\x07")])),
        "shares more than the key before it has",
    ),
    "key": (tables.table([HEADER, (b"k" * 2000, b"")]), "a key of 2,000 bytes"),
}


@pytest.mark.parametrize("name", list(BAD_TABLES))
def test_a_damaged_table_is_refused(name: str, tmp_path: Path) -> None:
    content, message = BAD_TABLES[name]
    (tmp_path / tables.INDEX).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / tables.NAME, "tensorflow")
    assert message in str(caught.value)


def test_a_table_has_a_largest_size_and_number_of_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / tables.INDEX
    path.write_bytes(tables.table([HEADER, entry(), entry(name="b")]))
    assert len(read_table(path)) == 3
    monkeypatch.setattr(sorted_table, "MOST_ENTRIES", 2)
    with pytest.raises(DataError, match="more than 2 entries"):
        read_table(path)
    monkeypatch.setattr(sorted_table, "LARGEST", 99)
    with pytest.raises(DataError, match="larger than 99 bytes"):
        read_table(path)


def test_what_is_missing_or_of_the_first_format_is_said(tmp_path: Path) -> None:
    prefix = tables.write(tmp_path, ARRAYS)
    (tmp_path / "model.ckpt").write_bytes(GOOD)
    with pytest.raises(DataError, match="first format"):
        file_kind(tmp_path / "model.ckpt")
    (tmp_path / tables.DATA).unlink()
    with pytest.raises(DataError, match="of-00001: can't be read: No such file"):
        read(prefix, "tensorflow")
    (tmp_path / tables.INDEX).unlink()
    with pytest.raises(DataError, match="there is no file"):
        file_kind(prefix)
