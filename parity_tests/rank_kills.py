"""Ranks that are killed, that hang, or whose link is cut, at random moments: the study that docs/reliability.md reports.

Every command must end in time, name the rank, leave no process and only whole files; the runs that resume it must end with
the same bytes as an undisturbed one.

python -m parity_tests.rank_kills --backends torch --kills 40 --csv docs/results/rank_kills.csv
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acz.backend.versions import environment
from acz.foundation.files.tables import write_csv
from acz.model.checkpoint import load_checkpoint
from parity_tests.link_cases import Links
from tests.conftest import TINY, write_features
from tests.whole import check_whole, leftovers, metrics

WORLD = 3
LIMIT = 60.0
"""Seconds after a fault in which everything must end."""
KILL, HANG, CUT = "SIGKILL", "SIGSTOP", "cut link"
FAULTS = (KILL, HANG, CUT)
MARK = "ACZ_KILL_STUDY"
"""A variable that every process of a command inherits."""
MOST_KILLS = 4
"""Kills of one run, after which it may end."""
SETTINGS = {"train.batch_size": 15, "train.optimizer.learning_rate": 0.05, "train.schedule.type": "constant"}


@dataclass(frozen=True)
class Kill:
    """A fault, and its consequences."""

    backend: str
    command: str
    fault: str
    rank: int
    moment: float
    """Seconds after all ranks were started, for SIGKILL; for the others after they had met."""
    progress: str
    """The contents of the folder at the fault, in words."""
    seconds: float
    """Seconds until the last process had ended."""
    message: str


@dataclass(frozen=True)
class Work:
    """A command over several processes, and its folder's contents."""

    name: str
    first: Sequence[object]
    again: Sequence[object]
    begun: str
    """The file from which on `again` resumes the work."""
    progress: Callable[[Path], str]
    products: Sequence[str]
    """The files that must have the same bytes in the end."""

    def words(self, folder: Path) -> list[str]:
        """The words to type in a folder."""
        return [str(word) for word in (self.again if (folder / self.begun).exists() else self.first)]


def training(backend: str, data: Path, epochs: int) -> Work:
    """A training that saves often."""
    settings = {**SETTINGS, "train.epochs": epochs, "train.checkpoint_steps": 25}
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    first = ["train", TINY, "--backend", backend, "--data", data, *sets, "--threads", WORLD, "--out", "out"]

    def progress(folder: Path) -> str:
        last = folder / "out/last.safetensors"
        if not last.exists():
            return "before the first checkpoint" if (folder / "out/run.json").exists() else "before the run"
        return "after some steps" if load_checkpoint(last).state["step"] else "after the first checkpoint"

    again = ["train", "--resume", "--out", "out", "--threads", WORLD]
    return Work("train", first, again, "out/run.json", progress, ("out/last.safetensors", "out/best.safetensors"))


def inference(backend: str, run: Path, data: Path) -> Work:
    """Predictions of many small batches."""
    words = ["infer", run, "--backend", backend, "--data", data, "--batch-size", 2, "--threads", WORLD]
    words += ["--out", "out/p.jsonl"]

    def progress(folder: Path) -> str:
        if (folder / "out/p.jsonl").exists():
            return "after the last stretch"
        return "on the way" if list(folder.glob("out/.p.jsonl.part*/**/*.jsonl")) else "before the first stretch"

    return Work("infer", words, words, "never", progress, ("out/p.jsonl",))


