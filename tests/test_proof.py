"""A model of one's own beside the reference: the proof of its weights, and records for other machines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from acz.api.parity import ParityReport, check_parity, check_record, record_parity, show_proofs, verify_proof
from acz.data.registry import open_split
from acz.foundation.errors import CheckFailed, DataError, SpecError
from acz.foundation.progress import Progress
from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.model.parameters import initial_parameters
from acz.model.proof import read_proof
from acz.parity.cases import cases
from acz.parity.proof.directions import along, directions, signs
from acz.parity.proof.proving import in_words
from acz.parity.proof.record import read_record
from acz.parity.proof.reference import KEPT, Pass, stride
from acz.parity.proof.subject import Subject, batch_of, batches_of, drawn_batch
from acz.reference.derivatives import gradient
from acz.reference.samples import Case
from acz.zoo.config import load_spec
from fuzz.proofs import seal as sealed
from tests.conftest import TINY, Answer, write_features

pytestmark = pytest.mark.slow  # each trains and proves a model

SILENT = Progress()


class Lines(Progress):
    """Keeps the lines that stay on the screen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("data"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    spec = load_spec(TINY)
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, spec, initial_parameters(spec, 3))
    return path


def prove(target: Path, data: Path | None = None, **given: Any) -> ParityReport:
    """The reference beside itself, or beside a mutant of itself."""
    return check_parity(target, backends=["numpy"], data=data, progress=given.pop("progress", SILENT), **given)


def change_one_bit(path: Path, copy: Path) -> None:
    """Save a checkpoint with the last bit of one weight changed."""
    stored = load_checkpoint(path)
    name = next(iter(stored.parameters))
    value = stored.parameters[name].copy()
    value.reshape(-1).view(np.uint32)[0] ^= 1
    save_checkpoint(copy, stored.spec, stored.parameters | {name: value})


def test_a_checkpoint_is_proved_on_its_data_and_the_proof_belongs_to_its_bits(checkpoint: Path, data: Path) -> None:
    said = Lines()
    report = prove(checkpoint, data, videos=40, progress=said)
    assert report.passed, report.failures
    assert re.fullmatch(r"best: 99 parameters, 40 videos; takes about .+ and 0\.\d GB of memory", said.lines[0])
    assert {(row.level, row.precision) for row in report.rows} == {
        *((level, precision) for level in (1, 2) for precision in ("float64", "float32")),
        (3, "float32"),
    }
    assert {row.check for row in report.rows if row.level == 2} >= {
        "loss, data, evaluation",
        "directions, part, training",
        "directions, hostile, training",
    }
    assert report.proof == checkpoint.with_name("proof.json")
    proof = verify_proof(report.proof, checkpoint)
    assert proof.passed
    assert proof.videos == {"data": 40, "part": 32, "hostile": 8}
    assert len(proof.checks) == len(report.rows)
    assert proof.data
    assert "numpy=" in proof.environment["versions"]
    change_one_bit(checkpoint, checkpoint)
    with pytest.raises(CheckFailed, match=r"is of other weights than .*; 'acz parity-check .*' makes a new proof"):
        verify_proof(report.proof, checkpoint)


@pytest.mark.parametrize(
    ("mutant", "check", "where"),
    [
        ("changed_weight", "outputs, data, evaluation", "trunk.logits"),
        ("wrong_gradient", "directions, part, training", "features.attention.score.weight"),
        ("missing_unit_scale", "outputs, hostile, training", "features.attention"),
    ],
)
def test_the_first_layer_or_parameter_that_is_wrong_is_named(
    checkpoint: Path, data: Path, mutant: str, check: str, where: str
) -> None:
    report = prove(checkpoint, data, videos=40, mutant=mutant)
    assert not report.passed
    failed = {(row.check, row.where) for row in report.rows if row.failed and row.precision == "float64"}
    assert (check, where) in failed
    assert not [row for row in report.rows if row.problem]
    assert [row.missing for row in report.rows if row.level == 3] == [
        "no backend has right gradients in float64, which the reference's training takes"
    ], "the reference takes no gradients of a backend that failed"
    assert report.proof is None
    assert not checkpoint.with_name("proof.json").exists()


