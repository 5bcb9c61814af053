"""One client on one model: its outputs beside the reference's, as a row of the results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import acz.exchange.artefacts.server
from acz.backend.signature import OUTPUT
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError
from acz.foundation.processes.job_process import JobFailed, JobProcess
from acz.reference.bounds import difference
from clients.catalog import Client
from clients.environments import Environment
from clients.samples import Model, Sample

SERVER = Path(acz.exchange.artefacts.server.__file__)
SECONDS = 600.0
LONGEST = 300
"""Characters of a reason."""


@dataclass(frozen=True)
class Row:
    """A line of the results."""

    client: str
    version: str
    model: str
    format: str
    precision: str
    difference: str
    """max |client - reference| / max |reference| of the batch that is nearest to its bound, or the first beyond it."""
    bound: str
    """The bound of that batch, in the client's precision."""
    float32_bound: str
    batch: str
    result: str
    """`passed`, or why not."""

    def to_dict(self) -> dict[str, str]:
        """The row by columns."""
        return asdict(self)


def not_run(client: Client, version: str, model: str, error: Exception) -> Row:
    """Give the row of a client that gave no output."""
    return Row(client.name, version, model, client.format, client.precision, "", "", "", "", reason(error))


def compare(client: Client, environment: Environment, model: Model) -> Row:
    """Run a client on every sample of a model, in a fresh process."""
    try:
        artefact = model.artefact(client)
        outputs, precision = run(client, environment, artefact, model.samples)
    except (AczError, OSError) as error:
        return not_run(client, environment.version, model.name, error)
    shares = {}
    for name, output in outputs.items():
        sample = model.samples[name]
        shares[name] = difference(output, sample.expected) / sample.bounds[precision]
    batch = max(shares, key=lambda name: shares[name])
    sample = model.samples[batch]
    measured, bound = difference(outputs[batch], sample.expected), sample.bounds[precision]
    return Row(
        client.name,
        environment.version,
        model.name,
        client.format,
        precision,
        f"{measured:.2e}",
        f"{bound:.2e}",
        f"{sample.bounds['float32']:.2e}",
        batch,
        "passed" if measured <= bound else f"beyond its bound on the batch '{batch}'",
    )


def run(
    client: Client, environment: Environment, artefact: Path, samples: Mapping[str, Sample]
) -> tuple[dict[str, Array | None], str]:
    """Outputs of a client by batch, and the precision in which it computed. Raises JobFailed and WorkerDied."""
    variables = {
        "CLIENT_OPTION": client.option,
        "CLIENT_FOLDER": environment.folder,
        "CLIENT_PROGRAM": client.path,
    }
    words = [f"{name}={value}" for name, value in variables.items()]
    command = ["env", *words, str(environment.python), "-I", str(SERVER), str(client.path), "1"]
    precision, outputs = client.precision, {}
    with JobProcess(client.name, command) as process:
        for name, sample in samples.items():
            inputs = sample.inputs
            if client.masks == "none":
                if sample.has_padding:
                    continue
                inputs = sample.without_masks()
            job = {"artefact": str(artefact.resolve()), "timed": []}
            try:
                about, arrays = process.exchange(
                    job, {f"{name}/{port}": value for port, value in inputs.items()}, SECONDS
                )
            except JobFailed as error:
                raise JobFailed(f"on the batch '{name}': {error}") from None
            precision = about["metadata"].get("precision", precision)
            outputs[name] = arrays.get(f"{name}/{OUTPUT}")
    return outputs, precision


def reason(error: Exception) -> str:
    """An error in one line, without the folders of this machine."""
    plain = re.sub(r"\x1b\[[\d;]*m|\\x1b\[[\d;]*m|\\n", " ", str(error))  # colours, and what a message quotes of others
    words = re.sub(r"(?<![\w:/.])/(?:[\w.@+-]+/)+", "", " ".join(plain.split()))
    return words if len(words) <= LONGEST else f"{words[: LONGEST // 3]} ... {words[-LONGEST * 2 // 3 :]}"
