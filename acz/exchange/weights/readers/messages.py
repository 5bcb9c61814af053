"""The protobuf messages that checkpoints of MindSpore, PaddlePaddle and TensorFlow are made of.

They are built from field numbers here, so that no framework is needed.

- MindSpore's is `checkpoint.proto`: a list of (tag, tensor). A tensor has dims, the type's name and little-endian bytes.
- PaddlePaddle's is `VarType.TensorDesc` of `framework.proto`: the number of the type, and dims.
- TensorFlow's are `BundleHeaderProto` and `BundleEntryProto` of `tensor_bundle.proto`. Of slices only the presence is
  read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from acz.foundation.files.protobuf import Field, Parse, message_parsers


@cache
def _parsers() -> dict[str, Parse]:
    """Readers of the messages, by name."""
    return message_parsers(
        "acz.convert",
        "proto2",
        {
            "Tensor": [
                Field("dims", 1, "int64", repeated=True),
                Field("tensor_type", 2, "string"),
                Field("tensor_content", 3, "bytes"),
            ],
            "Value": [Field("tag", 1, "string"), Field("tensor", 2, "Tensor")],
            "Checkpoint": [Field("value", 1, "Value", repeated=True)],
            "TensorDesc": [Field("data_type", 1, "int32"), Field("dims", 2, "int64", repeated=True)],
            "Version": [Field("producer", 1, "int32"), Field("min_consumer", 2, "int32")],
            "BundleHeader": [
                Field("num_shards", 1, "int32"),
                Field("endianness", 2, "int32"),
                Field("version", 3, "Version"),
            ],
            "Dim": [Field("size", 1, "int64")],
            "Shape": [Field("dim", 2, "Dim", repeated=True), Field("unknown_rank", 3, "bool")],
            "BundleEntry": [
                Field("dtype", 1, "int32"),
                Field("shape", 2, "Shape"),
                Field("shard_id", 3, "int32"),
                Field("offset", 4, "int64"),
                Field("size", 5, "int64"),
                Field("crc32c", 6, "fixed32"),
                Field("slices", 7, "bytes", repeated=True),
            ],
        },
    )


def checkpoint(content: bytes) -> Any:
    """Read MindSpore's message. Raises NotAMessage."""
    return _parsers()["Checkpoint"](content)


def tensor_description(content: bytes) -> Any:
    """Read PaddlePaddle's message. Raises NotAMessage."""
    return _parsers()["TensorDesc"](content)


def bundle_header(content: bytes) -> Any:
    """Read TensorFlow's message about a checkpoint. Raises NotAMessage."""
    return _parsers()["BundleHeader"](content)


def bundle_entry(content: bytes) -> Any:
    """Read TensorFlow's message about one variable. Raises NotAMessage."""
    return _parsers()["BundleEntry"](content)
