"""Sweeps: the file, the names of trials, refusals, and the results of trials that run in this process."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from acz.api.studies import report_on_trials
from acz.api.sweeps import prepare_sweep
from acz.cli.options import given_overrides
from acz.foundation.errors import CheckpointError, MissingError, SpecError
from acz.foundation.files.tables import read_csv
from acz.foundation.installation import install_command
from acz.foundation.progress import Progress
from acz.model.checkpoint import load_checkpoint, read_state
from acz.studies.sweeps import run
from acz.studies.sweeps.cluster import run_on_ray
from acz.studies.sweeps.file import Trial, expand, find_sweep, read_sweep
from acz.studies.sweeps.results import finished, write_results
from acz.studies.sweeps.trial import Job, Outcome, Outcomes, run_trial
from acz.zoo.catalog import config_names
from tests.conftest import TINY, Answer, write_features
from tests.youtube8m_cases import write_shards

UNITS = "model.streams.features.layers.attention.units"
COMMON = f"config: {TINY}\nbackend: numpy\nset: {{train.epochs: 1, train.batch_size: 16}}\n"


def trials(tmp_path: Path, text: str, **fixed: object) -> list[Trial]:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return expand(read_sweep(path), tmp_path, lambda name: name or "numpy", fixed)


def test_a_grid_is_a_product_and_each_trial_is_at_every_point(tmp_path: Path) -> None:
    expanded = trials(
        tmp_path,
        COMMON
        + f"grid: {{{UNITS}: [1, 2], backend: [numpy, torch]}}\n"
        + "trials:\n- {name: slow, set: {train.optimizer.learning_rate: 1e-3}}\n- {set: {train.epochs: 3}}\n",
    )
    assert [trial.name for trial in expanded] == [
        *("slow,units=1,numpy", "slow,units=1,torch", "slow,units=2,numpy", "slow,units=2,torch"),
        *("epochs=3,units=1,numpy", "epochs=3,units=1,torch", "epochs=3,units=2,numpy", "epochs=3,units=2,torch"),
    ]
    assert [trial.config.recipe.epochs for trial in expanded] == [1] * 4 + [3] * 4
    assert expanded[1].backend == "torch"
    assert expanded[0].config.recipe.optimizer.learning_rate == 1e-3
    assert expanded[2].config.spec.hash != expanded[0].config.spec.hash


def test_names_hold_as_much_of_a_path_as_tells_it_from_the_others(tmp_path: Path) -> None:
    rgb, audio = (f"model.streams.{name}.layers.attention.units" for name in ("rgb", "audio"))
    text = f"config: youtube8m/attention_cluster:tiny\ngrid: {{{rgb}: [1], {audio}: [2], train.schedule: [{{type: one_cycle}}]}}"
    (trial,) = trials(tmp_path, text)
    assert trial.name == "rgb.layers.attention.units=1,audio.layers.attention.units=2,schedule=type-one_cycle"


def test_an_override_inside_another_does_not_reach_the_other_trials(tmp_path: Path) -> None:
    text = (
        COMMON.replace("set: {", "set: {train.schedule: {type: exponential}, ")
        + "grid: {train.schedule.factor: [0.5, 0.6]}"
    )
    assert [trial.config.recipe.schedule.factor for trial in trials(tmp_path, text)] == [0.5, 0.6]
    assert [trial.overrides["train.schedule"] for trial in trials(tmp_path, text)] == [{"type": "exponential"}] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (COMMON, "needs 'grid', 'trials' or both"),
        (COMMON + "gird: {}", "sweep.yaml.gird: unknown key; did you mean 'grid'"),
        (COMMON + "trials: [{nam: a}]", "trials.0.nam: unknown key; did you mean 'name'"),
        (COMMON + f"grid: {{{UNITS}: 3}}", "must be a list of values, got 3"),
        (COMMON + f"grid: {{{UNITS}: []}}", r"must be a list of values, got \[\]"),
        (COMMON + "grid: {trian.epochs: [1]}", "grid.trian.epochs: unknown key; did you mean"),
        (COMMON + f"grid: {{{UNITS}s: [1]}}", "trial unitss=1: .*did you mean 'units'"),
        (COMMON + f"grid: {{{UNITS}: [1, -1]}}", "trial units=-1: .*units"),
        (COMMON + f"grid: {{{UNITS}: [1, 1]}}", "two trials have the name 'units=1'"),
        (COMMON + "trials: [{name: a}, {name: A}]", "two trials have the name 'A'"),
        (COMMON + "trials: [{name: a}, {name: b}]", "'a' and 'b' have the same settings"),
        (COMMON + "trials: [{name: ../a}]", "a trial names a folder"),
        (COMMON + "trials: [{}]", "must have a name, or set something"),
        (COMMON + "grid: {train.seed: [1]}\ntrials: [{set: {train.seed: 2}}]", "set by a trial and by the grid"),
        (COMMON + "grid: {backend: [numpy]}\ntrials: [{backend: torch}]", "chosen by a trial and by the grid"),
        (COMMON + f"grid: {{train.seed: {list(range(1001))}}}", "more than 1,000 trials"),
        (COMMON + "trials: [{config: flash_mnist/atention_cluster}]", "did you mean 'flash_mnist/attention_cluster'"),
        ("grid: {train.seed: [1]}", "'config' must name a model"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_file_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        trials(tmp_path, text)


def test_set_changes_what_does_not_vary(tmp_path: Path) -> None:
    text = COMMON + "grid: {train.optimizer.learning_rate: [1, 2]}"
    assert trials(tmp_path, text, **{"train.epochs": 7})[0].config.recipe.epochs == 7
    with pytest.raises(SpecError, match=r"--set train.optimizer: the grid sets train.optimizer.learning_rate"):
        trials(tmp_path, text, **{"train.optimizer": {}})


def test_a_configuration_beside_the_sweep_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "model: {inputs: {x: {frames: 2, features: 3}}, streams: {x: {input: x, layers: {mean: {type: frame_pool, pooling: mean}}}},"
        " trunk: {logits: {type: dense, units: 2}}, output: softmax}"
    )
    (trial,) = trials(tmp_path, "config: mine.yaml\ngrid: {model.trunk.logits.units: [4]}")
    assert trial.base == str(tmp_path / "mine.yaml")


def test_the_table_of_flash_mnist(acz: Callable[..., Answer]) -> None:
    assert not [name for name in config_names() if name.startswith("experiments")]
    path = find_sweep("experiments/flash_mnist_table")
    assert path == find_sweep("flash_mnist_table")
    expanded = expand(read_sweep(path), path.parent, lambda name: "numpy")
    assert len(expanded) == 16
    assert {trial.config.recipe.epochs for trial in expanded} == {200}
    by_name = {trial.name: trial for trial in expanded}
    assert by_name["fc1-units2"].published == {"ascend_910": 65.8, "rtx_3090": 19.4}
    assert by_name["fc2-units128"].published == {"ascend_910": 87.4, "rtx_3090": 88.3}
    assert by_name["fc2-units64"].config.spec.parameter_count == 3_292_736
    missing = acz("sweep", "flash_mnist_tabel", "--dry-run")
    assert missing.code == 2
    assert "did you mean 'flash_mnist_table'" in missing.err


def run_in_this_process(acz: Callable[..., Answer], jobs: Sequence[Job], shown: Progress) -> Outcomes:
    """An engine: each job's command, typed here."""
    for job in jobs:
        answer = acz(*job.start)
        yield Outcome(job.name, answer.err if answer.code else "")


