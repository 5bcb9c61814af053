"""TensorFlow's checkpoints, written as TensorFlow writes them and in other ways: for tests, and for mutations with right checksums."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from acz.exchange.weights.readers import messages
from acz.exchange.weights.readers.sorted_table import FOOTER, MAGIC, TRAILER, entries_of
from acz.exchange.weights.readers.tensorflow import TYPES
from acz.foundation.errors import DataError
from acz.foundation.files.protobuf import NotAMessage, varint
from acz.foundation.files.tfrecord import masked
from fuzz.mutate import blind, join_parts, split_parts

Entries = list[tuple[bytes, bytes]]

NAME = "model"
INDEX, DATA, LATEST = f"{NAME}.index", f"{NAME}.data-00000-of-00001", "checkpoint"
"""The names of an input's files."""
NUMBERS = (0, 1, -1, 2, 3, 7, 14, 23, 99, 2**16, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))


def sealed(content: bytes, compression: int = 0) -> bytes:
    """A block with its trailer."""
    kind = bytes([compression])
    return content + kind + struct.pack("<I", masked(content + kind))


def block(entries: Entries, interval: int = 16) -> bytes:
    """A block. Keys are whole at every `interval`th entry; the others share the beginning of the key before."""
    found, restarts, last = bytearray(), [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % interval:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(found))
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return bytes(found) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(entries: Entries, in_block: int = 64, interval: int = 16, compression: int = 0) -> bytes:
    """A sorted table of the entries, in the order in which they are given."""
    content, index = b"", []
    for start in range(0, len(entries), in_block):
        part = entries[start : start + in_block]
        body = block(part, interval)
        index.append((part[-1][0], varint(len(content)) + varint(len(body))))
        content += sealed(body, compression)
    return ended(content, block(index, 1))


def ended(content: bytes, index: bytes) -> bytes:
    """A table of data blocks and an index block."""
    about = block([])
    places = varint(len(content)) + varint(len(about))
    content += sealed(about)
    places += varint(len(content)) + varint(len(index))
    return content + sealed(index) + places.ljust(FOOTER - len(MAGIC), b"\0") + MAGIC


def header(shards: int = 1) -> Any:
    """The message under the empty key."""
    found = messages.bundle_header(b"")
    found.num_shards, found.version.producer = shards, 1
    return found


def entry(value: np.ndarray, offset: int = 0, shard: int = 0) -> Any:
    """The message of an array with its bytes at `offset`."""
    found = messages.bundle_entry(b"")
    found.dtype = next(number for number, name in TYPES.items() if np.dtype(name) == value.dtype)
    for side in value.shape:
        found.shape.dim.add().size = side
    found.shard_id, found.offset, found.size = shard, offset, value.nbytes
    found.crc32c = masked(value.tobytes())
    return found


def bundle(arrays: Mapping[str, np.ndarray], shards: int = 1, in_block: int = 64) -> tuple[bytes, list[bytes]]:
    """The index of a checkpoint and its data files. The arrays go to the files in turn."""
    entries, data = [(b"", header(shards).SerializeToString())], [b""] * shards
    for number, (name, value) in enumerate(sorted(arrays.items())):
        shard = number % shards
        entries.append((name.encode(), entry(value, len(data[shard]), shard).SerializeToString()))
        data[shard] += value.tobytes()
    return table(entries, in_block), data


def write(
    folder: Path, arrays: Mapping[str, np.ndarray], shards: int = 1, name: str = NAME, in_block: int = 64
) -> Path:
    """Write a checkpoint of these arrays into a folder. Returns its prefix."""
    index, data = bundle(arrays, shards, in_block)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.index").write_bytes(index)
    for number, content in enumerate(data):
        (folder / f"{name}.data-{number:05}-of-{shards:05}").write_bytes(content)
    return folder / name


def seeds() -> list[bytes]:
    """Inputs: one of some types, one of many names with common beginnings, one with a file `checkpoint`."""
    source = np.random.default_rng(0)
    kinds = {f"tower/{kind}": source.integers(0, 2, (2, 3)).astype(kind) for kind in TYPES.values()}
    many = {f"tower/dense_{n}/kernel": source.standard_normal((2, 2)).astype(np.float32) for n in range(40)}
    found = []
    for arrays, in_block in ((kinds, 64), (many, 8), ({"global_step": np.array(7, np.int32)}, 1)):
        index, data = bundle(arrays, in_block=in_block)
        found.append({INDEX: index, DATA: data[0]})
    latest = b'model_checkpoint_path: "/elsewhere/model"\nall_model_checkpoint_paths: "model"\n'
    return [join_parts(parts) for parts in (*found, {**found[2], LATEST: latest})]


def mutate(data: bytes, source: Random) -> bytes:
    """Change one of the files, or in the index a message, a key, the order or the blocks. Checksums are mostly corrected."""
    parts = split_parts(data)
    kind = source.randrange(8)
    try:
        entries = list(entries_of(parts.get(INDEX, b"")).items())
    except DataError:
        entries = []
    if kind == 0 or not entries:
        name = source.choice(list(parts))
        parts[name] = blind(parts[name], source)
    elif kind == 1:
        parts[INDEX] = _resealed(parts[INDEX], source)
    else:
        at = source.randrange(len(entries))
        if kind == 2:
            entries.insert(source.randrange(len(entries) + 1), source.choice(entries))
        elif kind == 3:
            entries[at] = blind(entries[at][0], source), entries[at][1]
        elif kind == 4:
            entries[at] = entries[at][0], blind(entries[at][1], source)
        else:
            entries[at] = entries[at][0], _changed(entries[at], source)
        if source.random() < 0.8:
            entries.sort()
        in_block, compression = source.choice((1, 3, 64)), source.choice((0,) * 15 + (1,))
        parts[INDEX] = table(entries, in_block, source.choice((1, 2, 16)), compression)
    return join_parts(parts)


def _resealed(index: bytes, source: Random) -> bytes:
    """Change the first block of a table as bytes, and correct the checksum."""
    start = index[: source.randrange(TRAILER, len(index) - FOOTER)]
    body = blind(start, source)
    place = [(b"z", varint(source.choice((0, len(body) // 2))) + varint(source.choice((len(body), 2**62))))]
    return ended(sealed(body), block(place * source.choice((1, 1, 2))))


def _changed(pair: tuple[bytes, bytes], source: Random) -> bytes:
    """Change a field of an entry's message."""
    key, content = pair
    try:
        found = messages.bundle_entry(content) if key else messages.bundle_header(content)
    except NotAMessage:
        return content
    fields = ["dtype", "shard_id", "offset", "size", "shape"] if key else ["num_shards", "endianness"]
    name = source.choice(fields)
    number = source.choice(NUMBERS)
    if name == "shape":
        found.shape.dim.add().size = number
    else:
        wide = name in ("offset", "size")
        setattr(found, name, number if wide else max(-(2**31), min(number, 2**31 - 1)))
    return bytes(found.SerializeToString())
