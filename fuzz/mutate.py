"""Mutations that know a format's structure. Bytes that are changed blindly are refused by the first check and reach nothing else."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import pickletools
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

from acz.foundation.files.tfrecord import framed

Mutate = Callable[[bytes, Random], bytes]

PART = b"\n%%%% "
"""Separator of the files of one input: PART, a name, a line's end, the content."""

HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 255, 2**31, 2**32 + 1, 2**63, 2**64, 10**9, 10**12, 10**40, -(2**63), 0.5, -0.0, 1e-300,
    1e308, float("inf"), float("nan"), "", " ", "0", "1e9", "../../etc/passwd", "/dev/zero", "/dev/stdin", "a\0b", "\ud800", "%s%n",
    "x" * 5000, [], {}, [[]], [0], [-1, 5, 4], [2**40, 2**40], [0, 10**12], {"": ""}, {"type": "dense", "units": 10**9},
    {"type": "attention_cluster", "units": 10**9}, {"shape": [2**24, 2**24, 2**24]}, {"type": "flatten"},
]  # fmt: skip
"""Values that replace others."""

YAML_WORDS = (
    "model: inputs: streams: trunk: output: train: data: variants: layers: type: units: frames: features: shape: "
    "attention_cluster dense dropout conv2d max_pool2d flatten softmax sigmoid none null ~ true false yes .inf -.inf .nan 1e999 "
    "0x7fffffffffffffff 1_000 1:30:00 1:1.5 2001-01-01 0001-01-01T00:00:00+23:59 = << <<: *a &a &b *b ? - [ ] { } , | > ' \" # % @ ` --- ... "
    "!!int !!float !!bool !!null !!binary !!timestamp !!set !!omap !!pairs !!map !!seq !!str !!python/object/apply:os.system !x ! "
    "1000000000 999999999999999999999999 -1 0 [[[[[[[[ {{{{{{{{ {a: {b: {c: 1}}}} [1,2,3] : :: "
).split(" ")
NPY_WORDS = (
    "'descr': 'fortran_order': 'shape': '<f4' '>f8' '|O' '|V8' '<U4' '|S1' '<M8[s]' [('a','<f4')] ('<f4',(2,)) True False None (5,) (0,) "
    "(-1,) (1,1000000000000) (9223372036854775807,2) () 5 5L 1e3 { } ( ) [ ] , , ' \" \\ # \n ((((((((((( -------- '''"
).split(" ")


def blind(data: bytes, source: Random) -> bytes:
    """Flip, remove, double, move or insert bytes."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        at = source.randrange(len(changed) + 1)
        length = source.choice((1, 1, 2, 4, 8, 64))
        kind = source.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = source.randbytes(length)
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at : at + length] = source.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
        else:
            changed = changed[:at]
    return bytes(changed)


def words(text: bytes, source: Random, known: list[str]) -> bytes:
    """Insert words of a dictionary into a text, or move, double and drop lines and pieces of it."""
    kind = source.randrange(5)
    at = source.randrange(len(text) + 1)
    word = source.choice(known).encode()
    if kind == 0:
        return text[:at] + word + text[at:]
    if kind == 1:
        return text[:at] + word + text[at + len(word) :]
    lines = text.split(b"\n")
    here, there = source.randrange(len(lines)), source.randrange(len(lines))
    if kind == 2:
        lines[here] = lines[there]
    elif kind == 3:
        lines.insert(here, lines[there])
    else:
        key, colon, _ = lines[here].rpartition(b": ")
        lines[here] = key + colon + word
    return b"\n".join(lines)


def tree(value: Any, source: Random) -> Any:
    """Change one place of a JSON value: a hostile value, a key removed, doubled or renamed, a text or number nearby."""
    if isinstance(value, dict) and value and source.random() < 0.85:
        key = source.choice(list(value))
        kind = source.randrange(10)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {source.choice([key + "x", "", "type", "a.b", *value]): value[key]}
        return value | {key: tree(value[key], source)}
    if isinstance(value, list) and value and source.random() < 0.85:
        at = source.randrange(len(value))
        return [*value[:at], tree(value[at], source), *value[at + source.choice((1, 1, 1, 0, 2)) :]]
    if isinstance(value, str) and source.random() < 0.6:
        try:
            inner = json.loads(value)  # a checkpoint's spec is JSON inside of JSON
        except ValueError:
            return blind(value.encode("utf-8", "surrogatepass"), source).decode("utf-8", "replace")
        return json.dumps(tree(inner, source))
    if type(value) is int and source.random() < 0.4:
        return value + source.choice((-1, 1, 2**16, -(2**40)))
    return source.choice(HOSTILE)


def json_text(data: bytes, source: Random) -> bytes:
    """Change JSON as a tree; change other bytes as bytes."""
    try:
        return json.dumps(tree(json.loads(data), source)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return blind(data, source)


def idx(data: bytes, source: Random) -> bytes:
    """Change an IDX file, its header or its body, inside the compression."""
    packed = data[:2] == b"\x1f\x8b"
    try:
        inner = gzip.decompress(data) if packed else data
    except (OSError, EOFError, zlib.error):
        return blind(data, source)
    if source.random() < 0.5:
        count = source.randrange(6)
        sizes = [source.choice((0, 1, 2, 28, 2**16, 2**31, 2**32 - 1, source.randrange(9))) for _ in range(count)]
        inner = b"\x00\x00\x08" + bytes([count]) + struct.pack(f">{count}I", *sizes) + inner[16:]
    else:
        inner = blind(inner, source)
    return gzip.compress(inner, 1, mtime=0) if packed != (source.random() < 0.1) else inner


def records(data: bytes, source: Random) -> bytes:
    """Change a file of TFRecords inside the compression: one record's content with length and checksums corrected, the order, or anything."""
    packed = data[:2] == b"\x1f\x8b"
    try:
        inner = gzip.decompress(data) if packed else data
    except (OSError, EOFError, zlib.error):
        return blind(data, source)
    pieces = _records(inner)
    kind = source.randrange(6)
    if kind == 0 or not pieces:
        inner = blind(inner, source)
    else:
        at = source.randrange(len(pieces))
        if kind == 1:
            pieces.insert(at, source.choice(pieces))
        elif kind == 2:
            del pieces[at]
        else:  # near the beginning, where the structure is
            end = source.choice((20, 60, 200, len(pieces[at])))
            pieces[at] = blind(pieces[at][:end], source) + pieces[at][end:]
        inner = b"".join(map(framed, pieces))
    return gzip.compress(inner, 1, mtime=0) if packed != (source.random() < 0.1) else inner