@pytest.mark.slow
def test_results_say_what_varies_and_what_came_of_it(
    acz: Callable[..., Answer], features: Path, tmp_path: Path
) -> None:
    text = COMMON + f"grid: {{{UNITS}: [1, 2]}}\ntrials: [{{name: a, published: {{paper: 0.5}}}}]"
    out = tmp_path / "out"

    def again(text: str, threads: int = 1, data: Path = features) -> run.SweepResults:
        plans = run.plan_trials(trials(tmp_path, text), out, data, threads)
        engine, shown = partial(run_in_this_process, acz), Progress()
        prepare, write_page = partial(prepare_sweep, plans, out, threads), partial(report_on_trials, threads, shown)
        return run.run_sweep("six", plans, out, engine, prepare, write_page, shown)

    done = again(text)
    rows = read_csv(out / "sweep.csv")
    assert [row["trial"] for row in rows] == ["a,units=1", "a,units=2"]
    assert [row[UNITS] for row in rows] == ["1", "2"]
    for row in rows:
        folder = out / "trials" / row["trial"]
        last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][-1]
        assert float(row["best_loss"]) == float(row["last_loss"]) == last["loss"]
        assert int(row["bytes"]) == (folder / "best.safetensors").stat().st_size
        assert row["published.paper"] == "0.5"
        assert row["status"] == "done"
    assert not any("second" in name for name in rows[0])
    assert float(read_csv(out / "times.csv")[0]["step_ms"]) > 0
    page = (out / "report.html").read_text()
    assert page.index('id="sweep"') < page.index('id="runs"')
    assert done.failed == {}

    first = (out / "sweep.csv").read_bytes()
    assert again(text) == done, "nothing is run again: the folders would be refused"
    assert (out / "sweep.csv").read_bytes() == first
    with pytest.raises(SpecError, match=r"a,units=1 \(train.epochs was 1, is 2\); a,units=2 .*remove their folders"):
        again(text.replace("epochs: 1", "epochs: 2"))
    with pytest.raises(SpecError, match=r"threads was 1, is 2"):
        again(text, threads=2)
    with pytest.raises(SpecError, match=r"data was"):
        again(text, data=write_features(tmp_path / "other", seed=1))

    last = out / "trials/a,units=1/last.safetensors"
    assert finished(last.parent)
    assert read_state(last) == load_checkpoint(last).state
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    assert not finished(last.parent)
    last.unlink()
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read_state(last)