def test_a_wrong_optimiser_is_noticed_in_ten_steps(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    spec = load_spec(TINY).to_dict()
    recipe = {"optimizer": {"learning_rate": 1e-3, "weight_decay": 1e-3}}
    config.write_text(json.dumps({"model": spec, "train": recipe}))
    right, wrong = (prove(config, data, videos=8, mutant=mutant) for mutant in (None, "other_weight_decay"))
    assert right.passed, right.failures
    assert {row.check for row in wrong.rows if row.failed} >= {"parameters after 10 steps"}


def test_drawn_numbers_take_the_place_of_data(checkpoint: Path) -> None:
    said = Lines()
    assert prove(checkpoint, videos=3, progress=said).passed
    assert "3 videos of drawn numbers" in said.lines[0]
    assert read_proof(checkpoint.with_name("proof.json")).data == ""


@pytest.mark.parametrize("model", ["layers/batch_norm", "layers/bags_of_frames", "layers/moments", "layers/frozen"])
def test_parts_and_directions_give_what_the_whole_and_all_gradients_give(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases(model)[0]
    batch = drawn_batch(case.spec, case.loss, 5)
    for training in (False, True):
        whole = Pass(case.spec, case.parameters, batch, training, case.loss)
        monkeypatch.setattr("acz.parity.proof.reference.PART", 2)
        parts = Pass(case.spec, case.parameters, batch, training, case.loss)
        monkeypatch.undo()
        for name, value in whole.values.items():
            np.testing.assert_allclose(parts.values[name], value, rtol=1e-12, atol=1e-12)
    inputs = {
        key: value.astype(np.float64) if value.dtype.kind == "f" else value for key, value in batch.inputs.items()
    }
    exact = gradient(
        case.spec, case.parameters, inputs, batch.labels, case.loss, case.spec.trained, batch.dropout, True
    )
    for name, paths in directions(case.spec).items():
        size = max(1.0, *(float(np.abs(exact[path]).sum()) for path in paths))
        assert parts.derivative(name, paths) == pytest.approx(along(name, paths, exact), abs=1e-10 * size)


def test_a_direction_is_the_same_everywhere_and_every_column_of_a_large_value_is_compared() -> None:
    assert signs("a.weight", "a.weight", (2, 3)).tolist() == [[1, -1, 1], [1, 1, -1]]
    for shape in ((256, 100, 1024), (300, 36864), (7, 3), (4096, 512, 6)):
        numbers = np.arange(0, np.prod(shape), stride(shape))
        assert len(numbers) <= KEPT
        assert len(np.unique(numbers % shape[-1])) == shape[-1]


def test_memory_is_said_before_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("m", load_spec(TINY), "softmax_cross_entropy")
    batches = batches_of(case.spec, drawn_batch(case.spec, case.loss, 4))
    subject = Subject("m", case.spec, case.parameters, case.loss, batches)
    monkeypatch.setattr("acz.parity.proof.proving.free_bytes", lambda: 1000)
    assert in_words(subject, 1).endswith("that is more than is free: take fewer --videos")


def test_a_checkpoint_of_data_without_labels_gets_drawn_ones(data: Path) -> None:
    spec = load_spec(TINY)
    examples = next(open_split(data, "test").in_order(4, ["features"]))
    examples.labels = np.zeros((4, 0), np.uint8)
    assert batch_of(spec, "softmax_cross_entropy", examples).labels.shape == (4,)


def test_a_record_is_checked_elsewhere_without_the_reference(tmp_path: Path) -> None:
    record = record_parity("flash_mnist/attention_cluster", tmp_path / "model.acz", progress=SILENT)
    assert record.stat().st_size < 100_000
    away = tmp_path / "away"
    away.mkdir()
    code = (
        "import sys, acz.parity.proof.making as m; m.Pass = m.make_record = None\n"
        "from acz.api.parity import check_record; check_record(sys.argv[1], backends=['numpy'], out=sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", code, str(record), str(away / "other.json")], check=True, cwd=away)
    here = check_record(record, backends=["numpy"], out=tmp_path / "here.json", progress=SILENT)
    both = show_proofs([tmp_path / "here.json", away / "other.json"])
    assert both.passed
    assert len(both.proofs) == 2
    assert len(both.table()) == 2 * len(here.table()) == 8
    assert here.proofs[0] == both.proofs[1]


def _tampered(record: Path, change: Callable[[dict[str, Any], dict[str, str]], None], seal: bool) -> Path:
    """A copy of a record with something changed, and with `seal` a hash that fits."""

    arrays: dict[str, Any] = load_file(record)
    with safe_open(record, framework="numpy") as file:
        metadata = dict(file.metadata())
    change(arrays, metadata)
    copy = record.with_name("tampered")
    save_file(arrays, copy, metadata)
    if seal:
        copy.write_bytes(sealed(copy.read_bytes()))
    return copy


def _weight(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays["parameters/trunk.logits.bias"] = arrays["parameters/trunk.logits.bias"] + np.float32(1e-3)


def _bound(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    manifest = json.loads(metadata["manifest"])
    manifest["runs"][0]["loss"]["bound"] = 1.0
    metadata["manifest"] = json.dumps(manifest)


def _answer(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    del arrays["answers/data, training/output"]


def _infinite(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays["data/inputs/features"] = arrays["data/inputs/features"] * np.float32(np.inf)


def _class(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays["data/labels"] = arrays["data/labels"] + 6


def _extra(arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays["more"] = np.zeros(3)


@pytest.mark.parametrize(
    ("change", "seal", "message"),
    [
        (_weight, False, "it was damaged or changed"),
        (_bound, False, "it was damaged or changed"),
        (_weight, True, "the weights are not those of its manifest"),
        (_answer, True, "has not the numbers of its value"),
        (_infinite, True, "is not finite"),
        (_class, True, "has classes that the model does not have"),
        (_extra, True, "'more' is not an array of a record"),
    ],
)
def test_a_tampered_record_is_refused(tmp_path: Path, change: Any, seal: bool, message: str) -> None:
    record = record_parity("flash_mnist/attention_cluster", tmp_path / "record", videos=None, progress=SILENT)
    read_record(record)
    with pytest.raises(DataError, match=message):
        check_record(_tampered(record, change, seal), backends=["numpy"], progress=SILENT)


def test_what_is_not_possible_is_said(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(SpecError, match="'numpy' is the reference itself"):
        prove(Path("flash_mnist/attention_cluster"), videos=2)
    with pytest.raises(SpecError, match=r"means .* models; a record is of one"):
        record_parity("flash_mnist/*", tmp_path / "r", progress=SILENT)
    with pytest.raises(DataError, match=r"'acz parity-check MODEL --record .*' writes one"):
        check_record(tmp_path / "missing", backends=["numpy"])
    with pytest.raises(DataError, match="not a record of format 1"):
        check_record(checkpoint, backends=["numpy"])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="not a proof of 'acz parity-check'"):
        show_proofs([tmp_path / "a.json"])


def test_the_commands(acz: Callable[..., Answer], checkpoint: Path, tmp_path: Path) -> None:
    shown = acz("parity-check", checkpoint, "--backends", "numpy", "--videos", 4)
    assert shown.code == 0, shown.err
    assert "3 training" in shown.out
    assert "proof.json: the proof, with every check" in shown.out
    assert "4 videos of drawn numbers; takes about" in shown.err
    proof = checkpoint.with_name("proof.json")
    assert "checks on numpy passed" in acz("verify-proof", proof, checkpoint).out
    change_one_bit(checkpoint, tmp_path / "other.safetensors")
    refused = acz("verify-proof", proof, tmp_path / "other.safetensors")
    assert (refused.code, refused.out) == (1, "")
    record, out = tmp_path / "r", tmp_path / "x.json"
    assert acz("parity-check", checkpoint, "--record", record).code == 0
    against = acz("parity-check", "--against", record, "--backend", "numpy", "--out", out)
    assert against.code == 0, against.err
    table = acz("parity-check", "--show", proof, out)
    assert table.code == 0, table.err
    assert "x.json" in table.out
    assert json.loads(acz("parity-check", "--show", proof, "--json").out)["passed"] is True
    assert acz("parity-check", checkpoint, "--record", record, "--against", record).code == 2
    assert acz("parity-check", checkpoint, "--out", out).code == 2
    assert acz("parity-check", "a", "b").code == 2
    assert acz("parity-check", "--show").code == 2