class Command:
    """A command whose ranks run, on one host or on one host each. A context manager; none of its processes is left."""

    def __init__(self, words: Sequence[str], backend: str, folder: Path, links: Links | None) -> None:
        self.mark, self.links = uuid.uuid4().hex, links
        self.words, self.folder = words, folder
        self.outputs = [folder / f"words_{number}" for number in range(WORLD if links else 1)]
        logs = [folder / f"out/rank_{number}.log" for number in range(1, WORLD if links else 1)]
        self.logs = {log: log.stat().st_size if log.is_file() else 0 for log in logs}
        """The logs of ranks that were typed, and their sizes before."""
        program = [sys.executable, "-m", "acz", *words]
        environ = {**os.environ, "OMP_NUM_THREADS": "1", MARK: self.mark}
        with ExitStack() as files:
            opened = [files.enter_context(path.open("wb")) for path in self.outputs]
            if links is None:
                typed = [[*program, "--processes", str(WORLD)]]
                variables: list[dict[str, str]] = [{}]
            else:
                typed = [links.inside(rank, program) for rank in range(WORLD)]
                variables = [links.variables(backend, rank) for rank in range(WORLD)]
                links.start_scheduler(backend, environ)
            self.started = [
                subprocess.Popen(
                    words,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=output,
                    env={**environ, **own},
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )
                for words, own, output in zip(typed, variables, opened, strict=True)
            ]

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        for number in self.processes():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for process in self.started:
            process.wait()
        if self.links:
            self.links.stop_scheduler()

    def processes(self) -> list[int]:
        """The numbers of its processes that run, in the order in which they were started."""
        return [number for _, number in sorted(_running(f"{MARK}={self.mark}"))]

    def ranks(self) -> list[int]:
        """The processes of its ranks, in their order."""
        if self.links:
            return [process.pid for process in self.started]
        return [number for number in self.processes() if b"acz.cli.processes.rank" in _read(number, "cmdline")]

    def is_over(self) -> bool:
        """True where every process that was typed has ended."""
        return all(process.poll() is not None for process in self.started)

    def wait(self, seconds: float) -> bool:
        """Wait for the end, for some seconds; True where it came."""
        deadline = time.monotonic() + seconds
        while not self.is_over() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.is_over()

    def have_met(self) -> bool:
        """True where all ranks have met: then rank 0 of a training says so, and that of an inference opens its folder."""
        if b" on CPU" in self.outputs[0].read_bytes():
            return True
        ranks = self.ranks()
        files = Path(f"/proc/{ranks[0]}/fd") if ranks and self.words[0] == "infer" else Path("/nowhere")
        with suppress(OSError):
            return any(str(self.folder / "out") in os.readlink(file) for file in files.iterdir())
        return False

    def lines(self) -> list[list[str]]:
        """The lines of acz about what went wrong, of each command that was typed."""
        texts = [path.read_bytes() for path in self.outputs]
        for number, (log, size) in enumerate(self.logs.items(), 1):
            texts[number] += log.read_bytes()[size:] if log.is_file() else b""
        told = [text.decode(errors="replace").splitlines() for text in texts]
        return [[line for line in lines if line.startswith("acz:")] for lines in told]


