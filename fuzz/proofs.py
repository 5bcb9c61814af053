"""Records and proofs of `acz parity-check`, which come from other machines: seeds, a mutation, and their reading."""

from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path
from random import Random

from safetensors import SafetensorError
from safetensors.numpy import load

from acz.foundation.progress import Progress
from acz.model.parameters import initial_parameters
from acz.model.proof import read_proof
from acz.parity.proof.making import make_record
from acz.parity.proof.record import digest, read_record, write_record
from acz.parity.proof.subject import Subject, batches_of, drawn_batch
from acz.zoo.config import load_spec
from fuzz import mutate

MODELS = {
    "flash_mnist/attention_cluster:tiny": "softmax_cross_entropy",
    "youtube8m/attention_cluster:tiny": "sigmoid_cross_entropy",
}


def read_one_record(folder: Path) -> None:
    """Read the input as a record."""
    assert read_record(folder / "input").videos, "a record has a batch"


def record_seeds() -> list[bytes]:
    """Records of two tiny models."""
    seeds = []
    for name, loss in MODELS.items():
        spec = load_spec(name)
        batches = batches_of(spec, drawn_batch(spec, loss, 2))
        record = make_record(Subject(name, spec, initial_parameters(spec), loss, batches), Progress())
        with tempfile.TemporaryDirectory() as place:
            write_record(Path(place) / "seed", record)
            seeds.append((Path(place) / "seed").read_bytes())
    return seeds


def change_record(data: bytes, source: Random) -> bytes:
    """Change a record; in most cases make its hash right again, so that the change reaches the checks behind it."""
    changed = mutate.checkpoint(data, source)
    return seal(changed) if source.random() < 0.8 else changed


def seal(data: bytes) -> bytes:
    """A record with the hash of its content; the same bytes where they can't be read."""
    try:
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        metadata = header["__metadata__"]
        metadata["sha256"] = digest(metadata["manifest"], load(data))
        text = json.dumps(header).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, SafetensorError, RecursionError):
        return data
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def read_one_proof(folder: Path) -> None:
    """Read the input as a proof, and make its table."""
    read_proof(folder / "input").lines()


def proof_seeds() -> list[bytes]:
    """Proofs with and without checks."""
    check = {"backend": "torch", "device": "GPU:1", "level": 1, "check": "outputs", "precision": "float32"}
    measured = {"measured": 1e-7, "bound": 1e-6, "where": "trunk.logits"}
    tree = {
        "format": 1,
        "model": "m",
        "spec_hash": "0" * 16,
        "weights": "0" * 64,
        "data": "",
        "videos": {"data": 4},
        "environment": {"machine": "x"},
        "checks": [check | measured, check | {"problem": "the process died"}],
    }
    return [json.dumps(tree).encode(), json.dumps(tree | {"checks": []}).encode()]
