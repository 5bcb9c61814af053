"""Every format from checkpoints of every framework, as typed after a run; and exporters with a mistake in them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from acz.backend.worker import Worker
from acz.exchange.artefacts.formats import ONNX, BackendMaker, find_format
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.making import write_unverified
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import verify
from acz.model.checkpoint import load_checkpoint
from acz.model.optimizer import Adam
from acz.model.precision import Precision
from acz.parity import jobs
from acz.parity.cases import cases
from acz.parity.levels.training import training_arguments
from acz.reference.samples import Case
from acz.training.latest import latest_run
from acz.zoo.catalog import config_names
from parity_tests.conftest import BACKENDS, FORMATS, require, require_format
from parity_tests.run_cases import SETTINGS, type_command
from tests.conftest import TINY, write_features

pytestmark = pytest.mark.slow

STEPS = 6
ZOO = [case for case in cases() if case.model in config_names()]
Runtimes = Callable[[str], Runtime]


@pytest.fixture(scope="module")
def runtimes() -> Iterator[Runtimes]:
    """One fresh process a format, which has loaded nothing of acz, for all artefacts."""
    with ExitStack() as stack:
        running: dict[str, Runtime] = {}

        def of(name: str) -> Runtime:
            if name not in running:
                running[name] = stack.enter_context(Runtime(name, find_format(name).scripts()[""]))
            return running[name]

        yield of


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case, Worker], Path]:
    """Checkpoints after a few steps of training, by model and backend; each is made once."""
    folder, made = tmp_path_factory.mktemp("trained"), {}

    def of(case: Case, worker: Worker) -> Path:
        key = f"{case.model.replace('/', '-')}-{worker.backend}"
        if key not in made:
            arguments, arrays = training_arguments(case, Adam(learning_rate=3e-3), False, Precision.FLOAT32, STEPS)
            path = folder / f"{key}.safetensors"
            worker.run(jobs.training, replace(arguments, steps_after_checkpoint=0, path=path), arrays)
            made[key] = path
        return made[key]

    return of


@pytest.fixture
def check_export(worker: Callable[[str], Worker], runtimes: Runtimes, tmp_path: Path) -> Callable[[Path, str], None]:
    def check(path: Path, name: str) -> None:
        checkpoint, chosen = load_checkpoint(path), FORMATS[name]
        made = tmp_path / f"artefact{chosen.suffix}"
        if isinstance(chosen, BackendMaker):
            arguments = ArtefactArguments(path, made, chosen.artefact.function)
            worker(chosen.participant).run(write_artefact, arguments)
        else:
            write_unverified(checkpoint, path, chosen, made)
        checks, about = verify(checkpoint.spec, checkpoint.parameters, made, runtimes(name), timed=False)
        assert {check.videos for check in checks} >= {1, 4, 7}
        assert not [check for check in checks if not check.passed]
        assert not [module for module in about["modules"] if module.startswith("acz")], "the runtime stands alone"

    return check


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_checkpoint_of_any_framework_goes_to_any_format(
    name: str,
    backend: str,
    worker: Callable[[str], Worker],
    trained: Callable[[Case, Worker], Path],
    check_export: Callable[[Path, str], None],
) -> None:
    require_format(name)
    check_export(trained(ZOO[0], worker(backend)), name)


@pytest.mark.parametrize("case", ZOO[1:], ids=lambda case: case.model)
def test_every_model_goes_to_a_format_of_another_framework(
    case: Case,
    worker: Callable[[str], Worker],
    trained: Callable[[Case, Worker], Path],
    check_export: Callable[[Path, str], None],
) -> None:
    """One format and one framework a model, in turn: level 5 of parity exports every model to every format."""
    number = ZOO.index(case)
    name = list(FORMATS)[number % len(FORMATS)]
    require_format(name)
    check_export(trained(case, worker(BACKENDS[number % len(BACKENDS)])), name)


@pytest.fixture(scope="module")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which somebody has just trained."""
    require("torch")
    folder = tmp_path_factory.mktemp("user")
    data = write_features(folder / "data", videos=64)
    answer = type_command("train", TINY, "--backend", "torch", "--data", data, *SETTINGS, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_export_is_typed_with_nothing_after_it(name: str, after_a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_format(name)
    answer = type_command("export", "--format", name, "--json", cwd=after_a_run)
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)[name]
    artefact = after_a_run / report["artefact"]
    assert artefact.exists()
    assert report["passed"]
    assert report["measured"] <= report["bound"]
    assert json.loads(artefact.with_name(f"{artefact.name}.report.json").read_text())["format"] == name
    monkeypatch.chdir(after_a_run)
    assert artefact.parent == after_a_run / latest_run() / "export"
    assert not [p for p in artefact.parent.iterdir() if p.name.startswith(".")]
    predicted = type_command(
        "infer", artefact, "--data", after_a_run / "data", "--out", f"{name}.jsonl", cwd=after_a_run
    )
    assert predicted.returncode == 0, predicted.stderr
    assert len((after_a_run / f"{name}.jsonl").read_text().splitlines()) == 64


DAMAGED = """
import sys
from pathlib import Path
from acz.exchange.artefacts.making import write_verified
from acz.exchange.artefacts.formats import formats
from acz.model.checkpoint import load_checkpoint
from acz.foundation.errors import CheckFailed
from acz.foundation.progress import show_progress
from acz.parity.mutants.outputs import transposed_weight
source, name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
try:
    with show_progress() as shown:
        write_verified(load_checkpoint(source), source, formats()[name], out, shown, wrap=transposed_weight)
except CheckFailed as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("name", [name for name in FORMATS if name != ONNX])
def test_a_damaged_exporter_is_refused(
    name: str, worker: Callable[[str], Worker], trained: Callable[[Case, Worker], Path], tmp_path: Path
) -> None:
    require_format(name)
    backend = FORMATS[name].participant
    source, out = trained(ZOO[0], worker(backend)), tmp_path / "out" / f"artefact{FORMATS[name].suffix}"
    words = [sys.executable, "-c", DAMAGED, str(source), name, str(out)]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert answer.returncode == 1, answer.stderr
    assert "not the function of" in answer.stdout
    assert list(out.parent.iterdir()) == [], "nothing is left"