def test_a_value_that_is_the_default_is_in_the_results(tmp_path: Path) -> None:
    text = "config: youtube8m/attention_cluster:tiny\ngrid: {data.reading.shuffle_buffer: [4096, 100]}"
    rows = write_results(tmp_path, trials(tmp_path, text), {})
    assert [row["data.reading.shuffle_buffer"] for row in rows] == [4096, 100]


@pytest.mark.parametrize(
    "value", ["a\nb: c\n", "1e3", "\u2028\x85é😀", {"a\n": ["x\ny", None, 1e-3, True]}, [], 7, 1e-2]
)
def test_a_value_comes_to_its_trial_on_one_line(value: object) -> None:
    text = run._yaml(value)
    assert text.splitlines() == [text]
    assert given_overrides([f"train.x={text}"]) == {"train.x": value}


def test_a_dry_run_lists_trials_and_leaves_nothing(
    acz: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.yaml").write_text(COMMON + f"grid: {{{UNITS}: [1, 2]}}")
    shown = acz("sweep", "two.yaml", "--dry-run", "--json", "--set", "train.epochs=3")
    assert shown.code == 0, shown.err
    assert [entry["trial"] for entry in json.loads(shown.out)] == ["units=1", "units=2"]
    assert "train.epochs=3" in json.loads(shown.out)[0]["command"]
    assert "data/flash-digits: no data are there yet, so 2 of 2 trials are not checked with it" in shown.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.yaml"]

    def refused(code: int, words: str, *typed: str) -> None:
        answer = acz("sweep", "two.yaml", *typed)
        assert answer.code == code
        assert words in answer.err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["two.yaml"]

    refused(2, "holds no finished data set")
    refused(2, "holds no finished data set", "--out", "new/and/deep")
    refused(2, "there is no engine 'rya'; did you mean 'ray'", "--engine", "rya")
    refused(2, "are Ray's; add --engine ray", "--address", "auto")
    refused(2, "--resources CPU=N says how many", "--engine", "ray", "--jobs", "2")
    refused(2, "--resources needs NAME=N, got 'GPU'", "--engine", "ray", "--resources", "GPU")
    refused(2, "there is no device 'GPU:'", "--device", "GPU:")


@pytest.mark.parametrize("data", ["shards", "shards/*.tfrecord"])
def test_a_dry_run_refuses_a_trial_that_cannot_read_its_data(
    acz: Callable[..., Answer], data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny variant reads 4 features a frame, and the shards have 1,024."""
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path / "shards", [3])
    write_shards(tmp_path / "shards", [3], split="validate")
    units = "model.streams.rgb.layers.attention.units"
    text = f"config: youtube8m/attention_cluster:SIZE\nbackend: numpy\ngrid: {{{units}: [1, 2]}}\n"
    Path("tiny.yaml").write_text(text.replace("SIZE", "tiny"))
    refused = acz("sweep", "tiny.yaml", "--data", data, "--dry-run")
    assert refused.code == 2
    assert f"trial units=1: {data}: 'rgb' has 1024 features a frame" in refused.err
    Path("small.yaml").write_text(text.replace("SIZE", "small"))
    whole = acz("sweep", "small.yaml", "--data", data, "--dry-run", "--set", "model.trunk.logits.units=3862")
    assert (whole.code, whole.out.count("units=")) == (0, 2), whole.err
    assert "not checked" not in whole.err


def test_last_words_are_those_of_this_start(tmp_path: Path) -> None:
    words = ("train", TINY, "--backend", "numpy", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run"))
    log = tmp_path / "trial.log"
    log.write_text("acz: of the start before\n")
    outcome = run_trial(Job("trial", str(tmp_path / "run"), str(log), words, words))
    assert outcome.words.startswith(f"{tmp_path / 'none'} holds no finished data set")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(MissingError, match=re.escape(install_command("acz[ray]"))):
        next(run_on_ray(None, {"CPU": 1.0}, 3, [], Progress()))


@pytest.mark.slow  # needs Ray, which the environment of the quick part is without
@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("127.0.0.1:1", MissingError, "no Ray cluster answers at 127.0.0.1:1: Connection refused"),
        ("nowhere", SpecError, "must be HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_one_clear_error(address: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        next(run_on_ray(address, {"CPU": 1.0}, 3, [], Progress()))
