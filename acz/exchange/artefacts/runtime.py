"""Artefacts in their runtimes, in a fresh process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.foundation.processes.job_process import JobProcess
from acz.model.spec import Spec


class Runtime(JobProcess):
    """Runs artefacts of one format in a process that has loaded their runtime and nothing of acz."""

    def __init__(self, name: str, script: Path, threads: int = 1, python: str = sys.executable) -> None:
        """`name` is the format's, for errors; `script` and `python` are of its maker."""
        server = str(Path(__file__).with_name("server.py"))
        super().__init__(f"the process that runs {name}", [python, "-I", server, str(script), str(threads)])

    def run(
        self,
        artefact: Path,
        runs: Mapping[str, Mapping[str, Array]],
        timed: Mapping[str, Mapping[str, Array]] | None = None,
        timeout: float = 900.0,
    ) -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
        """Run an artefact on inputs by port's name, for each named run.

        Gives outputs by run; and `metadata` (strings of the artefact), `seconds` (median of each timed run) and `modules` (loaded there).
        Raises JobFailed where the runtime raised, WorkerDied where it died.
        """
        timed = timed or {}
        arrays = {f"{name}/{key}": value for name, one in {**runs, **timed}.items() for key, value in one.items()}
        job = {"artefact": str(artefact.resolve()), "timed": list(timed)}
        about, found = self.exchange(job, arrays, timeout)
        outputs: dict[str, dict[str, Array]] = {name: {} for name in runs}
        for key, value in found.items():
            name, _, output = key.partition("/")
            outputs[name][output] = value
        return outputs, about


def carried_spec(path: Path, metadata: Mapping[str, str]) -> Spec:
    """The spec that an artefact carries. Raises DataError where it has none."""
    try:
        spec = Spec.from_dict(json.loads(metadata["acz.spec"]))
    except (KeyError, ValueError, SpecError) as error:
        raise DataError(f"{path} carries no spec of acz ({type(error).__name__}: {error})") from None
    if metadata.get("acz.spec_hash") != spec.hash:
        raise DataError(f"{path}: its spec has the hash {spec.hash}, its metadata say {metadata.get('acz.spec_hash')}")
    return spec
