"""TensorBoard events: the same numbers as metrics.jsonl, whenever a run is killed and resumed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.api.runs import new_run, resumed_run
from acz.foundation.errors import Interrupted
from acz.foundation.files.tfrecord import read_records
from acz.reference import numpy_backend
from acz.training.log import Log, read_log
from acz.training.loop import train
from acz.training.tensorboard import TAGS
from acz.zoo.config import load_config
from tests.conftest import TINY, write_several_labels

SETTINGS = {"train.epochs": 3, "train.batch_size": 16, "train.checkpoint_steps": 3}


def scalars(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Steps and values of the events, read with tensorboardX's own messages."""
    from tensorboardX.proto.event_pb2 import Event

    [path] = (folder / "tensorboard").iterdir()
    events = [Event.FromString(message) for message in read_records(path)]
    assert events[0].file_version == "brain.Event:2"
    assert events[1].session_log.status == 1  # START: a TensorBoard that is watching forgets what came before
    times = [event.wall_time for event in events[2:]]
    assert times == sorted(times)
    return [(event.step, {value.tag: value.simple_value for value in event.summary.value}) for event in events[2:]]


def wanted(folder: Path) -> list[tuple[int, dict[str, float]]]:
    def of(line: dict[str, Any]) -> dict[str, float]:
        return {tag: float(np.float32(line[key])) for key, tag in TAGS[line["kind"]].items() if key in line}

    return [(line["step"], of(line)) for line in read_log(folder / "metrics.jsonl")]


@pytest.mark.parametrize("step", [2, 8])
def test_events_equal_the_metrics_also_after_a_resume(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    original, count = numpy_backend.training_step, 0

    def counted(*arguments: Any) -> object:
        nonlocal count
        count += 1
        if count == step:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(numpy_backend, "training_step", counted)
    run = new_run(load_config(TINY, SETTINGS), "numpy", "CPU", features, tmp_path / "run", 1)
    with pytest.raises(Interrupted):
        train(run)
    train(resumed_run(tmp_path / "run"))
    events = scalars(tmp_path / "run")
    assert events == wanted(tmp_path / "run")
    assert [step for step, values in events if "evaluation/top5" in values] == [4, 8, 12]


def lines(steps: range) -> list[dict[str, Any]]:
    keys = ("loss", "top1", "learning_rate", "videos_per_second")
    return [{"kind": "train", "step": step, **dict.fromkeys(keys, step / 8)} for step in steps]


@pytest.mark.parametrize("cut", [1, 7, 40, 130])
def test_what_a_kill_cut_off_or_made_in_vain_is_taken_back(tmp_path: Path, cut: int) -> None:
    log = Log(tmp_path / "metrics.jsonl", 0)
    for line in lines(range(1, 6)):
        log.write(line)
    log.close()
    [path] = (tmp_path / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    log = Log(tmp_path / "metrics.jsonl", 3)
    log.write(lines(range(4, 5))[0] | {"loss": 9.0})
    log.close()
    events = scalars(tmp_path)
    assert events == wanted(tmp_path)
    assert [step for step, _ in events] == [1, 2, 3, 4]
    assert events[-1][1]["train/loss"] == 9.0


def test_a_resumed_run_keeps_when_its_lines_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboardX.proto.event_pb2 import Event

    from acz.training import tensorboard as events

    monkeypatch.setattr(events.time, "time", lambda: 1000.0)
    log = Log(tmp_path / "metrics.jsonl", 0)
    log.write(lines(range(1, 2))[0])
    log.close()
    monkeypatch.setattr(events.time, "time", lambda: 2000.0)
    Log(tmp_path / "metrics.jsonl", 1).close()
    [path] = (tmp_path / "tensorboard").iterdir()
    assert [Event.FromString(message).wall_time for message in read_records(path)] == [2000.0, 2000.0, 1000.0]


def test_writing_events_imports_no_framework_and_starts_no_thread(tmp_path: Path) -> None:
    """tensorboardX imports torch where it is installed, and two frameworks in one process crash."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')\n")
    code = (
        "import sys, threading; from pathlib import Path; from acz.training.log import Log\n"
        f"log = Log(Path({str(tmp_path / 'run' / 'metrics.jsonl')!r}), 0)\n"
        f"log.write({lines(range(1, 2))[0]!r}); log.sync(); log.close()\n"
        "assert threading.active_count() == 1\n"
        "try: import torch\nexcept SystemExit: print('torch can be imported afterwards')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path)}
    )
    assert answer.stdout == "torch can be imported afterwards\n", answer.stderr


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    """A file-size limit takes the place of the disk: writing past it fails as on a full disk."""
    code = (
        "import resource, signal, sys; from contextlib import suppress; from pathlib import Path\n"
        "from acz.training.tensorboard import Events\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"events = Events(Path({str(tmp_path)!r}), [])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        f"for line in {lines(range(1, 20))!r}:\n"
        "    try: events.write(line)\n"
        "    except OSError as error:\n"
        "        with suppress(OSError): events.close()\n"
        "        sys.exit(error.strerror)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stderr.strip() == "File too large"


def test_videos_of_several_labels_have_more_scalars(tmp_path: Path) -> None:
    data = write_several_labels(tmp_path / "data")
    config = load_config(TINY, {"model.output": "sigmoid", "train.epochs": 2, "train.batch_size": 20})
    train(new_run(config, "numpy", "CPU", data, tmp_path / "run", 1))
    events = scalars(tmp_path / "run")
    assert events == wanted(tmp_path / "run")
    figures = {f"evaluation/{name}" for name in ("gap", "hit_at_1", "perr", "map")}
    assert sum(figures <= set(values) for _, values in events) == 2
