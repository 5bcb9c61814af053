"""The scripts that put artefacts into other programs: the catalogue, the samples, and the results that are kept."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from clients.__main__ import record
from clients.catalog import CHECKPOINT, CLIENTS, PROGRAMS, Client
from clients.comparison import Row, compare, reason
from clients.environments import InstallationFailed, prepare
from clients.page import page
from clients.samples import UNITS, Model, make_samples

from acz.exchange.artefacts.verify import Expected
from acz.foundation.files.tables import read_csv
from acz.model.losses import checking_loss
from acz.reference.bounds import HALF_UNIT, ROUNDING
from acz.reference.samples import Case
from acz.zoo.catalog import config_names
from acz.zoo.config import load_config
from tests.conftest import TINY

ROOT = Path(__file__).parent.parent
PINS = {
    name.lower().replace("_", "-"): version
    for file in ("constraints.txt", "constraints-clients.txt")
    for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(encoding="utf-8"))
}
ROWS = read_csv(ROOT / "docs/results/clients.csv")


def test_every_program_is_in_the_catalogue_and_has_a_loader() -> None:
    assert {client.path for client in CLIENTS if client.path.parent == PROGRAMS} == set(PROGRAMS.glob("*.py"))
    for client in CLIENTS:
        tree = ast.parse(client.path.read_text(encoding="utf-8"))
        loaders = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "load"]
        assert [argument.arg for argument in loaders[0].args.args] == ["path", "threads"], client.name


def test_a_program_imports_acz_only_where_it_needs_the_native_module() -> None:
    for client in CLIENTS:
        imports_acz = re.search(r"(?m)^(import|from) acz\b", client.path.read_text(encoding="utf-8")) is not None
        assert imports_acz == (client.format == CHECKPOINT), client.name


def test_what_pip_installs_is_pinned() -> None:
    required = {name for client in CLIENTS for name in client.requirements}
    assert {name.lower() for name in required} <= set(PINS)
    assert all(re.fullmatch(r"[\w/-]+@[\d.]+", client.npm) for client in CLIENTS if client.npm)


def test_the_samples_have_the_bounds_of_an_export() -> None:
    spec = load_config(TINY).spec
    parameters = Case(TINY, spec, checking_loss(spec).name).parameters
    expected = Expected(spec, parameters)
    samples = make_samples(spec, {path: value.astype(np.float32) for path, value in parameters.items()})
    assert {"plain", "plain 1", "padded", "zeros", "huge"} <= set(samples)
    for sample in samples.values():
        inputs = {"features": sample.inputs["features"], "features.mask": sample.inputs["features_mask"]}
        output, bound = expected(inputs)
        assert np.array_equal(sample.expected, output)
        assert bound <= sample.bounds["float32"] < sample.bounds["float16"] < sample.bounds["bfloat16"]
    assert [name for name, sample in samples.items() if sample.has_padding] == ["padded"]
    assert set(samples["plain"].without_masks()) == {"features"}
    assert UNITS["float32"] == ROUNDING == 2 * HALF_UNIT
    assert UNITS["float16"] == np.finfo(np.float16).eps


def test_a_reason_is_one_line_without_the_folders_of_a_machine() -> None:
    said = reason(
        RuntimeError("can't read /some/where/model.onnx:\n\x1b[1mtwo lines\x1b[0m, see https://example.com/a/b")
    )
    assert said == "can't read model.onnx: two lines , see https://example.com/a/b"
    assert len(reason(RuntimeError("many words " * 100))) < 350


PROGRAM = """
import os
import numpy as np
import acz

def load(path, threads):
    {load}
    checkpoint = acz.load_checkpoint(path)

    def run(inputs):
        given = {{"features": inputs["features"], "features.mask": inputs["features_mask"]}}
        output = acz.reference.forward(checkpoint.spec, checkpoint.parameters, given)["output"]
        {run}
        return {{"output": output}}

    return run, {{"precision": "float16"}}
