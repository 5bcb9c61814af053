"""Pickles of the original systems, read without trusting them: NumPy arrays and plain containers, and nothing else.

A pickle is a program for a small stack machine. Python's own reader runs it with real functions and objects. Even with
a list of allowed names, its BUILD can set attributes of an allowed function, its memo can be made to reserve gigabytes,
and its keys can be nested tuples whose hash takes for ever. So this file has a machine of its own, for the opcodes that
such files use, protocols 0 to 5.

A global is only a name, and stands for a function of `pickle_globals`. Nothing else is called, and nothing is imported.
An array is as large as the bytes that the file holds for it. The file's size bounds both steps and memory.

The 8-bit strings of Python 2 come as bytes; `acz.foundation.files.pickle_globals.text` makes them text.
"""

from __future__ import annotations

import codecs
import mmap
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acz.foundation.errors import DataError
from acz.foundation.files.pickle_globals import GLOBALS, Global, Refused, Unbuilt, dictionary_key

MOST_STEPS = 2**24
"""Opcodes of one file; the authors' 102,400 training videos take some 4 million."""
MOST_NESTED = 16
LONGEST_LINE = 4096
"""Bytes of a number or name in protocol 0; strings may be longer."""
REPORT = 2**16
"""Opcodes between two reports of progress."""

ADMITTED = "only NumPy arrays of numbers, numbers, strings, lists, tuples and dictionaries are read"


