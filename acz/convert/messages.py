"""The two protobuf messages that checkpoints of MindSpore and PaddlePaddle are made of.

Built from field numbers here, so that neither framework is needed. MindSpore's is `checkpoint.proto`: a list of (tag, tensor), a tensor being
dims, the type's name and little-endian bytes. PaddlePaddle's is `VarType.TensorDesc` of `framework.proto`: type number and dims.
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
def _classes() -> tuple[Any, Any]:
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
        ]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def of(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))

    return of("Checkpoint"), of("TensorDesc")


def checkpoint(content: bytes) -> Any:
    """MindSpore's message. Raises `google.protobuf.message.DecodeError`."""
    return _classes()[0].FromString(content)


def tensor_description(content: bytes) -> Any:
    """PaddlePaddle's message. Raises `google.protobuf.message.DecodeError`."""
    return _classes()[1].FromString(content)
