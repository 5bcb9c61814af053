"""One process for each framework: jobs go in and results come out as files, and a crash stays in its process.

`python -m acz.backend.worker BACKEND` reads one JSON line a job from standard input and answers one JSON line each.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.processes.environment import configure_process
from acz.foundation.processes.job_process import JobProcess


class Worker(JobProcess):
    """A backend in a process of its own.

    `wrap` names a function, `module:name`, that takes the backend and gives what is used in its place.
    """

    def __init__(self, backend: str, threads: int = 1, wrap: str = "") -> None:
        self.backend = backend
        command = [sys.executable, "-m", "acz.backend.worker", backend, str(threads), wrap]
        super().__init__(f"the process of backend '{backend}'", command)

    def run(
        self,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Array] | None = None,
        timeout: float = 900.0,
    ) -> tuple[Any, dict[str, Array]]:
        """Run `module:name`(backend, arguments, arrays) there, as `exchange` does."""
        return self.exchange({"function": function, "arguments": arguments or {}}, arrays or {}, timeout)


def describe(backend: Any, arguments: Any, arrays: Any) -> tuple[Any, dict[str, Array]]:
    """A job: what a backend says of itself."""
    return {
        "versions": backend.versions(),
        "devices": backend.devices(),
        "capabilities": backend.capabilities(),
    }, {}


def main(backend_name: str, threads: str, wrap: str) -> None:
    """The loop of a worker. Answers go to the first standard output; what a framework prints goes to the log."""
    from acz.backend.registry import find_backend

    configure_process(int(threads))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    backend: Any = None
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if backend is None:
                backend = find_backend(backend_name)
                backend.set_threads(int(threads))
                gc.freeze()  # what the import made stays: no collection, of which MindSpore makes one a graph, need visit it
                if wrap:
                    module, name = wrap.split(":")
                    backend = getattr(import_module(module), name)(backend)
            module, name = job["function"].split(":")
            with np.load(job["given"], allow_pickle=False) as found:
                arrays = {key: found[key] for key in found.files}
            value, results = getattr(import_module(module), name)(backend, job["arguments"], arrays)
            np.savez(job["taken"], **results)
            answer = {"value": value}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:4000]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
