"""The frameworks' own deployment formats: names, metadata, what must not be inside, and runtimes that stand alone.

Parity's level 5 holds that they compute the same function.
"""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import site
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend.signature import OUTPUT, metadata, ports
from acz.backend.worker import Worker
from acz.exchange.artefacts.formats import BackendMaker
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import batches, verify
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.job_process import JobFailed
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity.cases import cases
from parity_tests.conftest import FORMATS, require_format

pytestmark = pytest.mark.slow

NATIVE = {name: made for name, made in FORMATS.items() if isinstance(made, BackendMaker)}
SPECS = {
    "bytes of two modalities": cases("youtube8m/attention_cluster")[0].spec,
    "image": cases("layers/image")[0].spec,
    "an input that nothing reads": Spec.from_dict(
        {
            "inputs": {"y": {"frames": 3, "features": 2}, "x": {"frames": 5, "features": 4}, "dtype_1": {"shape": [3]}},
            "streams": {"only": {"input": "x", "layers": {"a": {"type": "attention_cluster", "units": 2}}}},
            "output": "softmax",
        }
    ),
}


@dataclass
class Made:
    """An artefact under its final name, and the checkpoint and spec behind it."""

    spec: Spec
    parameters: dict[str, Array]
    path: Path


@pytest.fixture(scope="module")
def made(worker: Callable[[str], Worker], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    """Artefacts by format and model. Each is made once, under another name than it has now."""
    folder, artefacts = tmp_path_factory.mktemp("artefacts"), {}

    def of(name: str, model: str) -> Made:
        chosen, spec = NATIVE[name], SPECS[model]
        if (name, model) not in artefacts:
            stem = folder / f"{name}-{len(artefacts)}"
            parameters = initial_parameters(spec, 3, np.dtype(np.float32))
            save_checkpoint(stem.with_suffix(".safetensors"), spec, parameters)
            temporary = stem.with_name(f"making{chosen.suffix}")
            require_format(name)
            function = chosen.artefact.function
            arguments = ArtefactArguments(stem.with_suffix(".safetensors"), temporary, function)
            worker(chosen.participant).run(write_artefact, arguments)
            artefacts[name, model] = Made(spec, parameters, temporary.rename(stem.with_suffix(chosen.suffix)))
        return artefacts[name, model]

    return of


@pytest.fixture(scope="module")
def runtimes() -> Iterator[Callable[[str], Runtime]]:
    running: dict[str, Runtime] = {}

    def of(name: str) -> Runtime:
        require_format(name)
        return running.setdefault(name, Runtime(name, FORMATS[name].scripts()[""]))

    yield of
    for runtime in running.values():
        runtime.close()


@pytest.mark.parametrize("model", SPECS)
@pytest.mark.parametrize("name", NATIVE)
def test_an_artefact_runs_under_another_name(
    name: str, model: str, made: Callable[[str, str], Made], runtimes: Callable[[str], Runtime]
) -> None:
    artefact = made(name, model)
    checks, about = verify(artefact.spec, artefact.parameters, artefact.path, runtimes(name), timed=False)
    assert not [check for check in checks if not check.passed]
    assert not [module for module in about["modules"] if module.startswith("acz")]


@pytest.mark.parametrize("name", NATIVE)
def test_inputs_are_told_by_name(
    name: str, made: Callable[[str, str], Made], runtimes: Callable[[str], Runtime]
) -> None:
    artefact, runtime = made(name, "bytes of two modalities"), runtimes(name)
    given = batches(artefact.spec)["padded"]
    backwards = dict(reversed(given.items()))
    outputs, about = runtime.run(artefact.path, {"forwards": given, "backwards": backwards})
    assert list(outputs["forwards"]) == [OUTPUT]
    np.testing.assert_array_equal(outputs["forwards"][OUTPUT], outputs["backwards"][OUTPUT])
    assert about["metadata"] == metadata(artefact.spec)
    with pytest.raises(JobFailed):
        runtime.run(artefact.path, {"misnamed": {f"{port}_": value for port, value in given.items()}})


@dataclass(frozen=True)
class NameArguments:
    """An artefact, and the name of its format."""

    path: Path
    format: str


def names(backend: Any, arguments: NameArguments, arrays: Any) -> tuple[list[list[str]], Arrays]:
    """A job: the inputs' and outputs' names as the framework's own tools show them."""
    path = str(arguments.path)
    if arguments.format == "tflite":
        import tensorflow as tf

        (signature,) = tf.lite.Interpreter(path).get_signature_list().values()
        return [signature["inputs"], signature["outputs"]], {}
    if backend.NAME == "torch":
        import torch

        call = torch.export.load(path).call_spec
        return [call.in_spec.child(1).context, call.out_spec.context], {}
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        signature = tf.saved_model.load(path).signatures["serving_default"]
        return [list(signature.structured_input_signature[1]), list(signature.structured_outputs)], {}
    if backend.NAME == "paddle":
        from paddle import inference

        predictor = inference.create_predictor(inference.Config(f"{path}/model.json", f"{path}/model.pdiparams"))
        return [predictor.get_input_names(), predictor.get_output_names()], {}
    if backend.NAME != "mindspore":
        raise ValueError(f"say here how '{backend.NAME}' shows the names of an artefact")
    from mindspore.train.mind_ir_pb2 import ModelProto

    graph = ModelProto.FromString(Path(path).read_bytes()).graph
    return [[end.name.partition(":")[2] for end in ends] for ends in (graph.input, graph.output)], {}


@pytest.mark.parametrize("model", SPECS)
@pytest.mark.parametrize("name", NATIVE)
def test_an_artefact_carries_the_names(
    name: str, model: str, made: Callable[[str, str], Made], worker: Callable[[str], Worker]
) -> None:
    artefact = made(name, model)
    (inputs, outputs), _ = worker(FORMATS[name].participant).run(names, NameArguments(artefact.path, name))
    wanted = [port.name for port in ports(artefact.spec)]
    by_name = name in ("saved-model", "tflite")  # inputs without an order
    assert (sorted(inputs) if by_name else inputs) == (sorted(wanted) if by_name else wanted)
    assert outputs == [OUTPUT]


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of every file of an artefact, and of every member of its zip files, by name."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    queue = [(file.name, file.read_bytes()) for file in files]
    while queue:
        name, data = queue.pop()
        yield name, data
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                queue += [(f"{name}/{member}", archive.read(member)) for member in archive.namelist()]


@pytest.mark.parametrize("model", SPECS)
@pytest.mark.parametrize("name", NATIVE)
def test_nothing_of_the_machine_is_inside(name: str, model: str, made: Callable[[str, str], Made]) -> None:
    path = made(name, model).path
    folders = [Path(__file__).parent.parent, Path.home(), Path(sys.prefix), path.parent, *site.getsitepackages()]
    wanted = [*map(str, folders), "site-packages", "def forward", "self.", "making"]
    everything = dict(contents(path))
    assert any(b"acz.spec_hash" in data or "acz.spec_hash" in part for part, data in everything.items())
    for part, data in everything.items():
        assert not [word for word in wanted if word.encode() in data or word in part], part
        if re.search(r"sample_inputs.*/data/\d+$", part):
            assert not any(data), "a sample of the inputs holds zeros alone"


@pytest.mark.parametrize("name", NATIVE)
def test_a_runtime_stands_alone(name: str) -> None:
    library = NATIVE[name].artefact.needs or NATIVE[name].info.framework
    allowed = {*sys.stdlib_module_names, "numpy", library}
    tree = ast.parse(NATIVE[name].scripts()[""].read_text())
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {module.partition(".")[0] for module in modules} <= allowed


def compile_ahead(backend: Any, arguments: NameArguments, arrays: Any) -> tuple[float, Arrays]:
    """A job: a pt2 file compiled by AOTInductor; gives its largest difference from the file, on other shapes."""
    import torch

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(arguments.path.parent / "cache")
    program = torch.export.load(str(arguments.path))
    package = torch._inductor.aoti_compile_and_package(program, package_path=f"{arguments.path}.compiled.pt2")
    sample = program.example_inputs[1]
    shapes = {name: (3, 7, *value.shape[2:]) if value.ndim > 1 else (3,) for name, value in sample.items()}
    inputs = {name: torch.ones(shapes[name], dtype=value.dtype) for name, value in sample.items()}
    outputs = [model(**inputs)["output"] for model in (torch._inductor.aoti_load_package(package), program.module())]
    return float((outputs[0] - outputs[1]).abs().max()), {}


@pytest.mark.skipif(not shutil.which("g++"), reason="AOTInductor needs a C++ compiler, and there is no g++ here")
def test_a_pt2_file_is_compiled_ahead_of_time(worker: Callable[[str], Worker], tmp_path: Path) -> None:
    layers = {"logits": {"type": "dense", "units": 3}}
    tree = {
        "inputs": {"x": {"frames": 5, "features": 4}},
        "streams": {"s": {"input": "x", "layers": {"mean": {"type": "frame_pool", "pooling": ["mean"]}}}},
        "trunk": layers,
        "output": "softmax",
    }
    spec, source, made = Spec.from_dict(tree), tmp_path / "source.safetensors", tmp_path / "model.pt2"
    save_checkpoint(source, spec, initial_parameters(spec, 3, np.dtype(np.float32)))
    torch = worker("torch")
    torch.run(write_artefact, ArtefactArguments(source, made))
    difference, _ = torch.run(compile_ahead, NameArguments(made, "pt2"))
    assert difference < 1e-6


@dataclass(frozen=True)
class LargeArguments:
    """A model, the folder for its export, and the most bytes of one file; 0 leaves the limit unchanged."""

    spec: Spec
    folder: Path
    largest: int


def mindir_of(backend: Any, arguments: LargeArguments, arrays: Any) -> tuple[list[str], Arrays]:
    """A job: the files of an export, with MindSpore's own limit at zero and ours at `largest`."""
    from acz_mindspore import export as module
    from mindspore.train import serialization

    spec = arguments.spec
    kept = serialization.TOTAL_SAVE, module.LARGEST
    serialization.TOTAL_SAVE, module.LARGEST = 0, arguments.largest or module.LARGEST
    try:
        module.export(backend.build(spec, "CPU", "float32"), arguments.folder / "large.mindir", {})
    finally:
        serialization.TOTAL_SAVE, module.LARGEST = kept
    return sorted(path.name for path in arguments.folder.iterdir()), {}


def test_a_large_mindir_is_one_file_or_refused(worker: Callable[[str], Worker], tmp_path: Path) -> None:
    spec = SPECS["image"]
    mindspore = worker("mindspore")
    files, _ = mindspore.run(mindir_of, LargeArguments(spec, tmp_path, 0))
    assert files == ["large.mindir"], "weights beside it would not follow it to another name"
    with pytest.raises(JobFailed, match="--format saved-model, paddle or pt2"):
        mindspore.run(mindir_of, LargeArguments(spec, tmp_path, 100))


@pytest.mark.parametrize("name", ["_x", "größe"])
def test_a_saved_model_refuses_what_tensorflow_would_rename(
    name: str, worker: Callable[[str], Worker], tmp_path: Path
) -> None:
    tree = {
        "inputs": {name: {"shape": [2]}},
        "streams": {"s": {"input": name, "layers": {"a": {"type": "dense", "units": 2}}}},
    }
    spec, path = Spec.from_dict(tree), tmp_path / "named.safetensors"
    save_checkpoint(path, spec, initial_parameters(spec, 3, np.dtype(np.float32)))
    with pytest.raises(JobFailed, match=f"'{name}'"):
        worker("tensorflow").run(write_artefact, ArtefactArguments(path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
