"""Runs artefacts in a process that knows nothing of acz. Started by its path, never imported: python -I serve.py RUNTIME.py THREADS

RUNTIME.py has `load(path, threads)`, which gives a function from input arrays by name to output arrays by name, and the strings
that the artefact carries. One JSON line a job comes from standard input: `artefact`; `given`, a file of arrays by
`run/input`; `taken`, where the outputs go by `run/output`; and `timed`, names of runs to repeat. One JSON line answers each.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import traceback
from functools import partial
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

SECONDS = 1.0
"""The time for which a timed run is repeated."""


def repeat(function: Any) -> float:
    """Median seconds of a call, after a first one."""
    function()
    spent: list[float] = []
    while sum(spent) < SECONDS and len(spent) < 200:
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def answer(job: dict[str, Any], run: Any, metadata: dict[str, str]) -> dict[str, Any]:
    """Do one job with a loaded artefact."""
    import numpy as np

    runs: dict[str, dict[str, Any]] = {}
    with np.load(job["given"], allow_pickle=False) as given:
        for key in given.files:
            name, port = key.split("/")
            runs.setdefault(name, {})[port] = given[key]
    seconds = {name: repeat(partial(run, runs.pop(name))) for name in job["timed"]}
    outputs = {f"{name}/{key}": value for name, inputs in runs.items() for key, value in run(inputs).items()}
    np.savez(job["taken"], **outputs)
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    return {"metadata": metadata, "seconds": seconds, "modules": modules}


def main(script: str, threads: str) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = threads
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints is no answer
    runtime = ModuleType("runtime")
    path = ""
    loaded: Any = None
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if not hasattr(runtime, "load"):
                SourceFileLoader("runtime", script).exec_module(runtime)
            if path != job["artefact"]:
                loaded = runtime.load(job["artefact"], int(threads))
                path = job["artefact"]
            result: dict[str, Any] = {"value": answer(job, *loaded)}
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"[:4000]}
        answers.write(json.dumps(result) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
