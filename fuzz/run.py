"""Fuzz one reader for some minutes: `python -m fuzz.run idx --minutes 10 --out /tmp/fuzz-idx`.

`--replay` reads the inputs that an earlier run collected once more, for `coverage run`.

With atheris (`pip install atheris`, CPython 3.11 to 3.13 on Linux) the choice of inputs follows the coverage; without it inputs are mutated seeds.
Findings are kept, one for each place and kind of error, under OUT/findings; OUT/result.json counts. Exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path
from random import Random
from types import TracebackType

STATED = 5.0
"""Seconds between two reports of the counts."""
LONGEST = 65536
"""The largest size of an input, in bytes."""


class Session:
    """Counts and findings of one run."""

    def __init__(self, name: str, minutes: float, out: Path) -> None:
        from fuzz.readers import READERS

        self.name, self.reader, self.out = name, READERS[name], out
        self.folder = out / "input"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        self.end = self.began + 60 * minutes
        self.stated = 0.0
        self.counts = {"executions": 0, "taken": 0, "refused": 0, "findings": 0, "slowest_s": 0.0}
        self.seen: set[str] = set()
        (out / "findings").mkdir(parents=True, exist_ok=True)
        (out / "corpus").mkdir(exist_ok=True)

    def read_input(self, data: bytes) -> None:
        """Read one input; anything but a value or an AczError is a finding."""
        from fuzz.readers import try_input

        before = time.process_time()
        try:
            self.counts["taken" if try_input(self.reader, data, self.folder) else "refused"] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._keep(data, error)
        self.counts["executions"] += 1
        self.counts["slowest_s"] = max(self.counts["slowest_s"], round(time.process_time() - before, 3))
        if time.monotonic() - self.stated > STATED:
            self.state()

    def _keep(self, data: bytes, error: BaseException) -> None:
        """Save an input whose error is new: another kind, or from another line of ours."""
        where = _place(error.__traceback__)
        signature = f"{type(error).__name__} {where}"
        if signature in self.seen:
            return
        self.seen.add(signature)
        self.counts["findings"] += 1
        name = hashlib.sha256(data).hexdigest()[:12]
        (self.out / "findings" / name).write_bytes(data)
        text = f"{signature}\n{''.join(traceback.format_exception(error))[-4000:]}"
        (self.out / "findings" / f"{name}.txt").write_text(text, encoding="utf-8", errors="replace")
        print(f"finding: {signature}: {str(error)[:200]!r}", file=sys.stderr)

    def state(self) -> None:
        """Write the counts down: libFuzzer ends the process itself."""
        self.stated = time.monotonic()
        seconds = round(self.stated - self.began, 1)
        text = json.dumps({"reader": self.name, "seconds": seconds, **self.counts}, indent=1)
        (self.out / "result.json").write_text(text + "\n", encoding="utf-8")

    def close(self) -> int:
        """Clean up and print the counts. Returns the exit code."""
        self.state()
        print((self.out / "result.json").read_text(encoding="utf-8"), end="")
        return 1 if self.counts["findings"] else 0


def _place(trace: TracebackType | None) -> str:
    """The innermost line of acz in a traceback, and the function where the error arose."""
    own, last = "?", "?"
    for frame in traceback.extract_tb(trace):
        last = f"{Path(frame.filename).name}:{frame.name}"
        if "acz" in Path(frame.filename).parts:
            own = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{own} {last}"


def with_atheris(name: str, minutes: float, out: Path, seed: int) -> None:
    """Search guided by coverage."""
    import atheris

    packages = ["acz", "yaml", "gzip", "pickletools"]
    with atheris.instrument_imports(include=packages):
        session = Session(name, minutes, out)
        for number, data in enumerate(session.reader.seeds()):
            (out / "corpus" / f"seed-{number}").write_bytes(data)

    def change(data: bytes, longest: int, number: int) -> bytes:
        source = Random(number)
        if source.random() < 0.3:
            return atheris.Mutate(data, longest)
        for _ in range(source.choice((1, 1, 2, 3))):
            data = session.reader.mutate(data, source)
        return data[:longest]

    def read_input(data: bytes) -> None:
        session.read_input(data)
        if time.monotonic() > session.end - 1:
            session.state()

    arguments = [f"-max_total_time={int(60 * minutes)}", f"-max_len={LONGEST}", f"-seed={seed}", "-rss_limit_mb=2048"]
    arguments += ["-timeout=30", "-len_control=0", f"-artifact_prefix={out / 'findings'}/crash-", str(out / "corpus")]
    atheris.Setup([sys.argv[0], *arguments], read_input, custom_mutator=change)
    atheris.Fuzz()


def without_atheris(name: str, minutes: float, out: Path, seed: int) -> int:
    """Try mutated seeds, one after the other. An accepted input becomes a seed."""
    session = Session(name, minutes, out)
    source = Random(seed)
    pool = session.reader.seeds()
    while time.monotonic() < session.end:
        data = source.choice(pool)
        for _ in range(source.choice((1, 1, 2, 4))):
            data = session.reader.mutate(data, source)
        before = session.counts["taken"]
        session.read_input(data[:LONGEST])
        if session.counts["taken"] > before and len(pool) < 2000:
            pool.append(data[:LONGEST])
    return session.close()


def replay(name: str, out: Path) -> int:
    """Read every input of OUT/corpus once."""
    inputs = [path.read_bytes() for path in sorted((out / "corpus").iterdir())]
    session = Session(name, 0, out / "replay")
    for data in inputs:
        session.read_input(data)
    return session.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=__doc__)
    readers = ["idx", "features", "checkpoint", "config", "pickle", "records", "tensorflow", "record", "proof"]
    parser.add_argument("reader", choices=readers)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, required=True, help="a folder for inputs, findings and counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", action="store_true", help="read the inputs under --out once, choose no new ones")
    given = parser.parse_args()
    if given.replay:
        return replay(given.reader, given.out)
    if importlib.util.find_spec("atheris") is None:
        return without_atheris(given.reader, given.minutes, given.out, given.seed)
    with_atheris(given.reader, given.minutes, given.out, given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