"""


@pytest.mark.parametrize(
    ("load", "run", "result"),
    [
        ("", "", "passed"),
        ("", "output = output.astype(np.float16)", "passed"),
        ("", "output = 1.1 * output if given['features.mask'].all() else output", "beyond its bound on the batch"),
        (
            "",
            "output = output if given['features.mask'].all() else output[:1]",
            "the output has the shape (1, 6) on the batch 'padded', not (4, 6)",
        ),
        (
            "",
            "if len(output) == 7: raise ValueError('an odd number')",
            "on the batch 'plain 7': ValueError: an odd number",
        ),
        ("import no_such_package", "", "on the batch 'plain': ModuleNotFoundError: No module named 'no_such_package'"),
        ("os._exit(3)", "", "some client ended with exit code 3, without a word"),
    ],
)
def test_whatever_a_client_does_is_a_row(load: str, run: str, result: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(load=load or "pass", run=run or "pass"), encoding="utf-8")
    client = Client("some client", CHECKPOINT, str(program), "numpy")
    row = compare(client, prepare(client, tmp_path), Model(TINY, tmp_path))
    assert row.result.startswith(result)
    assert row.version == np.__version__
    if result == "passed":
        assert float(row.difference) <= float(row.bound)
        assert row.precision == "float16"


def test_a_client_that_does_not_install_says_so(tmp_path: Path) -> None:
    missing = Client("some client", "onnx", "mnn_model.py", "no-such-distribution")
    with pytest.raises(InstallationFailed, match="no-such-distribution"):
        prepare(missing, tmp_path)


def test_a_row_takes_the_place_of_the_old_one_and_the_page_shows_it(tmp_path: Path) -> None:
    out = tmp_path / "clients.csv"
    names = ("precision", "difference", "bound", "float32_bound", "batch", "result")
    worse = dict(
        zip(names, ("float32", "inf", "2e-06", "2e-06", "plain", "beyond its bound | on 'plain'"), strict=True)
    )
    better = worse | {"difference": "1e-07", "result": "passed"}
    for client, values in (("tract", worse), ("onnxruntime", worse), ("onnxruntime", better)):
        record(out, Row(client, "1.0", "a/model:tiny", "onnx", **values))
    assert [(row["client"], row["result"]) for row in read_csv(out)] == [
        ("onnxruntime", "passed"),
        ("tract", "beyond its bound | on 'plain'"),
    ]
    places = "<!-- table: clients -->\n<!-- end -->\n<!-- table: client_rows -->\n<!-- end -->\n"
    text = page(places, read_csv(out))
    assert "| `onnxruntime` | 1.0 | onnx | float32 | 1 of 1 | 1e-07 of 2e-06, `a/model:tiny` |" in text
    assert "| `tract` | 1.0 | onnx | float32 | 0 of 1 |  |" in text
    assert "beyond its bound \\| on 'plain' |" in text


def test_the_results_have_every_client_and_model() -> None:
    models = {name for name in config_names() if name.endswith(":tiny")}
    for client in CLIENTS:
        rows = {row["model"]: row for row in ROWS if row["client"] == client.name}
        assert models <= set(rows), f"bash scripts/clients.sh --clients {client.name}"
        pinned = PINS.get(client.package.lower(), client.npm.rpartition("@")[2])
        assert {row["version"].partition("+")[0] for row in rows.values()} == {pinned}, client.name


def test_a_result_is_passed_where_the_difference_is_within_the_bound() -> None:
    for row in ROWS:
        within = bool(row["difference"]) and float(row["difference"]) <= float(row["bound"])
        assert (row["result"] == "passed") == within, row


@pytest.mark.parametrize("client", "onnxruntime onnx-evaluator openvino-f32 onnxruntime-web-node mnn tract".split())
def test_what_reads_the_onnx_file_computes_the_references_function(client: str) -> None:
    assert {row["result"] for row in ROWS if row["client"] == client} == {"passed"}
