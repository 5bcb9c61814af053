"""The protobuf messages of records, tensorflow.Example and tensorflow.SequenceExample, built from their field numbers.

Both are read as SequenceExample: an Example has its features where that has its context. There are two readings of the
same wire format. `lean` leaves the list of a video's frames, and lists of floats, as the bytes that they are, so that
NumPy can take them apart in one step. `full` has every field of tensorflow/core/example/{example,feature}.proto, and
reads what is not written in the usual way.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from acz.foundation.files.protobuf import Field, Parse, message_parsers


@cache
def _parsers(lean: bool) -> dict[str, Parse]:
    """Readers of the messages, by name."""
    return message_parsers(
        "acz.youtube8m." + ("lean" if lean else "full"),
        "proto3",
        {
            "BytesList": [Field("value", 1, "bytes", repeated=True)],
            "FloatList": [Field("value", 1, "float", repeated=True)],
            "Int64List": [Field("value", 1, "int64", repeated=True)],
            "Feature": [
                Field("bytes_list", 1, "BytesList", choice="kind"),
                Field("float_list", 2, "bytes" if lean else "FloatList", choice="kind"),
                Field("int64_list", 3, "Int64List", choice="kind"),
            ],
            "Features": [Field("feature", 1, "Feature", keyed=True)],
            "FeatureList": [Field("feature", 1, "Feature", repeated=True)],
            "FeatureLists": [Field("feature_list", 1, "bytes" if lean else "FeatureList", keyed=True)],
            "SequenceExample": [Field("context", 1, "Features"), Field("feature_lists", 2, "FeatureLists")],
        },
    )


def lean(content: bytes) -> Any:
    """SequenceExample whose feature lists and float lists are bytes. Raises NotAMessage."""
    return _parsers(True)["SequenceExample"](content)


def full(content: bytes) -> Any:
    """SequenceExample. Raises NotAMessage."""
    return _parsers(False)["SequenceExample"](content)


def feature_list(content: bytes) -> Any:
    """FeatureList. Raises NotAMessage."""
    return _parsers(False)["FeatureList"](content)


def float_list(content: bytes) -> Any:
    """FloatList. Raises NotAMessage."""
    return _parsers(False)["FloatList"](content)
