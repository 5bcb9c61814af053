"""The ranks of a task: their messages, an agreed stop, and the end of all with the end of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acz.foundation.processes.ports import free_port

pytestmark = pytest.mark.slow  # ranks are processes, and a silent one is waited for

RANK = """
import os, random, sys, time
from pathlib import Path
from acz.foundation.errors import AczError, DataError, Interrupted
from acz.foundation.processes import group as groups

groups.SILENCE, groups.BEAT, groups.JOINING = 5.0, 0.1, 5.0
rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
if rank == 0:
    group = groups.open_hub(world, "127.0.0.1", lambda port: (folder / "new").write_text(str(port)) and (folder / "new").rename(folder / "port"))
else:
    while not (folder / "port").is_file():
        time.sleep(0.01)
    group = groups.connect(rank, world, "127.0.0.1", int((folder / "port").read_text()))
{body}
group.wait()
group.close()
"""


@contextmanager
def ranks(folder: Path, world: int, body: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that join and run `body`; none is left."""
    (folder / "rank.py").write_text(RANK.replace("{body}", textwrap.dedent(body)))
    started = [
        subprocess.Popen(
            [sys.executable, folder / "rank.py", str(rank), str(world), folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])},
        )
        for rank in range(world)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def said(started: list[subprocess.Popen[str]]) -> list[str]:
    """Wait for all; gives what each wrote."""
    return [process.communicate(timeout=180)[0].strip() for process in started]


def test_values_go_to_rank_0_and_back(tmp_path: Path) -> None:
    body = """
    large = bytes([rank]) * 3_000_000
    parts = group.gather(large)
    assert parts == ([bytes([n]) * 3_000_000 for n in range(world)] if rank == 0 else [])
    print(group.broadcast(b"from 0" if rank == 0 else b"ignored"))
    """
    with ranks(tmp_path, 3, body) as started:
        assert said(started) == ["b'from 0'"] * 3
        assert [process.returncode for process in started] == [0, 0, 0]


def test_ranks_with_other_facts_are_refused_by_name_at_every_rank(tmp_path: Path) -> None:
    body = """
    group.agree({"version": "1", "data": "the same"})
    try:
        group.agree({"version": "1", "data": "other" if rank == 2 else "mine"})
    except DataError as error:
        print(error)
    """
    with ranks(tmp_path, 3, body) as started:
        texts = said(started)
    assert len(set(texts)) == 1
    assert texts[0].startswith("rank 2 on ")
    assert texts[0].endswith("has another data than rank 0: other, not mine")


@pytest.mark.parametrize("asking", [0, 1, 2])
def test_all_ranks_stop_after_the_same_step_whenever_one_asks(tmp_path: Path, asking: int) -> None:
    body = f"""
    source = random.Random(rank + {asking} * 10)
    steps = 0
    while True:
        group.begin_step(steps)
        time.sleep(source.random() / 200)
        group.wait()  # a collective: no rank is more than a step ahead
        steps += 1
        if rank == {asking} and steps >= 20:
            group.ask_to_stop()
        time.sleep(source.random() / 200)
        if group.stops_after(steps):
            break
    print(steps)
    """
    with ranks(tmp_path, 3, body) as started:
        texts = said(started)
    assert len(set(texts)) == 1
    assert 20 <= int(texts[0]) <= 22


@pytest.mark.parametrize(
    ("sent", "words"), [(signal.SIGKILL, "ended without a word"), (signal.SIGSTOP, "has given no sign of life")]
)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_or_hangs_ends_all(tmp_path: Path, sent: int, words: str, victim: int) -> None:
    body = """
    group.wait()
    (folder / f"ready{rank}").touch()
    while True:
        time.sleep(random.random() / 100)
    """
    with ranks(tmp_path, 3, body) as started:
        while len(list(tmp_path.glob("ready*"))) < 3:
            time.sleep(0.01)
        begin = time.monotonic()
        started[victim].send_signal(sent)
        others = [process for rank, process in enumerate(started) if rank != victim]
        texts = said(others)
        assert time.monotonic() - begin < 30
        assert [process.returncode for process in others] == [1, 1]
    assert all(f"rank {victim} on " in text and words in text for text in texts)


def test_a_collective_that_gives_up_a_rank_names_it(tmp_path: Path) -> None:
    body = """
    groups.QUIET, groups.SILENCE = 1.0, 60.0
    group.wait()
    (folder / f"ready{rank}").touch()
    if rank == 2:
        while not (folder / "stopped").exists():
            time.sleep(0.01)
        time.sleep(2.0)
        message = group.blame("timeout")  # only rank 0 hears of rank 1
        print(message)
        group.fail(message)
        os._exit(1)
    time.sleep(60)
    """
    with ranks(tmp_path, 3, body) as started:
        while len(list(tmp_path.glob("ready*"))) < 3:
            time.sleep(0.01)
        started[1].send_signal(signal.SIGSTOP)
        (tmp_path / "stopped").touch()
        texts = said([started[0], started[2]])
    assert "rank 1 on " in texts[0]
    assert "has given no sign of life" in texts[0]
    assert texts[1].splitlines()[0] == "timeout"


SLOWLY = """
send_to = group.send_to
def slowly(peer, header, payload=b""):
    send_to(peer, header, payload)
    if rank == 0 and header["kind"] == "failed":
        time.sleep(1.0)
group.send_to = slowly
"""
"""Rank 1, which rank 0 tells of the error, ends before rank 0 does. That end is not the cause."""


@pytest.mark.parametrize("before", ["", SLOWLY], ids=["at once", "slowly"])
def test_an_error_at_one_rank_is_told_by_all(before: str, tmp_path: Path) -> None:
    body = """
    group.wait()
    if rank == 2:
        group.fail("the disk is full", 2)
        os._exit(2)
    time.sleep(60)
    """
    with ranks(tmp_path, 3, before + textwrap.dedent(body)) as started:
        texts = said(started)
        assert [process.returncode for process in started] == [2, 2, 2]
    assert texts[0].startswith("acz: rank 2 on ")
    assert texts[0].endswith(": the disk is full")
    assert "\n" not in texts[0]
    assert texts[1] == texts[0]


def test_a_rank_that_does_not_come_is_named(tmp_path: Path) -> None:
    with ranks(tmp_path, 2, "pass") as started:
        started[1].kill()
        assert "rank 1 has not joined in 5 s" in said(started[:1])[0]


def test_free_ports_are_neighbours_that_can_be_taken() -> None:
    first = free_port(3)
    assert 1024 < first < 65536 - 3
    with pytest.raises(OSError, match=r"."):
        free_port(1, "203.0.113.1")  # an address of no host
