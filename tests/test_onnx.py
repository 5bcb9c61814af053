"""The ONNX file computes what the reference computes, in ONNX Runtime and in ONNX's own reference evaluator."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16

from acz.backend.signature import OUTPUT, Form, ports
from acz.exchange.artefacts.onnx import evaluator, runtime
from acz.exchange.artefacts.onnx.layers import OUTPUTS, WRITERS, writers
from acz.exchange.artefacts.onnx.writer import build_model, write_onnx
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import Expected, as_ports, verify
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError, SpecError
from acz.foundation.installation import install_command
from acz.model.layers import LAYERS as VOCABULARY
from acz.model.parameters import initial_parameters
from acz.model.spec import Output, Spec
from acz.parity.cases import cases
from acz.reference import execution
from acz.reference.bounds import FLOAT64, difference
from acz.reference.samples import Case
from tests.code_cases import imports
from tests.conftest import by_model

CASES = cases()
RUNTIMES = {"onnxruntime": runtime.load, "reference evaluator": evaluator.load}


def rounded(parameters: dict[str, Array]) -> dict[str, Array]:
    return {path: value.astype(np.float32) for path, value in parameters.items()}


def batches(case: Case) -> dict[str, dict[str, Array]]:
    """Every kind of batch, two more batch sizes, and twice the frames."""
    inputs = {name: case.batch(name).inputs for name in case.names}
    inputs |= {f"{videos} videos": case.batch("plain", videos=videos).inputs for videos in (1, 7)}
    if "padded" in inputs:
        inputs["twice the frames"] = {
            key: np.concatenate([value, value[:, ::-1]], axis=1)
            if case.spec.inputs[key.removesuffix(".mask")].has_frames
            else value
            for key, value in inputs["padded"].items()
        }
    return inputs


def outside(case: Case, run: Callable[..., dict[str, Array]], parameters: dict[str, Array]) -> dict[str, str]:
    """Batches whose output leaves the float32 bound, with the measured differences."""
    differences, expected = {}, Expected(case.spec, parameters)
    for name, inputs in batches(case).items():
        exact, bound = expected(inputs)
        outputs = run(as_ports(case.spec, inputs))
        assert list(outputs) == [OUTPUT]
        assert outputs[OUTPUT].dtype == np.float32
        measured = difference(outputs[OUTPUT], exact)
        if not measured <= bound:
            differences[name] = f"{measured:.2e} > {bound:.2e}"
    return differences


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("case", by_model(CASES))
def test_the_file_computes_what_the_reference_does(case: Case, runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(case.spec, rounded(case.parameters), path)
    onnx.checker.check_model(str(path), full_check=True)
    run, metadata = RUNTIMES[runtime](str(path), 1)
    assert outside(case, run, case.parameters) == {}
    assert Spec.from_dict(json.loads(metadata["acz.spec"])).hash == case.spec.hash
    assert metadata["acz.spec_hash"] == case.spec.hash
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("case", by_model(CASES))
def test_the_same_graph_in_float64_is_exact(case: Case) -> None:
    evaluator = onnx.reference.ReferenceEvaluator(build_model(case.spec, case.parameters, "float64"))
    for name, inputs in batches(case).items():
        exact = execution.forward(case.spec, case.parameters, inputs)["output"]
        with np.errstate(over="ignore"):
            (output,) = evaluator.run(None, as_ports(case.spec, inputs))
        assert output.dtype == np.float64
        assert difference(output, exact) <= FLOAT64, name


@pytest.mark.parametrize("case", by_model(CASES))
def test_names_and_shapes_are_the_specs(case: Case) -> None:
    model = build_model(case.spec, case.parameters)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    }
    values = {output for node in model.graph.node for output in node.output}
    ranked = {
        value.name
        for value in [*inferred.graph.value_info, *inferred.graph.output]
        if value.type.tensor_type.HasField("shape")
    }
    assert values <= ranked, "every value has a rank"
    for port in ports(case.spec):
        frames = f"{port.key.removesuffix('.mask')}_frames"
        assert shapes[port.name] == ["videos", *(frames if side is None else side for side in port.shape[1:])]
    assert [value.name for value in model.graph.input] == [port.name for port in ports(case.spec)]
    assert shapes[OUTPUT] == ["videos", case.spec.width]
    layers = [placed for placed in case.spec.layout if placed.layer.type != "dropout"]
    for placed in layers:
        assert shapes[placed.path][0] == "videos"
        assert shapes[placed.path][-1] == placed.output_shape[-1], placed.path
    weights = {initializer.name: onnx.numpy_helper.to_array(initializer) for initializer in model.graph.initializer}
    for path, value in case.parameters.items():
        np.testing.assert_array_equal(weights[path], value.astype(np.float32), err_msg=path)


@pytest.mark.parametrize("case", by_model(CASES))
def test_a_public_converter_makes_it_a_float16_file(case: Case) -> None:
    """A test of the graph's names and types: the converter of ONNX Runtime inserts casts by name."""
    narrow = convert_float_to_float16(build_model(case.spec, rounded(case.parameters)), keep_io_types=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # constants below float16's least number
    session = onnxruntime.InferenceSession(narrow.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = case.batch("plain").inputs
    (output,) = session.run(None, as_ports(case.spec, inputs))
    exact, _ = Expected(case.spec, case.parameters)(inputs)
    assert difference(output, exact) <= 8 * 2.0**-10, "a few units of float16"


MASKED = [case for case in CASES if case.model in ("flash_mnist/multimodal", "layers/bags_of_frames", "layers/moments")]


@pytest.mark.parametrize("load", RUNTIMES.values(), ids=RUNTIMES)
@pytest.mark.parametrize("case", MASKED, ids=lambda case: case.model)
def test_a_mask_of_another_shape_is_refused(case: Case, load: Callable[..., Any], tmp_path: Path) -> None:
    write_onnx(case.spec, rounded(case.parameters), tmp_path / "model.onnx")
    run, _ = load(str(tmp_path / "model.onnx"), 1)
    inputs = as_ports(case.spec, case.batch("padded").inputs)
    for port in ports(case.spec):
        if port.is_mask:
            mask = inputs[port.name]
            for wrong in (mask[:1, :1], mask[:1], mask[:, :1], mask[:, :-1], mask[:-1].T):
                with pytest.raises(Exception, match=r"(?i)concat"):
                    run({**inputs, port.name: np.ascontiguousarray(wrong)})


@pytest.mark.parametrize("masks", ["uint8", "none"])
@pytest.mark.parametrize("case", MASKED, ids=lambda case: case.model)
def test_masks_come_as_numbers_or_not_at_all(case: Case, masks: str, tmp_path: Path) -> None:
    write_onnx(case.spec, rounded(case.parameters), tmp_path / "model.onnx", form=Form.of(masks=masks))
    assert not [port for port in ports(case.spec, masks) if port.dtype == "bool"]
    for name, load in RUNTIMES.items():
        with Runtime("onnx", Path(sys.modules[load.__module__].__file__ or "")) as process:
            form = Form.of(masks=masks)
            checks, _ = verify(case.spec, case.parameters, tmp_path / "model.onnx", process, timed=False, form=form)
        assert not [check for check in checks if not check.passed], name
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_every_layer_and_output_function_has_its_form() -> None:
    assert set(WRITERS) == set(VOCABULARY)
    with pytest.raises(ImportError, match=r"must define write_circulant_dense, .*write_net_fv"):
        writers({"write_dense": None})
    assert set(OUTPUTS) == set(get_args(Output))


@pytest.mark.parametrize("case", by_model(CASES))
def test_a_transposed_weight_is_seen(case: Case, tmp_path: Path) -> None:
    last = [path for path, value in case.parameters.items() if value.ndim in (2, 3) and path.endswith("weight")][-1]
    value = case.parameters[
        last
    ]  # of a circulant product it is the matrix's first column, and the transposed one's is reversed
    wrong = value.T.reshape(value.shape) if value.ndim == 2 else np.roll(value[..., ::-1], 1, axis=-1)
    write_onnx(case.spec, rounded({**case.parameters, last: wrong}), tmp_path / "model.onnx")
    run, _ = runtime.load(str(tmp_path / "model.onnx"), 1)
    assert outside(case, run, case.parameters)


def test_bytes_are_read_and_what_padding_holds_does_not_count(tmp_path: Path) -> None:
    spec = Spec.from_dict(
        {
            "inputs": {"x": {"frames": 4, "features": 3, "dtype": "uint8"}, "y": {"shape": [4, 3]}},
            "streams": {
                "one": {"input": "x", "layers": {"norm": {"type": "batch_norm"}, "a": {"type": "attention_cluster", "units": 2}}},
                "two": {"input": "y", "layers": {"a": {"type": "attention_cluster", "units": 2, "normalize_over": "units"}}},
                "three": {"input": "y", "layers": {"drop": {"type": "dropout", "rate": 0.5}, "a": {"type": "attention_cluster", "units": 1}}},
            },
        }
    )  # fmt: skip
    case = Case("bytes", spec, "projection")
    write_onnx(spec, rounded(case.parameters), tmp_path / "model.onnx")
    for load in RUNTIMES.values():
        run, _ = load(str(tmp_path / "model.onnx"), 1)
        assert outside(case, run, case.parameters) == {}
    floats = Spec.from_dict({**spec.to_dict(), "inputs": {"x": {"frames": 4, "features": 3}, "y": {"shape": [4, 3]}}})
    case = Case("floats", floats, "projection")
    write_onnx(floats, rounded(case.parameters), tmp_path / "model.onnx")
    inputs = as_ports(floats, case.batch("padded").inputs)
    for load in RUNTIMES.values():
        run, _ = load(str(tmp_path / "model.onnx"), 1)
        wanted = run(inputs)[OUTPUT]
        for rubbish in (np.nan, np.inf, 0):
            x = np.where(inputs["x_mask"][:, :, None], inputs["x"], np.float32(rubbish))
            np.testing.assert_array_equal(run({**inputs, "x": x})[OUTPUT], wanted)


def test_scores_of_rare_classes_stay_apart(tmp_path: Path) -> None:
    """ONNX Runtime's own sigmoid gives 0 for all of these logits."""
    layers = {"a": {"type": "dense", "units": 61}}
    spec = Spec.from_dict(
        {"inputs": {"x": {"shape": [1]}}, "streams": {"s": {"input": "x", "layers": layers}}, "output": "sigmoid"}
    )
    logits = np.linspace(-80, -20, 61, dtype=np.float32)
    write_onnx(spec, {"s.a.weight": np.zeros((1, 61), np.float32), "s.a.bias": logits}, tmp_path / "model.onnx")
    for load in RUNTIMES.values():
        run, _ = load(str(tmp_path / "model.onnx"), 1)
        scores = run({"x": np.zeros((1, 1), np.float32)})[OUTPUT]
        np.testing.assert_allclose(scores[0], 1 / (1 + np.exp(-logits.astype(np.float64))), rtol=1e-6)


def test_the_same_model_gives_the_same_bytes_and_they_name_no_machine(tmp_path: Path) -> None:
    case = CASES[0]
    for name in ("one", "other"):
        write_onnx(case.spec, rounded(case.parameters), tmp_path / name)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "other").read_bytes()
    for word in (os.getcwd(), str(Path.home()), str(tmp_path), sys.prefix, socket.gethostname()):
        assert word.encode() not in content, word
    model = onnx.load_from_string(content)
    assert (model.producer_name, model.opset_import[0].version, model.ir_version) == ("acz", 13, 7)


def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[0]
    parameters = rounded(case.parameters)
    target = tmp_path / "model.onnx"
    with pytest.raises(SpecError, match="is missing"):
        write_onnx(case.spec, {}, target)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write_onnx(case.spec, parameters, tmp_path / "file/model.onnx")
    layers = {"a": {"type": "dense", "units": 20_000, "bias": False}}
    large = Spec.from_dict(
        {"inputs": {"x": {"shape": [2**15]}}, "streams": {"s": {"input": "x", "layers": layers}}, "output": "none"}
    )
    with pytest.raises(SpecError, match=r"2\.4 GiB.*holds at most 2.*s\.a\.weight"):
        write_onnx(large, {"s.a.weight": np.broadcast_to(np.float32(0), (2**15, 20_000))}, target)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingError, match=re.escape(install_command("acz[export]"))):
        write_onnx(case.spec, parameters, target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(),
    reason="root may write to every folder but those of /proc, which this system has not",
)
def test_a_folder_that_takes_no_file_is_an_error_of_the_system() -> None:
    spec = CASES[0].spec
    with pytest.raises(OSError, match="/proc"):
        write_onnx(spec, initial_parameters(spec), Path("/proc/model.onnx"))


@pytest.mark.parametrize(("module", "library"), [(runtime, "onnxruntime"), (evaluator, "onnx")])
def test_what_runs_the_file_needs_nothing_of_acz(module: Any, library: str) -> None:
    assert imports(Path(module.__file__)) - sys.stdlib_module_names <= {"numpy", library}
