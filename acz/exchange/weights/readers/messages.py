"""The protobuf messages that checkpoints of MindSpore, PaddlePaddle and TensorFlow are made of.

Built from field numbers here, so that no framework is needed. MindSpore's is `checkpoint.proto`: a list of (tag, tensor), a tensor being
dims, the type's name and little-endian bytes. PaddlePaddle's is `VarType.TensorDesc` of `framework.proto`: type number and dims. TensorFlow's
are `BundleHeaderProto` and `BundleEntryProto` of `tensor_bundle.proto`, of slices that there are any.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "acz.convert"


def _message(name: str, *fields: tuple[str, int, int, bool, str]) -> descriptor_pb2.DescriptorProto:
    """A message of fields (name, number, type, repeated, message's name)."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for label, number, kind, repeated, inner in fields:
        field = message.field.add(name=label, number=number, type=kind)
        field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        if inner:
            field.type_name = f".{_PACKAGE}.{inner}"
    return message


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="acz_convert.proto", package=_PACKAGE, syntax="proto2")
    file.message_type.extend(
        [
            _message(
                "Tensor",
                ("dims", 1, _FIELD.TYPE_INT64, True, ""),
                ("tensor_type", 2, _FIELD.TYPE_STRING, False, ""),
                ("tensor_content", 3, _FIELD.TYPE_BYTES, False, ""),
            ),
            _message(
                "Value",
                ("tag", 1, _FIELD.TYPE_STRING, False, ""),
                ("tensor", 2, _FIELD.TYPE_MESSAGE, False, "Tensor"),
            ),
            _message("Checkpoint", ("value", 1, _FIELD.TYPE_MESSAGE, True, "Value")),
            _message(
                "TensorDesc",
                ("data_type", 1, _FIELD.TYPE_INT32, False, ""),
                ("dims", 2, _FIELD.TYPE_INT64, True, ""),
            ),
            _message(
                "Version",
                ("producer", 1, _FIELD.TYPE_INT32, False, ""),
                ("min_consumer", 2, _FIELD.TYPE_INT32, False, ""),
            ),
            _message(
                "BundleHeader",
                ("num_shards", 1, _FIELD.TYPE_INT32, False, ""),
                ("endianness", 2, _FIELD.TYPE_INT32, False, ""),
                ("version", 3, _FIELD.TYPE_MESSAGE, False, "Version"),
            ),
            _message("Dim", ("size", 1, _FIELD.TYPE_INT64, False, "")),
            _message(
                "Shape",
                ("dim", 2, _FIELD.TYPE_MESSAGE, True, "Dim"),
                ("unknown_rank", 3, _FIELD.TYPE_BOOL, False, ""),
            ),
            _message(
                "BundleEntry",
                ("dtype", 1, _FIELD.TYPE_INT32, False, ""),
                ("shape", 2, _FIELD.TYPE_MESSAGE, False, "Shape"),
                ("shard_id", 3, _FIELD.TYPE_INT32, False, ""),
                ("offset", 4, _FIELD.TYPE_INT64, False, ""),
                ("size", 5, _FIELD.TYPE_INT64, False, ""),
                ("crc32c", 6, _FIELD.TYPE_FIXED32, False, ""),
                ("slices", 7, _FIELD.TYPE_BYTES, True, ""),
            ),
        ]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))
        for message in file.message_type
    }


def checkpoint(content: bytes) -> Any:
    """MindSpore's message. Raises `google.protobuf.message.DecodeError`, as all of these."""
    return _classes()["Checkpoint"].FromString(content)


def tensor_description(content: bytes) -> Any:
    """PaddlePaddle's message."""
    return _classes()["TensorDesc"].FromString(content)


def bundle_header(content: bytes) -> Any:
    """TensorFlow's message about a checkpoint."""
    return _classes()["BundleHeader"].FromString(content)


def bundle_entry(content: bytes) -> Any:
    """TensorFlow's message about one variable."""
    return _classes()["BundleEntry"].FromString(content)
