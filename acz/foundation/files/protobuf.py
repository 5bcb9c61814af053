"""Protocol-buffer messages that are built from their field numbers, and numbers of the wire format.

protobuf itself is imported by the first message that is read, so that a process that reads none does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from acz.foundation.errors import DataError

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto

Parse = Callable[[bytes], Any]
"""Reads a message, whose fields are attributes. Raises NotAMessage."""
BYTES_FIELD = 2
"""The wire format's type of a field that holds bytes, a string or a message."""


class NotAMessage(DataError):
    """Bytes that are not the message that they should be."""


class Field(NamedTuple):
    """A field of a message.

    `kind` is a scalar type (`int64`, `bytes`, ...) or the name of another message of the same package. A `repeated`
    field is a list, a `keyed` field a map from strings to `kind`. A message has one of the fields of a `choice`.
    """

    name: str
    number: int
    kind: str
    repeated: bool = False
    keyed: bool = False
    choice: str = ""


def message_parsers(package: str, syntax: str, messages: Mapping[str, Sequence[Field]]) -> dict[str, Parse]:
    """Build messages and give what reads each of them, by name.

    Args:
        package: A name that no other call has.
        syntax: `proto2` or `proto3`.
        messages: The fields of each message.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add_field(message, f".{package}", field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def parser(name: str) -> Parse:
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))

        def parse(content: bytes) -> Any:
            try:
                return kind.FromString(content)
            except DecodeError as error:
                raise NotAMessage(str(error)) from None

        return parse

    return {name: parser(name) for name in messages}


def _add_field(message: DescriptorProto, package: str, field: Field) -> None:
    """Add a field to the description of a message; `package` begins the names of other messages."""
    if field.keyed:
        entry = message.nested_type.add(name=f"{field.name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, package, Field("key", 1, "string"))
        _add_field(entry, package, Field("value", 2, field.kind))
        field = Field(field.name, field.number, f"{message.name}.{entry.name}", repeated=True)
    added = message.field.add(name=field.name, number=field.number)
    added.label = added.LABEL_REPEATED if field.repeated else added.LABEL_OPTIONAL
    scalar = getattr(added, f"TYPE_{field.kind.upper()}", None)
    added.type = added.TYPE_MESSAGE if scalar is None else scalar
    if scalar is None:
        added.type_name = f"{package}.{field.kind}"
    if field.choice:
        names = [choice.name for choice in message.oneof_decl]
        if field.choice not in names:
            message.oneof_decl.add(name=field.choice)
            names.append(field.choice)
        added.oneof_index = names.index(field.choice)


def varint(number: int) -> bytes:
    """A number below 2^63 as the wire format has it: seven bits a byte, the lowest first."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes(parts) + bytes([number])


def read_varints(content: bytes, start: int, count: int) -> tuple[tuple[int, ...], int]:
    """The `count` numbers at byte `start`, and the byte after them. Raises NotAMessage where one does not end."""
    numbers = []
    place = start
    for _ in range(count):
        value = shift = 0
        while True:
            if place >= len(content) or shift > 63:
                raise NotAMessage("a number in it does not end")
            value |= (content[place] & 127) << shift
            shift += 7
            place += 1
            if content[place - 1] < 128:
                break
        numbers.append(value)
    return tuple(numbers), place


def bytes_field(number: int, content: bytes) -> bytes:
    """A field of bytes, a string or a message, as the wire format has it."""
    return varint(number << 3 | BYTES_FIELD) + varint(len(content)) + content