def _records(data: bytes) -> list[bytes]:
    """The contents of a file's records, up to the first wrong length."""
    found, at = [], 0
    while at + 16 <= len(data):
        length = min(struct.unpack_from("<Q", data, at)[0], len(data) - at - 16)
        found.append(data[at + 12 : at + 12 + length])
        at += 16 + length
    return found


def npy(data: bytes, source: Random) -> bytes:
    """Change an .npy file: the text of its header with the length corrected, or anything."""
    if len(data) < 10 or source.random() < 0.2:
        return blind(data, source)
    end = 10 + struct.unpack("<H", data[8:10])[0]
    header = words(data[10:end], source, NPY_WORDS)
    return data[:8] + struct.pack("<H", len(header) % 65536) + header + data[end:]


def split_parts(data: bytes) -> dict[str, bytes]:
    """The named files of an input."""
    parts = {}
    for piece in data.split(PART):
        name, _, content = piece.partition(b"\n")
        parts[name.decode("latin1")] = content
    return parts


def join_parts(parts: dict[str, bytes]) -> bytes:
    return PART.join(name.encode("latin1") + b"\n" + content for name, content in parts.items())


def features(data: bytes, source: Random) -> bytes:
    """Change a folder of features: its manifest, or one of its arrays."""
    parts = split_parts(data)
    name = source.choice(list(parts))
    if source.random() < 0.5 and "manifest.json" in parts:
        name = "manifest.json"
    change = json_text if name.endswith(".json") else npy
    parts[name] = change(parts[name], source)
    return join_parts(parts)


def checkpoint(data: bytes, source: Random) -> bytes:
    """Change a safetensors file: its JSON header with the length corrected, or anything."""
    if len(data) < 8 or source.random() < 0.15:
        return blind(data, source)
    length = struct.unpack("<Q", data[:8])[0]
    header = json_text(data[8 : 8 + length], source)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def config(data: bytes, source: Random) -> bytes:
    """Change YAML, and the assignments of --set after it."""
    return blind(data, source) if source.random() < 0.2 else words(data, source, YAML_WORDS)


def pickled(data: bytes, source: Random) -> bytes:
    """Change a pickle: opcodes dropped, doubled, moved, exchanged, or with arguments of others; or anything."""
    if source.random() < 0.3:
        return blind(data, source)
    pieces = _opcodes(data)
    if not pieces:
        return blind(data, source)
    at, other = source.randrange(len(pieces)), source.randrange(len(pieces))
    kind = source.randrange(6)
    if kind == 0:
        del pieces[at]
    elif kind == 1:
        pieces.insert(at, pieces[other])
    elif kind == 2:
        pieces[at], pieces[other] = pieces[other], pieces[at]
    elif kind == 3:
        pieces.insert(at, source.choice(OPERATIONS))
    elif kind == 4:
        pieces[at] = pieces[at][:1] + blind(pieces[at][1:], source)
    else:
        pieces[at : at + 1] = pieces[min(at, other) : max(at, other) + 1][:50]
    return b"".join(pieces)


def _opcodes(data: bytes) -> list[bytes]:
    """Cut a pickle into its opcodes with their arguments; the rest after the first damaged one is one piece."""
    starts = []
    try:
        for _, _, position in pickletools.genops(io.BytesIO(data)):
            starts.append(position or 0)
    except (ValueError, IndexError, OverflowError, UnicodeError, EOFError):
        pass  # damaged from here on
    return [data[start:end] for start, end in pairwise([*starts, len(data)])]


OPERATIONS = [
    *(code.code.encode("latin1") for code in pickletools.opcodes if code.arg is None),
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"cposix\nsystem\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy.core.multiarray\nscalar\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n",
    b"csubprocess\nPopen\n", b"X\x02\x00\x00\x00id", b"(S'touch here'\ntR", b"K\x00", b"J\xff\xff\xff\x7f", b"B\xff\xff\xff\xff",
    b"\x8a\xff" + b"\x7f" * 255, b"h\x00", b"q\x00", b"r\xff\xff\xff\xff", b"U\x02f8", b"\x85", b"I99999999999999999999\n",
]  # fmt: skip


def pickle_of(value: Any, protocol: int) -> bytes:
    """A pickle as Python writes it."""
    return pickle.dumps(value, protocol)
