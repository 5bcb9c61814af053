"""`acz export` around the formats: proof before a file is kept, reports, replacing, refusing.

ONNX is the example of all six.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend.signature import Form, ports
from acz.exchange.artefacts import formats
from acz.exchange.artefacts.making import artefact_name
from acz.exchange.artefacts.onnx import writer as onnx_writer
from acz.foundation.errors import SpecError
from acz.foundation.installation import install_command
from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.zoo.catalog import config_names
from acz.zoo.config import load_spec
from tests.conftest import TINY, Answer


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    spec = load_spec(TINY)
    save_checkpoint(tmp_path / "tiny.safetensors", spec, initial_parameters(spec, 0, np.dtype(np.float32)))
    return tmp_path / "tiny.safetensors"


def test_an_artefact_is_proved_and_reported(acz: Callable[..., Answer], checkpoint: Path, tmp_path: Path) -> None:
    answer = acz("export", checkpoint, "--format", "onnx", "--json")
    assert answer.code == 0, answer.err
    shown = json.loads(answer.out)["onnx"]
    report = json.loads((tmp_path / "export/tiny.onnx.report.json").read_text())
    assert {"artefact": str(tmp_path / "export/tiny.onnx"), **report} == shown
    assert report["spec_hash"] == load_checkpoint(checkpoint).spec.hash
    assert report["size_bytes"] == (tmp_path / "export/tiny.onnx").stat().st_size
    assert set(report["latency_ms"]) == {"1", "256"}
    assert len({check["videos"] for check in report["checks"]}) >= 2
    assert {"padded", "zeros", "huge"} <= {check["batch"] for check in report["checks"]}
    assert any("reference evaluator" in check["batch"] for check in report["checks"])
    assert all(check["measured"] <= check["bound"] for check in report["checks"])
    assert report["runtime_modules"] == ["onnxruntime"], "the runtime's process has loaded nothing of acz"
    assert not [path for path in (tmp_path / "export").iterdir() if path.name.startswith(".")]


def test_the_proof_beside_a_checkpoint_is_shown(acz: Callable[..., Answer], checkpoint: Path) -> None:
    assert acz("parity-check", checkpoint, "--backends", "numpy", "--videos", 4).code == 0
    proof = checkpoint.with_name("proof.json")
    shown = acz("export", checkpoint, "--format", "onnx").out
    assert re.search(rf"{re.escape(str(proof))}: \d+ checks of these weights on numpy; passed", shown)
    tree = json.loads(proof.read_text())
    proof.write_text(json.dumps(tree | {"weights": "0" * 64}))
    assert "proof.json is of other weights" in acz("export", checkpoint, "--format", "onnx").out
    proof.write_text("{half")
    assert "not a proof of 'acz parity-check'" in acz("export", checkpoint, "--format", "onnx").out


def test_a_damaged_exporter_is_refused(
    acz: Callable[..., Answer], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "m.onnx"
    assert acz("export", checkpoint, "--format", "onnx", "--out", out).code == 0
    good = out.read_bytes()
    write = onnx_writer.write_onnx

    def damaged(spec: Spec, parameters: dict[str, Any], path: Path, form: Form) -> None:
        wrong = np.array(parameters["trunk.logits.weight"]).reshape(-1, 6)
        wrong[:6] = wrong[:6].T
        write(spec, {**parameters, "trunk.logits.weight": wrong}, path)

    monkeypatch.setattr(formats, "write_onnx", damaged)
    answer = acz("export", checkpoint, "--format", "onnx", "--out", out)
    assert answer.code == 1
    assert "not the function of" in answer.err
    assert "bound" in answer.err
    assert out.read_bytes() == good, "the earlier artefact stays"
    new = tmp_path / "new" / "m.onnx"
    assert acz("export", checkpoint, "--format", "onnx", "--out", new).code == 1
    assert list(new.parent.iterdir()) == []


def test_two_checkpoints_of_a_folder_have_two_artefacts(
    acz: Callable[..., Answer], checkpoint: Path, tmp_path: Path
) -> None:
    """Each form of each has its own, too; `model` is the run's best."""
    spec = load_checkpoint(checkpoint).spec
    for seed, name in enumerate(("best", "last")):
        save_checkpoint(tmp_path / f"{name}.safetensors", spec, initial_parameters(spec, seed, np.dtype(np.float32)))
        assert acz("export", tmp_path / f"{name}.safetensors", "--format", "onnx").code == 0
    assert acz("export", tmp_path / "last.safetensors", "--format", "onnx", "--masks", "none").code == 0
    names = ("model.onnx", "last.onnx", "last-none-masks.onnx")
    made = {path.name: path.read_bytes() for path in (tmp_path / "export").glob("*.onnx")}
    assert sorted(made) == sorted(names)
    assert len(set(made.values())) == 3
    form = Form.of("int8")
    maker = formats.formats()["saved-model"]
    assert artefact_name("", maker, form) == "saved-model-int8"
    assert artefact_name("last", maker, Form()) == "last-saved-model"


def test_what_is_in_the_way_is_not_overwritten(acz: Callable[..., Answer], checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    assert acz("export", checkpoint, "--format", "onnx", "--out", folder).code == 2
    assert (folder / "thesis.txt").read_text() == "years"


def test_wrong_use_is_explained(acz: Callable[..., Answer], checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean 'mindir'" in acz("export", checkpoint, "--format", "mindi").err
    assert "--format is missing" in acz("export", checkpoint).err
    assert "with int8: tflite" in acz("export", checkpoint, "--format", "onnx", "--weights", "int8").err
    assert "masks must be one of bool, uint8, none" in acz("export", checkpoint, "--format", "onnx", "--masks", "x").err
    monkeypatch.setattr(formats, "is_installed", lambda info: False)
    answer = acz("export", checkpoint, "--format", "mindir")
    assert answer.code == 3
    assert f"{install_command('acz[mindspore]')} brings it" in answer.err


def test_ports_name_what_an_artefact_takes() -> None:
    by_name = {port.name: port for port in ports(load_spec("flash_mnist/multimodal"))}
    assert list(by_name) == ["rgb", "rgb_mask", "flow", "flow_mask", "audio", "audio_mask"]
    assert by_name["audio_mask"].key == "audio.mask"
    assert by_name["audio"].shape == (None, None, 128)
    assert [port.dtype for port in ports(load_spec("flash_mnist/extractor"))] == ["uint8"]
    for name in config_names():
        assert ports(load_spec(name))
    tree = load_spec(TINY).to_dict()
    tree["inputs"]["features_mask"] = {"shape": [2]}
    tree["streams"]["other"] = {"input": "features_mask"}
    with pytest.raises(SpecError, match="features_mask"):
        ports(Spec.from_dict(tree))
