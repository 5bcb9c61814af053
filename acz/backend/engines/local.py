"""The engine of this host: the ranks of a call are started, watched, and ended. And their own side of the call."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from acz.backend.engines.base import FOLDER, GRACE, Call, Engine, describe_failure, read_answer
from acz.backend.info import BackendInfo
from acz.backend.processes import Cluster
from acz.backend.ranks import ANSWER, find_place
from acz.foundation.errors import AczError
from acz.foundation.files.locks import hold_folder, remove_abandoned
from acz.foundation.processes.environment import cores
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.processes.ports import LOOPBACK, free_port


class LocalEngine(Engine):
    """Starts the ranks on this host. They share the threads, which are all cores by default."""

    def call_on_ranks(self, call: Call, processes: int, threads: int | None) -> Any:
        info = call.info(processes)
        own = max((threads or cores()) // processes, 1)
        remove_abandoned(Path(tempfile.gettempdir()).glob(f"{FOLDER}*"))
        with tempfile.TemporaryDirectory(prefix=FOLDER) as name, hold_folder(Path(name)):
            folder = Path(name)
            (folder / "call").write_bytes(call.to_bytes())
            words = [sys.executable, "-m", "acz.cli.processes.rank", str(folder / "call"), str(own)]
            codes = _run(info, processes, words, folder)
            answer, failure = folder / "answer", None
            if any(codes):
                rank = next(rank for rank, code in enumerate(codes) if code)
                log = folder / f"rank_{rank}.log"
                last = log.read_bytes() if log.is_file() else b""
                failure = describe_failure(rank, socket.gethostname(), codes[rank], last)
                if codes[rank] < 0:  # the other ranks know only that it is gone
                    raise failure
            return read_answer(answer.read_bytes() if answer.is_file() else None, failure)


def _run(info: BackendInfo, processes: int, words: Sequence[str], folder: Path) -> list[int]:
    """Run a program at every rank, and see that none is left. Returns their exit codes, that of the first to fail first seen."""
    launcher = info.launcher
    assert launcher is not None
    cluster = Cluster((LOOPBACK,), processes, free_port(processes))
    started: list[subprocess.Popen[bytes]] = []
    beside: subprocess.Popen[bytes] | None = None
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    inherited[ANSWER] = str(folder / "answer")
    with interruptible() as is_interrupted:
        try:
            if launcher.scheduler:
                command = launcher.scheduler(cluster)
                null = subprocess.DEVNULL
                environ = {**inherited, **command.variables}
                beside = subprocess.Popen(
                    command.words, env=environ, stdin=null, stdout=null, stderr=null, cwd=folder, start_new_session=True
                )
            for rank in range(processes):
                with (folder / f"rank_{rank}.log").open("wb") as log:
                    started.append(
                        subprocess.Popen(
                            words,
                            env={**inherited, **launcher.variables(cluster, rank)},
                            stdin=subprocess.DEVNULL,
                            stdout=log if rank else None,
                            stderr=log if rank else None,
                            start_new_session=True,  # Ctrl-C comes to this process, which hands it on once
                        )
                    )
            return _wait(started, is_interrupted)
        finally:
            for process in [*started, *([beside] if beside else [])]:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(started: Sequence[subprocess.Popen[bytes]], is_interrupted: Callable[[], bool]) -> list[int]:
    """Wait for all ranks; where one fails, for the others for GRACE seconds. Failures come before their consequences.

    Returns:
        The exit code of each rank, 0 for those that failed after another had.
    """
    told, deadline = False, float("inf")
    first: int | None = None
    while any(process.poll() is None for process in started) and time.monotonic() < deadline:
        if is_interrupted() and not told:
            told = True
            for process in started:
                process.send_signal(signal.SIGINT)
        if first is None and (first := _first_to_fail(started)) is not None:
            deadline = time.monotonic() + GRACE
        time.sleep(0.05)
    if first is None:
        first = _first_to_fail(started)
    codes = [process.poll() for process in started]
    return [codes[rank] or 0 if rank == first else 0 for rank in range(len(started))]


def _first_to_fail(started: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """A rank that has failed: one that a signal ended, before those that ended because of it."""
    codes = [process.poll() or 0 for process in started]
    return min((rank for rank, code in enumerate(codes) if code), key=lambda rank: codes[rank] > 0, default=None)


def answer_call(call: Path) -> int:
    """Make a call of an engine at one rank, and leave the answer of rank 0. Returns the exit code."""
    _follow_parent()
    function, arguments, backend = pickle.loads(call.read_bytes())
    error: AczError | None = None
    answer: Any = None
    try:
        answer = function(**arguments)
    except AczError as problem:
        error = problem
    place = find_place(backend)
    if place is None or place.rank == 0:
        Path(os.environ[ANSWER]).write_bytes(pickle.dumps((answer, error)))
    elif error:
        print(f"acz: {error}", file=sys.stderr, flush=True)
    return error.exit_code if error else 0


def _follow_parent() -> None:
    """End this process when the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
