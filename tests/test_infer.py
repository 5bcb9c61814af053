"""`acz infer`: order, every example once, resuming after an interruption, labels, artefacts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from acz.api.exchange import export
from acz.data.folder import Split
from acz.data.vocabulary import read_labels
from acz.evaluation import inference
from acz.evaluation.inference import PredictionRequest, write_predictions
from acz.evaluation.metrics import top_classes
from acz.evaluation.predictor import Best, Predictor, select_best
from acz.exchange.artefacts.formats import format_of
from acz.exchange.artefacts.predictor import artefact_predictor
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, DataError
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.reference.execution import forward
from acz.reference.samples import Case
from acz.zoo.config import load_spec
from tests.conftest import TINY, Answer

SPEC = load_spec(TINY)
PARAMETERS = initial_parameters(SPEC, 0, np.dtype(np.float32))


def settings(kind: str = "jsonl", batch_size: int = 3) -> PredictionRequest:
    return PredictionRequest("model", "numpy", "data", "test", 2, "", kind, batch_size)  # type: ignore[arg-type]


def outputs(inputs: Mapping[str, Array]) -> Array:
    return forward(SPEC, PARAMETERS, inputs)["output"]


def predict(inputs: Mapping[str, Array], count: int) -> Best:
    return select_best(outputs(inputs), count)


@pytest.fixture
def wanted(features: Path) -> Array:
    """The outputs of the whole test split at once."""
    split = Split(features, "test")
    return outputs(split.take(np.arange(len(split)), ["features"]).inputs)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "tiny.safetensors", SPEC, PARAMETERS)
    return tmp_path / "tiny.safetensors"


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_every_example_once_and_in_order(features: Path, tmp_path: Path, wanted: Array, batch_size: int) -> None:
    for kind in ("jsonl", "npz"):
        count = write_predictions(
            Predictor(SPEC, predict), Split(features, "test"), tmp_path / kind, settings(kind, batch_size)
        )
        assert count == 64
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    with np.load(tmp_path / "npz") as file:
        assert file["ids"].tolist() == [line["id"] for line in lines] == [str(n) for n in range(64)]
        np.testing.assert_array_equal(file["labels"], top_classes(wanted, 2)[0])
        np.testing.assert_allclose(file["scores"], top_classes(wanted, 2)[1], rtol=1e-6)
        written = [[label["score"] for label in line["labels"]] for line in lines]
        np.testing.assert_array_equal(np.float32(written), file["scores"])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["jsonl", "npz"])
def test_an_interrupted_inference_goes_on_and_ends_the_same(
    features: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "STRETCH", 2)
    split, calls = Split(features, "test"), 0
    write_predictions(Predictor(SPEC, predict), split, tmp_path / "whole", settings(kind))

    def interrupted(inputs: Mapping[str, Array], count: int) -> Best:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return predict(inputs, count)

    with pytest.raises(KeyboardInterrupt):
        write_predictions(Predictor(SPEC, interrupted), split, tmp_path / "out", settings(kind))
    assert not (tmp_path / "out").exists(), "half a file never has the name"
    with pytest.raises(DataError, match=r"other settings \(batch_size was 3, is 4"):
        write_predictions(Predictor(SPEC, predict), split, tmp_path / "out", settings(kind, batch_size=4))
    calls = 100
    write_predictions(Predictor(SPEC, interrupted), split, tmp_path / "out", settings(kind))
    assert calls < 122, "what was finished is not done again"
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes() or kind == "npz"
    if kind == "npz":
        with np.load(tmp_path / "out") as resumed, np.load(tmp_path / "whole") as other:
            assert all(np.array_equal(resumed[name], other[name]) for name in other.files)


def test_an_output_that_is_not_finite_is_named(features: Path, tmp_path: Path) -> None:
    def broken(inputs: Mapping[str, Array], count: int) -> Best:
        scores = outputs(inputs)
        scores[1] = np.nan
        return select_best(scores, count)

    with pytest.raises(CheckFailed, match="example 1 "):
        write_predictions(Predictor(SPEC, broken), Split(features, "test"), tmp_path / "out", settings())


def test_ties_go_to_the_smaller_class() -> None:
    order, scores = top_classes(np.array([[0.5, 0.9, 0.5, 0.9]]), 3)
    assert order.tolist() == [[1, 3, 0]]
    assert scores.tolist() == [[0.9, 0.9, 0.5]]


def test_labels_are_read_by_line_and_by_index(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("cat\ndog\n")
    assert read_labels(tmp_path / "plain.txt") == ["cat", "dog"]
    (tmp_path / "vocabulary.csv").write_text('Index,Count,Name\n2,5,"Car, fast"\n0,7,Game\n')
    assert read_labels(tmp_path / "vocabulary.csv") == ["Game", "", "Car, fast"]
    for name, text in (("no.csv", "a,b\n1,2\n"), ("bad.csv", "Index,Name\n-1,x\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError):
            read_labels(tmp_path / name)


def test_the_command(acz: Callable[..., Answer], checkpoint: Path, features: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {n}" for n in range(6)))
    out = tmp_path / "p.jsonl"
    words = ("infer", checkpoint, "--data", features, "--out", out, "--backend", "numpy")
    answer = acz(*words, "--labels", names, "--top-k", 99, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["examples"] == 64
    first = json.loads(out.read_text().splitlines()[0])
    assert len(first["labels"]) == 6
    assert first["labels"][0]["name"] == f"class {first['labels'][0]['label']}"
    names.write_text("only one")
    assert "has 1 names, the model has 6 classes" in acz(*words, "--labels", names).err
    answer = acz("infer", checkpoint, "--data", features, "--out", tmp_path / "p.txt")
    assert "jsonl, npz, youtube8m-csv or segments-csv" in answer.err


@pytest.mark.parametrize("masks", ["uint8", "none"])
def test_an_artefact_of_other_masks_predicts_the_same_or_refuses_padding(
    masks: str, checkpoint: Path, tmp_path: Path
) -> None:
    artefact = export(checkpoint, out=tmp_path / "m.onnx", masks=masks).path
    batch = Case("masks", SPEC, "hinge").batch("padded")
    whole = {"features": np.where(batch.inputs["features.mask"][:, :, None], batch.inputs["features"], 0)}
    maker = format_of(artefact)
    assert maker is not None
    with artefact_predictor(maker, artefact, 1) as predictor:
        for inputs in (whole, batch.inputs):
            if masks == "none" and "features.mask" in inputs:
                with pytest.raises(DataError, match=r"takes no masks.*--masks bool or uint8"):
                    predictor.best(inputs, 2)
            else:
                np.testing.assert_allclose(predictor.best(inputs, 2).scores, predict(inputs, 2).scores, rtol=1e-5)


def test_an_artefact_predicts_what_its_checkpoint_predicts(
    acz: Callable[..., Answer], checkpoint: Path, features: Path, tmp_path: Path
) -> None:
    artefact = tmp_path / "m.onnx"
    assert acz("export", checkpoint, "--format", "onnx", "--out", artefact).code == 0
    scores = {}
    for model, more in ((checkpoint, ("--backend", "numpy")), (artefact, ())):
        out = tmp_path / f"{model.suffix[1:]}.npz"
        answer = acz("infer", model, *more, "--data", features, "--out", out)
        assert answer.code == 0, answer.err
        with np.load(out) as arrays:
            scores[model] = {name: arrays[name] for name in arrays.files}
    first, other = scores.values()
    np.testing.assert_array_equal(first["labels"], other["labels"])
    np.testing.assert_allclose(first["scores"], other["scores"], rtol=1e-5)
    assert "leave out --backend" in acz("infer", artefact, "--backend", "torch", "--data", features).err
