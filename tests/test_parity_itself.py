"""The comparison is tested to fail: each mistake in MUTANTS is caught, a dead worker is a failure, a waiver expires."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from acz.api.parity import ParityReport, check_parity
from acz.backend.registry import find_backend
from acz.backend.worker import Worker, Wrapper, describe
from acz.foundation.errors import MissingError, SpecError
from acz.foundation.files.locks import IN_USE, remove_abandoned
from acz.foundation.files.tables import read_csv
from acz.foundation.processes.job_process import FOLDER, JobFailed, WorkerDied
from acz.foundation.progress import Progress
from acz.parity import comparison
from acz.parity.cases import cases
from acz.parity.comparison import Participants
from acz.parity.mutants import MUTANTS, promises
from acz.parity.report import list_failures, to_json
from acz.parity.row import Row
from acz.reference.bounds import difference, worst
from acz.zoo.catalog import config_folder
from tests.conftest import Answer
from tests.worker_jobs import Death, die, fail, hang, with_gpu

pytestmark = pytest.mark.slow  # each runs parity-check

MODEL = "layers/attention_over_units"


def test_the_reference_agrees_with_itself() -> None:
    report = compare("flash_mnist/attention_cluster", [1, 2, 4])
    assert report.passed
    assert {row.level for row in report.rows} == {1, 2, 4}
    assert report.failures == []


def compare(model: str, levels: list[int], mutant: str | None = None) -> ParityReport:
    """The reference beside itself, or beside a mutant of itself."""
    return check_parity(model, backends=["numpy"], levels=levels, mutant=mutant, progress=Progress())


@pytest.mark.parametrize(
    ("mutant", "model", "level", "where"),
    [
        ("softmax_over_wrong_axis", "flash_mnist/attention_cluster", 1, "features.attention.weights"),
        ("missing_unit_scale", "flash_mnist/attention_cluster", 1, "features.attention"),
        ("flipped_momentum", "layers/batch_norm", 1, "updated.first.norm.running_mean"),
        ("transposed_weight", "flash_mnist/attention_cluster", 1, "trunk.logits"),
        ("changed_weight", "flash_mnist/attention_cluster", 1, "trunk.logits"),
        ("missing_coupling", "layers/net_fv", 1, "coupled.clusters"),
        ("added_centres", "layers/netvlad", 1, "normalized.clusters"),
        ("spread_not_squared", "layers/net_fv", 1, "normalized.clusters"),
        ("softmax_over_groups", "layers/nextvlad", 1, "published.clusters.assignments"),
        ("centres_of_groups", "layers/nextvlad", 1, "published.clusters"),
        ("second_norm", "layers/nextvlad", 1, "published.clusters"),
        ("padding_in_statistics", "layers/nextvlad", 1, "padded, training/published.clusters.assignments"),
        ("attention_behind", "layers/nextvlad", 1, "published.clusters"),
        ("whitened_again", "layers/nextvlad", 1, "published.unwhiten"),
        ("gated_by_itself", "layers/gates", 1, "trunk.without.gates"),
        ("not_a_number", "flash_mnist/attention_cluster", 1, "output"),
        ("permuted_batch", "flash_mnist/attention_cluster", 1, "output"),
        ("batch_dependent", "flash_mnist/attention_cluster", 1, "output"),
        ("alone_is_different", "flash_mnist/attention_cluster", 1, ""),
        ("padding_counts", "flash_mnist/attention_cluster", 1, ""),
        ("coarse_float32", "flash_mnist/attention_cluster", 1, "output"),
        ("convolved_circulant", "layers/circulant_frames", 1, "chain.a"),
        ("convolved_circulant", "layers/circulant_experts", 1, "chain.a"),
        ("diagonal_on_the_other_side", "layers/circulant_frames", 1, "chain.a"),
        ("diagonal_on_the_other_side", "layers/circulant_experts", 1, "chain.a"),
        ("padding_pooled", "layers/bags_of_frames", 1, "dbof.pool"),
        ("bags_in_one", "layers/bags_of_frames", 1, "dbof.pool"),
        ("poolings_exchanged", "layers/moments", 1, "moments.pool"),
        ("wrong_gradient", "flash_mnist/attention_cluster", 2, "features.attention.score.weight"),
        ("other_weight_decay", "flash_mnist/attention_cluster", 3, ""),
        ("exchanged_clipping", "flash_mnist/attention_cluster", 3, ""),
        ("doubled_penalty", "flash_mnist/attention_cluster", 3, ""),
        ("moving_frozen_statistics", "layers/frozen", 3, "first.norm.running_mean"),
        ("counted_frozen", "layers/frozen", 3, ""),
        ("swapped_average", "layers/frozen", 3, "a.first.attention.score.weight"),
        ("lost_moments", "flash_mnist/attention_cluster", 4, "optimizer/v.features.attention.score.weight"),
    ],
)
def test_a_mistake_is_caught_where_it_is(mutant: str, model: str, level: int, where: str) -> None:
    wrong = [row for row in compare(model, [level], mutant).rows if not row.passed]
    assert wrong, f"{mutant} went unnoticed"
    assert any(row.where.endswith(where) for row in wrong), [(row.check, row.where) for row in wrong]
    assert not [row for row in wrong if row.problem], "caught by its numbers, not by a crash"
    alone = {"alone_is_different": "independence of batch mates", "padding_counts": "independence of padded frames"}
    if mutant in alone:
        assert {row.check for row in wrong} == {alone[mutant]}


def test_every_mutant_is_tested() -> None:
    marks = test_a_mistake_is_caught_where_it_is.pytestmark  # type: ignore[attr-defined]
    others = {mutant.__name__ for mutant in promises.MUTANTS}  # tests/test_parity_holes.py
    assert {case[0] for case in marks[0].args[1]} == set(MUTANTS) - others


@pytest.mark.parametrize("how", ["kill", "segmentation"])
def test_a_worker_that_dies_is_a_failure_with_its_last_words(how: Literal["kill", "segmentation"]) -> None:
    with Worker("numpy") as worker, pytest.raises(WorkerDied, match=r"SIGKILL|SIGSEGV"):
        worker.run(die, Death(how))


def test_a_job_that_raises_leaves_its_worker_alive() -> None:
    with Worker("numpy") as worker:
        with pytest.raises(JobFailed, match="this job fails"):
            worker.run(fail, None)
        assert worker.run(describe, None)[0].devices == ["CPU"]


def test_a_worker_that_hangs_is_ended() -> None:
    with Worker("numpy") as worker, pytest.raises(WorkerDied, match="gave no answer in 1 s"):
        worker.run(hang, None, timeout=1)


def test_what_a_killed_command_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, signal; from acz.backend.worker import Worker, describe; worker = Worker('numpy'); worker.run(describe, None); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Worker("numpy") as alive:
        end = time.monotonic() + 30
        while left.exists() and time.monotonic() < end:  # its worker sees the end of its input, and ends
            remove_abandoned(tmp_path.glob(f"{FOLDER}*"))
            time.sleep(0.05)
        assert [path.name for path in tmp_path.iterdir()] == [Path(alive.folder.name).name]
    assert list(tmp_path.iterdir()) == []


def test_what_others_left_under_such_a_name_stays_and_holds_nothing_up(tmp_path: Path) -> None:
    (tmp_path / f"{FOLDER}pipe").mkdir()
    os.mkfifo(tmp_path / f"{FOLDER}pipe" / IN_USE)  # opening it to read would wait for a writer
    (tmp_path / f"{FOLDER}link").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / f"{FOLDER}link" / IN_USE).symlink_to(tmp_path / "file")
    stays = {f"{FOLDER}link", "file"}
    if os.geteuid() == 0:
        (tmp_path / f"{FOLDER}other").mkdir()
        (tmp_path / f"{FOLDER}other" / IN_USE).touch()
        os.chown(tmp_path / f"{FOLDER}other", 1, 1)
        stays.add(f"{FOLDER}other")
    thread = threading.Thread(target=remove_abandoned, args=[tmp_path.glob(f"{FOLDER}*")], daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert {path.name for path in tmp_path.iterdir()} == stays


def test_the_others_finish_when_one_backend_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    started = comparison.Worker

    def doomed(name: str, threads: int = 1, wrap: Wrapper | None = None) -> Worker:
        worker = started("numpy", threads, wrap=wrap)
        if name == "doomed":
            worker.process.kill()
        return worker

    monkeypatch.setattr(comparison, "Worker", doomed)
    participants = Participants(find_backend("numpy"), ["numpy", "doomed"], {})
    rows = comparison.compare_backends(cases("flash_mnist/attention_cluster"), participants, [1, 4])
    assert {row.backend for row in rows if not row.passed} == {"doomed"}
    assert all("doomed" not in row.backend or "SIGKILL" in row.problem for row in rows if row.level == 1)
    assert [row for row in rows if row.backend == "numpy" and row.level == 4 and row.passed]


def test_nothing_run_is_never_passed() -> None:
    assert to_json([], ["torch"])["passed"] is False


def test_a_backend_without_an_artefact_is_missing_at_level_5() -> None:
    report = compare("flash_mnist/attention_cluster", [1, 5])
    (row,) = [row for row in report.rows if row.level == 5]
    assert row.missing == "numpy describes no artefact"
    assert not row.failed
    assert not row.passed
    assert report.passed, "what is missing fails nothing"
    assert [line[-1] for line in report.summary()] == ["ok", "missing"]
    (check,) = [check for check in report.to_json()["checks"] if check["level"] == 5]
    assert check["passed"] is None
    alone = compare("flash_mnist/attention_cluster", [5])
    assert not alone.passed, "nothing was compared"
    assert alone.failures == []


def test_the_report_prints_well_and_goes_to_a_table(tmp_path: Path) -> None:
    report = compare("flash_mnist/attention_cluster", [1, 5])
    assert str(report) == "6 of 6 checks passed, 1 backends"
    report.to_csv(tmp_path / "parity.csv")
    rows = read_csv(tmp_path / "parity.csv")
    assert [row["passed"] for row in rows] == ["True"] * 6 + ["missing"]
    assert rows[0]["spec_hash"] == report.cases[0].spec.hash
    assert rows[0]["check_level"] == "outputs"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backends": ["cntk"]}, "there is no backend 'cntk'"),
        ({"levels": [8]}, "there is no level 8; the levels are 1, 2, 3, 4, 5, 6, 7"),
        ({"mutant": "transposed_weigth"}, "transposed_weight"),
        ({"models": "no such model"}, "no model matches"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_parity(**{"models": MODEL, "backends": ["numpy"], "levels": [1], **wrong})


def test_a_row_carries_its_device_and_every_job_computes_there() -> None:
    participants = Participants(find_backend("numpy"), ["numpy@GPU:0"], {})
    rows = comparison.compare_backends(
        cases("layers/attention_over_units"), participants, [1, 2, 3, 4, 5], wrap=with_gpu
    )
    assert {(row.backend, row.device) for row in rows} == {("numpy", "GPU:0")}
    assert [row.level for row in rows if not row.passed] == [5]
    assert "made and run on the CPU" in rows[-1].missing
    assert list_failures([replace(rows[0], measured=1.0)])[0].startswith("numpy@GPU:0: layers/attention_over_units")


def test_a_device_is_here_or_the_error_says_what_is() -> None:
    for chosen in ({"device": "GPU"}, {"backends": ["numpy@GPU"]}):
        with pytest.raises(MissingError, match="device 'GPU' was asked for, and is not here"):
            check_parity(**{"models": MODEL, "backends": ["numpy"], "levels": [1], **chosen})
    with pytest.raises(SpecError, match="there is no device 'G P U'"):
        check_parity(MODEL, backends=["numpy@G P U"], levels=[1])


def test_onnx_has_no_part_in_other_levels() -> None:
    with pytest.raises(MissingError, match="has no part in level"):
        check_parity(MODEL, backends=["numpy", "onnx"], levels=[1])


def test_differences() -> None:
    array = np.array([1.0, -4.0])
    assert difference(array + np.array([0, 4e-3]), array) == pytest.approx(1e-3)
    assert difference(None, array) == difference(array[:1], array) == difference(array * np.nan, array) == float("inf")
    assert difference(array, array * np.nan) == float("inf")
    assert not Row("m", "b", 1, "c", "float32", float("inf"), float("inf")).within
    assert not Row("m", "b", 1, "c", "float32", *worst({}, {}, 1.0)).within, "nothing compared is never passed"
    assert worst({"a": array, "b": array + 1}, {"a": array, "b": array, "c": array}, 1e-3)[2] == "b"


def test_the_command(acz: Callable[..., Answer]) -> None:
    good = acz("parity-check", "flash_mnist/attention_cluster", "--backends", "numpy", "--level", 1)
    assert good.code == 0, good.err
    assert "1 outputs" in good.out
    bad = acz("parity-check", MODEL, "--backends", "numpy", "--level", 1, "--mutant", "permuted_batch")
    assert bad.code == 1
    assert "first at" in bad.err
    assert acz("parity-check", "flash_mnist/attention_clustr").code == 2
    assert acz("parity-check", "--backends", "cntk").code == 2


def test_a_users_own_model_is_checked(acz: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((config_folder() / "flash_mnist/attention_cluster.yaml").read_text())
    answer = acz("parity-check", path, "--backends", "numpy,numpy", "--level", 1, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["passed"]
