"""The protobuf messages of records, tensorflow.Example and tensorflow.SequenceExample, built from their field numbers.

Both are read as SequenceExample: an Example has its features where that has its context. Two readings of the same wire format: `lean`
leaves the list of a video's frames, and lists of floats, as the bytes that they are, so that NumPy can take them apart in one step; `full` has every
field of tensorflow/core/example/{example,feature}.proto, and reads what is not written in the usual way.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from acz.foundation.files.protobuf import varint

__all__ = ["DecodeError", "feature_list", "float_list", "full", "lean", "varint"]

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bytes": _FIELD.TYPE_BYTES,
    "float": _FIELD.TYPE_FLOAT,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
}


def _field(message: Any, name: str, number: int, kind: str, repeated: bool = False) -> Any:
    """Add a field; a kind that is no scalar type is the full name of a message."""
    field = message.field.add(name=name, number=number, type=_TYPES.get(kind, _FIELD.TYPE_MESSAGE))
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if kind not in _TYPES:
        field.type_name = kind
    return field


def _map(message: Any, name: str, kind: str, path: str) -> None:
    """Add field 1, a map from names to `kind`, to the message of this path."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    _field(entry, "key", 1, "string")
    _field(entry, "value", 2, kind)
    _field(message, name, 1, f"{path}.{entry.name}", repeated=True)


@cache
def _classes(lean: bool) -> tuple[Any, Any, Any]:
    """SequenceExample, FeatureList and FloatList."""
    package = "acz.youtube8m." + ("lean" if lean else "full")
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, kind in (("BytesList", "bytes"), ("FloatList", "float"), ("Int64List", "int64")):
        _field(file.message_type.add(name=name), "value", 1, kind, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, kind in enumerate(("Bytes", "Float", "Int64"), start=1):
        whole = "bytes" if lean and kind == "Float" else f".{package}.{kind}List"
        _field(feature, f"{kind.lower()}_list", number, whole).oneof_index = 0
    _map(file.message_type.add(name="Features"), "feature", f".{package}.Feature", f".{package}.Features")
    _field(file.message_type.add(name="FeatureList"), "feature", 1, f".{package}.Feature", repeated=True)
    frames = "bytes" if lean else f".{package}.FeatureList"
    _map(file.message_type.add(name="FeatureLists"), "feature_list", frames, f".{package}.FeatureLists")
    example = file.message_type.add(name="SequenceExample")
    _field(example, "context", 1, f".{package}.Features")
    _field(example, "feature_lists", 2, f".{package}.FeatureLists")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def of(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))

    return of("SequenceExample"), of("FeatureList"), of("FloatList")


def lean(content: bytes) -> Any:
    """SequenceExample whose feature lists and float lists are bytes. Raises DecodeError."""
    return _classes(True)[0].FromString(content)


def full(content: bytes) -> Any:
    """SequenceExample. Raises DecodeError."""
    return _classes(False)[0].FromString(content)


def feature_list(content: bytes) -> Any:
    """FeatureList. Raises DecodeError."""
    return _classes(False)[1].FromString(content)


def float_list(content: bytes) -> Any:
    """FloatList. Raises DecodeError."""
    return _classes(False)[2].FromString(content)