def load(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Any:
    """Read a pickle file.

    Args:
        path: The file.
        progress: Is called with the bytes done and the bytes in all.

    Raises:
        DataError: The file is missing or damaged, or asks for something that is not admitted. The message has the byte.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return loads(content, str(path), progress)
    except (OSError, ValueError) as error:  # an empty file can't be mapped
        raise DataError(f"{path}: can't be read: {error}") from None


def loads(
    content: bytes | mmap.mmap, what: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> Any:
    """Read a pickle from bytes, as `load` does; `what` names them in errors. Raises DataError."""
    machine = _Machine(content, progress)
    try:
        value = machine.run()
        _check_plain(value)
    except DataError as error:
        raise DataError(f"{what}: byte {machine.began:,}: {error}; {ADMITTED} from pickles") from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, struct.error) as error:
        raise DataError(f"{what}: byte {machine.began:,}: not a whole pickle: {error}") from None
    return value


def _check_plain(value: Any) -> None:
    """Raise Refused unless containers form a tree, so that a walk through them ends, and hold nothing unfinished."""
    leaves = {int, float, bool, type(None), str, bytes, np.ndarray}
    seen: set[int] = set()
    level = [value]
    for _ in range(MOST_NESTED):
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind in leaves or isinstance(item, np.generic):
                continue
            if kind not in (list, tuple, dict):
                raise Refused(f"{getattr(item, 'name', 'something unfinished')} is left in the result")
            if id(item) in seen:
                raise Refused(f"the same {kind.__name__} is held twice")
            seen.add(id(item))
            inner.extend(item.values() if kind is dict else item)
        if not inner:
            return
        level = inner
    raise Refused(f"containers are nested more than {MOST_NESTED} deep")


class _Machine:
    """The stack, the memo and the marks of one pickle that is being read."""

    def __init__(self, content: bytes | mmap.mmap, progress: Callable[[int, int], None]) -> None:
        self.content, self.size, self.progress = content, len(content), progress
        self.at = self.began = 0
        """The place of the next byte, and of the present opcode."""
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.spent = 0
        """Characters and items that were copied.

        A pickle that a program wrote copies no more than the file has bytes.
        """

    def run(self) -> Any:
        """Run every opcode up to STOP. Returns the value that is on the stack then."""
        for step in range(MOST_STEPS):
            self.began = self.at
            if step % REPORT == 0:
                self.progress(self.at, self.size)
            if self.at >= self.size:
                raise Refused("the pickle has no end")
            code = self.content[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                if len(self.stack) != 1 or self.outer or self.at != self.size:
                    raise Refused("the pickle ends with more than its one value")
                return self.stack.pop()
            act = OPCODES.get(code)
            if act is None:
                name = next((known.name for known in pickletools.opcodes if known.code == chr(code)), hex(code))
                raise Refused(f"the opcode {name} is not admitted")
            act(self)
        raise Refused(f"more than {MOST_STEPS:,} opcodes")

    def spend(self, count: int) -> None:
        """Account for a copy of `count` items.

        The memo may hold them, so the file can ask for many copies in a few bytes.
        """
        self.spent += count
        if self.spent > self.size:
            raise Refused("the same is copied again and again")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if not 0 <= count <= self.size - self.at:
            raise Refused(f"{count:,} bytes are announced and {self.size - self.at:,} are left")
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, form: struct.Struct) -> int:
        """The next number, in binary."""
        value: int = form.unpack_from(self.content, self.at)[0]
        self.at += form.size
        return value

    def line(self, longest: int = LONGEST_LINE) -> bytes:
        """The rest of a line, without its end."""
        end = self.content.find(b"\n", self.at, min(self.at + longest + 1, self.size))
        if end < 0:
            raise Refused("a line has no end, or is too long")
        line = self.content[self.at : end]
        self.at = end + 1
        return line

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """The values that were put on the stack after the last mark."""
        values, self.stack = self.stack, self.outer.pop()
        return values

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise Refused("the stack is empty")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise Refused(f"something is appended to a {type(target).__name__}")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(values) % 2:
            raise Refused(f"items are set in a {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[dictionary_key(key)] = value

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def dictionary(self) -> None:
        values = self.since_mark()
        self.push({})
        self.set_items(values)

    def put(self, index: int) -> None:
        if isinstance(self.stack[-1], Unbuilt):
            self.stack[-1].places.append(index)
        self.memo[index] = self.stack[-1]

    def admit(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Refused("a global has no name")
        admitted = GLOBALS.get((module, name))
        if admitted is None:
            raise Refused(f"the global {module[:60]}.{name[:60]} is not admitted")
        self.push(admitted)

    def named(self) -> None:
        self.admit(self.line().decode("utf-8"), self.line().decode("utf-8"))

    def named_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.admit(module, name)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or function.make is None or type(arguments) is not tuple:
            raise Refused("something is called that is not a function")
        self.push(function.make(self, arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Unbuilt) or type(state) is not tuple:
            raise Refused(f"the state of a {type(target).__name__} is set")
        self.stack[-1] = value = target.build(state)
        for index in target.places:
            self.memo[index] = value
        target.places.clear()  # another copy of it may be on the stack

    def integer(self) -> None:
        digits = self.line(32)
        self.push({b"00": False, b"01": True}[digits] if digits in (b"00", b"01") else int(digits))

    def string(self) -> None:
        """Push a quoted string of Python 2, as protocol 0 has it."""
        quoted = self.line(self.size)
        if len(quoted) < 2 or quoted[:1] not in (b"'", b'"') or quoted[-1:] != quoted[:1]:
            raise Refused("a string is not in quotes")
        self.push(codecs.escape_decode(quoted[1:-1])[0])


def _string(form: struct.Struct, decode: bool) -> Callable[[_Machine], None]:
    if decode:
        return lambda m: m.push(m.take(m.number(form)).decode("utf-8", "surrogatepass"))
    return lambda m: m.push(m.take(m.number(form)))


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda m: m.push(value)


_1, _2, _4, _8, _SIGNED, _DOUBLE = (struct.Struct(form) for form in ("<B", "<H", "<I", "<Q", "<i", ">d"))

OPCODES: dict[int, Callable[[_Machine], None]] = {
    ord(code): act
    for code, act in {
        "\x80": lambda m: m.take(1),  # PROTO
        "\x95": lambda m: m.take(8),  # FRAME
        "(": _Machine.mark,
        "0": lambda m: m.stack.pop(),
        "N": _constant(None),
        "\x88": _constant(True),
        "\x89": _constant(False),
        "I": _Machine.integer,
        "L": lambda m: m.push(int(m.line(32).rstrip(b"L"))),
        "J": lambda m: m.push(m.number(_SIGNED)),
        "K": lambda m: m.push(m.number(_1)),
        "M": lambda m: m.push(m.number(_2)),
        "\x8a": lambda m: m.push(int.from_bytes(m.take(m.number(_1)), "little", signed=True)),  # LONG1
        "F": lambda m: m.push(float(m.line())),
        "G": lambda m: m.push(m.number(_DOUBLE)),
        "S": _Machine.string,
        "T": _string(_SIGNED, decode=False),
        "U": _string(_1, decode=False),
        "B": _string(_4, decode=False),
        "C": _string(_1, decode=False),
        "\x8e": _string(_8, decode=False),  # BINBYTES8
        "\x96": _string(_8, decode=False),  # BYTEARRAY8
        "V": lambda m: m.push(m.line(m.size).decode("raw-unicode-escape")),
        "X": _string(_4, decode=True),
        "\x8c": _string(_1, decode=True),  # SHORT_BINUNICODE
        "\x8d": _string(_8, decode=True),  # BINUNICODE8
        "t": lambda m: m.push(tuple(m.since_mark())),
        ")": _constant(()),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "l": lambda m: m.push(m.since_mark()),
        "]": lambda m: m.push([]),
        "a": lambda m: m.append([m.stack.pop()]),
        "e": lambda m: m.append(m.since_mark()),
        "d": _Machine.dictionary,
        "}": lambda m: m.push({}),
        "s": _Machine.set_item,
        "u": lambda m: m.set_items(m.since_mark()),
        "c": _Machine.named,
        "\x93": _Machine.named_on_stack,
        "R": _Machine.reduce,
        "b": _Machine.build,
        "p": lambda m: m.put(int(m.line(32))),
        "q": lambda m: m.put(m.number(_1)),
        "r": lambda m: m.put(m.number(_4)),
        "\x94": lambda m: m.put(len(m.memo)),  # MEMOIZE
        "g": lambda m: m.push(m.memo[int(m.line(32))]),
        "h": lambda m: m.push(m.memo[m.number(_1)]),
        "j": lambda m: m.push(m.memo[m.number(_4)]),
    }.items()
}