def _read(number: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{number}/{name}").read_bytes()
    except OSError:
        return b""


def _running(variable: str) -> Iterator[tuple[int, int]]:
    """When each process with a variable was started, and its number. Those that have ended have no variables."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and variable.encode() in _read(int(entry.name), "environ").split(b"\0"):
            state = _read(int(entry.name), "stat").rpartition(b")")[2].split()
            if state:
                yield int(state[19]), int(entry.name)


def disturb(
    work: Work, backend: str, folder: Path, fault: str, links: Links, span: float, source: random.Random
) -> Kill:
    """Start or resume some work, and put in one fault at a random moment within `span` seconds of the ranks' start or meeting.

    Raises:
        Ended: the work ended before.
        AssertionError: the fault had another consequence than it must have.
    """
    victim = source.randrange(WORLD)
    with Command(work.words(folder), backend, folder, links if fault == CUT else None) as command:
        while not command.is_over() and (
            len(ranks := command.ranks()) < WORLD or (fault != KILL and not command.have_met())
        ):
            time.sleep(0.01)
        moment = source.uniform(0.0, span)
        if command.wait(moment):
            assert not any(process.returncode for process in command.started), command.lines()
            raise Ended
        begin = time.monotonic()
        if fault == CUT:
            links.cut(victim)
        else:
            with suppress(ProcessLookupError):  # then the work ends just now
                os.kill(ranks[victim], signal.Signals[fault])
        progress = work.progress(folder)
        ended = command.wait(2 * LIMIT)
        seconds = time.monotonic() - begin
        links.repair()
        lines = command.lines()
        codes = [process.returncode for process in command.started]
        if not any(codes):
            raise Ended
        about = f"{work.name}, {fault} of rank {victim} after {moment:.1f} s, {progress}: {codes} {lines}"
        assert ended, f"still there after {2 * LIMIT:.0f} s: {about}"
        assert seconds < LIMIT, f"{seconds:.1f} s: {about}"
        assert all(code == 1 for code in codes), about
        assert not command.processes(), about
        for number, said in enumerate(lines):
            others = (
                [rank for rank in range(WORLD) if rank != victim] if fault == CUT and number == victim else [victim]
            )
            assert len(said) == 1, about
            assert any(f"rank {rank} " in said[0] for rank in others), about
    check_whole(folder / "out")
    told = lines[0 if victim or fault != CUT else 1][0].replace(f"{folder.parents[1]}/", "")
    return Kill(backend, work.name, fault, victim, round(moment, 1), progress, round(seconds, 1), told[:400])


class Ended(Exception):
    """The work ended before its fault."""


def finish(work: Work, backend: str, folder: Path) -> float:
    """Run to the end; gives the seconds since the ranks were there."""
    folder.mkdir(exist_ok=True)
    with Command(work.words(folder), backend, folder, None) as command:
        while len(command.ranks()) < WORLD and not command.is_over():
            time.sleep(0.01)
        before = time.monotonic()
        assert command.wait(600), command.lines()
        assert not any(process.returncode for process in command.started), command.lines()
    return time.monotonic() - before


def require_like(work: Work, folder: Path, whole: Path) -> None:
    """Check that some work ended with the bytes of an undisturbed one."""
    for name in work.products:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), f"{work.name}: other bytes in {name}"
    if (whole / "out/metrics.jsonl").exists():
        assert metrics(folder / "out/metrics.jsonl") == metrics(whole / "out/metrics.jsonl")
    assert not leftovers(folder)


def study(work: Work, backend: str, folder: Path, faults: Sequence[str], seed: int) -> Iterator[Kill]:
    """Put in faults one after the other, each of which the next start resumes from. Gives each when it has passed its checks."""
    source, left = random.Random(seed), list(faults)
    span = finish(work, backend, folder / "whole")
    rounds = 0
    with Links(WORLD) as links:
        while left:
            place, kills = folder / f"round{rounds}", 0
            place.mkdir()
            try:
                while left and kills < MOST_KILLS:
                    yield disturb(work, backend, place, left[0], links, span, source)
                    kills += 1
                    del left[0]
                finish(work, backend, place)
            except Ended:
                if not kills:  # it was faster than the timed one
                    span *= 0.8
            require_like(work, place, folder / "whole")
            shutil.rmtree(place)
            rounds += 1


def prepare(backend: str, folder: Path, small: bool = False) -> list[Work]:
    """A training and an inference that take some seconds, with their data."""
    data = write_features(folder / "features", videos=64 if small else 256)
    train = training(backend, data, 4 if small else 40)
    finish(training(backend, data, 1), backend, folder / "trained")
    large = write_features(folder / "large", videos=512 if small else 6144)
    return [train, inference(backend, folder / "trained/out", large)]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--backends", default="torch")
    options.add_argument("--kills", type=int, default=40, help="of each backend")
    options.add_argument("--faults", default=",".join(FAULTS))
    options.add_argument("--commands", default="train,infer")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--csv", type=Path)
    given = options.parse_args()
    rows: list[dict[str, Any]] = []
    for backend in given.backends.split(","):
        with tempfile.TemporaryDirectory(prefix="acz-kills-") as name:
            works = [work for work in prepare(backend, Path(name)) if work.name in given.commands.split(",")]
            kinds = given.faults.split(",")
            plan = [
                (works[number % len(works)], kinds[number // len(works) % len(kinds)]) for number in range(given.kills)
            ]
            for work in works:
                (own := Path(name) / work.name).mkdir()
                faults = [fault for chosen, fault in plan if chosen is work]
                for kill in study(work, backend, own, faults, given.seed):
                    rows.append({**asdict(kill), **environment()})
                    print(json.dumps(asdict(kill)), flush=True)
                    if given.csv:
                        write_csv(given.csv, rows)


if __name__ == "__main__":
    main()
