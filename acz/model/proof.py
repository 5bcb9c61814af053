"""Proofs: what was measured of a model's weights, as a JSON document. It may come from another machine.

`acz parity-check` writes `proof.json` beside a checkpoint. A proof belongs to weights by their hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, DataError
from acz.foundation.files.atomic import write_json
from acz.foundation.files.local import require_local
from acz.model.checkpoint import Checkpoint

NAME = "proof.json"
"""The name of a proof beside its checkpoint."""
LARGEST = 2**24
"""The most bytes of a proof."""


class Measurement(BaseModel):
    """One check of a proof. `measured` and `bound` are None where they are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    backend: str = Field(max_length=100)
    device: str = Field(max_length=100)
    level: int = Field(ge=1, le=9)
    check: str = Field(max_length=500)
    precision: str = Field(max_length=20)
    measured: float | None = None
    bound: float | None = None
    where: str = Field(default="", max_length=1000)
    problem: str = Field(default="", max_length=5000)
    missing: str = Field(default="", max_length=5000)

    @property
    def passed(self) -> bool:
        """True where a finite difference keeps a finite bound."""
        numbers = self.measured is not None and self.bound is not None and self.measured <= self.bound
        return numbers and not self.problem and not self.missing

    @property
    def participant(self) -> str:
        """The backend, with its device where that is not the CPU."""
        return self.backend if self.device == "CPU" else f"{self.backend}@{self.device}"


class Proof(BaseModel):
    """The checks of one model's weights on one machine."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal[1] = 1
    model: str = Field(max_length=1000)
    spec_hash: str = Field(pattern="^[0-9a-f]{16}$")
    weights: str = Field(pattern="^[0-9a-f]{64}$")
    """The hash of the weights, see `weights_hash`."""
    data: str = Field(default="", max_length=1000)
    """The fingerprint of the data set; empty where the numbers were drawn."""
    videos: dict[str, int]
    """The number of videos of each batch."""
    environment: dict[str, str]
    """Versions, and the machine."""
    checks: tuple[Measurement, ...] = Field(max_length=20_000)

    @property
    def passed(self) -> bool:
        """True where something was compared and nothing failed."""
        return any(check.passed for check in self.checks) and all(
            check.passed or check.missing for check in self.checks
        )

    def belongs_to(self, checkpoint: Checkpoint) -> bool:
        """True where these weights and this model were checked."""
        return self.spec_hash == checkpoint.spec.hash and self.weights == weights_hash(checkpoint.parameters)

    def lines(self) -> list[list[str]]:
        """A line for each participant, level and precision: the check nearest to its bound, and a verdict."""
        groups: dict[tuple[str, int, str], list[Measurement]] = {}
        for check in self.checks:
            groups.setdefault((check.participant, check.level, check.precision), []).append(check)
        lines = []
        for (participant, level, precision), members in groups.items():
            nearest = max(members, key=_share)
            failed = any(not check.passed and not check.missing for check in members)
            verdict = "FAIL" if failed else "ok" if any(check.passed for check in members) else "missing"
            numbers = [f"{x:.1e}" if x is not None else "" for x in (nearest.measured, nearest.bound)]
            lines.append([participant, str(level), precision, *numbers, str(len(members)), verdict])
        return lines


HEADERS = ("backend", "level", "precision", "measured", "bound", "checks", "verdict")
"""The headings of `Proof.lines`."""


def _share(check: Measurement) -> float:
    if check.missing:
        return -1.0
    if not check.passed or check.measured is None or check.bound is None:
        return math.inf
    return check.measured / check.bound if check.bound else check.measured


def weights_hash(parameters: Mapping[str, Array]) -> str:
    """SHA-256 of parameters and statistics: paths, types, shapes and numbers. The file that holds them does not matter."""
    digest = hashlib.sha256()
    for path in sorted(parameters):
        value = np.ascontiguousarray(parameters[path])
        digest.update(f"{path} {value.dtype} {np.shape(parameters[path])}\n".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_proof(path: Path, proof: Proof) -> None:
    """Write a proof. Raises OSError."""
    write_json(path, proof.model_dump(mode="json"))


def read_proof(path: Path) -> Proof:
    """Read a proof, which may come from anywhere.

    Raises:
        DataError: the file is missing, or is not a proof.
    """
    require_local(path)
    if not path.is_file():
        raise DataError(f"there is no proof {path}; 'acz parity-check RUN' writes one")
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path}: a proof has at most {LARGEST:,} bytes")
    try:
        return Proof.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: not a proof of 'acz parity-check': {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a proof of 'acz parity-check': {error}") from None


def require_proof(proof: Proof, path: Path, checkpoint: Checkpoint, source: Path) -> None:
    """Check that a proof belongs to a checkpoint, and that all its checks passed.

    Raises:
        CheckFailed: it is of another model, of other weights, or a check failed.
    """
    if proof.spec_hash != checkpoint.spec.hash:
        raise CheckFailed(f"{path} is of the model {proof.spec_hash}; {source} has the model {checkpoint.spec.hash}")
    if not proof.belongs_to(checkpoint):
        raise CheckFailed(
            f"{path} is of other weights than {source} has; 'acz parity-check {source}' makes a new proof"
        )
    if not proof.passed:
        raise CheckFailed(f"{path} belongs to {source}, but not all of its checks passed")


def proof_in_words(source: Path, checkpoint: Checkpoint) -> str:
    """A line about the proof beside a checkpoint's file; empty without one."""
    path = source.with_name(NAME)
    if not path.is_file():
        return ""
    try:
        proof = read_proof(path)
    except DataError as error:
        return str(error)
    if not proof.belongs_to(checkpoint):
        return f"{path} is of other weights; 'acz parity-check {source}' makes a new proof"
    whose = ", ".join(dict.fromkeys(check.participant for check in proof.checks))
    return f"{path}: {len(proof.checks)} checks of these weights on {whose}; {'passed' if proof.passed else 'FAILED'}"
