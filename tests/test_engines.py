"""Engines of several processes: refusals, and the shares of ranks that Ray placed. Needs no framework and no Ray."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acz.backend.engines.base import Call
from acz.backend.engines.cluster import RayEngine
from acz.backend.engines.rank_process import RankProcess
from acz.backend.processes import Cluster, Place
from acz.backend.ranks import ANSWER, OWN_SHARE, device_of, share_threads
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.locks import locked, wait_for_folder
from tests.conftest import TINY, Answer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "rya"], "there is no engine 'rya'; did you mean 'ray'"),
        (["--address", "auto"], "are Ray's; add --engine ray"),
        (["--retries", "2"], "are Ray's; add --engine ray"),
        (["--engine", "ray", "--resources", "GPU"], "--resources needs NAME=N, got 'GPU'"),
    ],
)
def test_wrong_use_of_an_engine_is_one_line(acz: Callable[..., Answer], words: list[str], message: str) -> None:
    for command in (["train", TINY, "--backend", "numpy"], ["eval", "run"], ["infer", "run"]):
        refused = acz(*command, *words)
        assert refused.code == 2
        assert message in refused.err


def test_hosts_to_type_for_and_a_cluster_exclude_each_other(acz: Callable[..., Answer]) -> None:
    refused = acz("train", TINY, "--engine", "ray", "--dry-run")
    assert refused.code == 2
    assert "leave out --engine" in refused.err


def test_ray_chooses_the_devices() -> None:
    with pytest.raises(SpecError, match="type --device GPU instead of GPU:2,3"):
        RayEngine().call_on_ranks(Call(print, {}, "numpy", "GPU:2,3"), 2, None)


def test_a_rank_with_a_share_of_its_own_divides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(3, 4, 1, 2, "a", "hand")
    assert (device_of("GPU", place), share_threads(6, place)) == ("GPU:1", 3)
    monkeypatch.setenv(OWN_SHARE, "1")
    assert (device_of("GPU", place), share_threads(6, place)) == ("GPU", 6)


def test_ranks_that_were_placed_one_by_one_have_ports_of_their_own() -> None:
    cluster = Cluster(("a", "b", "a"), 1, 7000, (7000, 7100, 7200))
    assert [cluster.endpoint(rank) for rank in range(cluster.world)] == ["a:7000", "b:7100", "a:7200"]


def test_a_folder_that_is_left_in_time_is_waited_for(tmp_path: Path) -> None:
    wait_for_folder(tmp_path / "missing", 0.0)
    entered = threading.Event()

    def hold() -> None:
        with locked(tmp_path):
            entered.set()
            time.sleep(1.0)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    with pytest.raises(DataError, match="in use by another process"):
        wait_for_folder(tmp_path, 0.1)
    wait_for_folder(tmp_path, 30)
    holder.join()


def test_a_rank_hears_ctrl_c_where_its_starter_blocks_it(tmp_path: Path) -> None:
    rank = RankProcess()
    call = Call(subprocess.run, {"args": ["sleep", "60"]}, "numpy")
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as Ray does
    try:
        rank.start(call.to_bytes(), 1, {}, ANSWER, str(tmp_path))
        rank.interrupt()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    end = time.monotonic() + 30
    try:
        while (report := rank.report()).code is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert report.code != 0
        assert report.answer is None
    finally:
        rank.end()
    assert not rank.folder.exists()
