"""Rules of the design, each with its test."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acz.backend.protocol import Backend
from acz.foundation.files.tables import read_csv
from acz.model.layers import LAYERS
from acz.model.losses import LOSSES
from tests.code_cases import definitions, imports
from tests.conftest import Answer

ROOT = Path(__file__).parent.parent
OWN = {"acz_torch": "torch", "acz_tensorflow": "tensorflow", "acz_paddle": "paddle", "acz_mindspore": "mindspore"}
"""Packages of the backends of this distribution, and the framework of each. Others may be installed beside them."""
RELATED = {"acz_tensorflow": {"keras"}}


def test_only_backends_import_frameworks() -> None:
    frameworks = {*OWN.values(), "keras"}
    for path in (ROOT / "acz").rglob("*.py"):
        assert not imports(path) & frameworks, path
    for package, own in OWN.items():
        for path in (ROOT / "backends" / package).glob("*.py"):
            assert imports(path) & frameworks <= {own} | RELATED.get(package, set()), path
            assert not imports(path) & (set(OWN) - {package}), path


@pytest.mark.parametrize("package", [name for name in OWN if name != "acz_torch"])
def test_backends_have_the_same_definitions_in_the_same_order(package: str) -> None:
    alone = {"benchmark.py"}  # what PyTorch's backend is measured against
    if not (ROOT / "backends" / package / "networks.py").is_file():
        alone.add("networks.py")  # only some frameworks have files of networks
    for path in sorted(
        set((ROOT / "backends/acz_torch").glob("*.py")) - {ROOT / "backends/acz_torch" / n for n in alone}
    ):
        ours = definitions(path)
        theirs = definitions(ROOT / "backends" / package / path.name)
        shared = set(ours) & set(theirs)
        assert [name for name in theirs if name in shared] == [name for name in ours if name in shared], path.name
        seam = {name for name, value in vars(Backend).items() if callable(value) and not name.startswith("_")}
        assert {*seam, *map(_class_name, LAYERS.values())} & set(ours) <= shared, path.name


def _class_name(kind: type) -> str:
    return kind.__name__


def test_every_layer_and_loss_has_its_native_form_in_every_backend() -> None:
    """Both tables are made of names. Without a framework, this test looks for the names in the files."""
    for package in OWN:
        layers, training = (ROOT / "backends" / package / name for name in ("layers.py", "training.py"))
        taken = {
            alias.name
            for node in ast.parse(layers.read_text()).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert {*map(_class_name, LAYERS.values())} <= {*taken, *definitions(layers)}, package
        assert set(LOSSES) <= set(definitions(training)), package
        assert "LAYERS: dict[str, type[Layer]] = native_layers(globals())" in layers.read_text(), package
        assert "= native_losses(globals())" in training.read_text(), package


def test_importing_acz_loads_next_to_nothing() -> None:
    code = (
        "import sys, acz; assert 'numpy' not in sys.modules; acz.load_spec; from acz.cli import app; "
        f"assert not {set(OWN.values())!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def seconds_of(code: str) -> float:
    """The processor time of Python that runs some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick_and_loads_no_framework() -> None:
    code = (
        "import sys; sys.argv = ['acz', '--help']\nfrom acz.cli import main\n"
        f"try: main()\nexcept SystemExit: pass\nassert not ({set(OWN.values())!r} | {{'numpy', 'pydantic'}}) & set(sys.modules)"
    )
    spent, least = [], []
    for _ in range(4):
        spent.append(seconds_of(code))
        least.append(seconds_of("import typer, typer.rich_utils"))
    # seconds of the processor's; where it is slow or shared, they are held against those of the library of commands
    assert min(spent) < max(0.4, 1.6 * min(least))


@pytest.mark.parametrize(
    "command",
    [
        *"models layers show backends train sweep eval infer ensemble export convert parity-check verify-proof backend-check bench report data".split(),
        *("data flash-mnist", "data from-arrays", "data show", "data verify", "data youtube8m"),
        *(f"data youtube8m {name}" for name in ("show", "verify", "convert", "synthesize")),
    ],
)
def test_every_command_has_help(acz: Callable[..., Answer], command: str) -> None:
    answer = acz(*command.split(), "--help")
    assert answer.code == 0
    assert "Usage" in answer.out


def test_models_and_show(acz: Callable[..., Answer]) -> None:
    assert "3,292,736" in acz("models").out
    assert "extractor" not in acz("models", "attention").out
    rows = {words[0]: words for words in map(str.split, acz("models", "compact/*").out.splitlines()) if words}
    assert "youtube8m/compact/" in rows
    dense, compact = (int(rows[name][1].replace(",", "")) for name in ("dbof", "dbof:compact"))
    assert rows["dbof:compact"][2:] == ["form;", "compression", f"{dense / compact:.1f}"]
    shown = acz("show", "flash_mnist/attention_cluster_hidden")
    assert "features.attention.hidden.weight" in shown.out
    assert "1,024" in shown.out
    assert acz("models", "no such thing").code == 2


def test_no_test_module_imports_another() -> None:
    """Such a module can't be run, moved or deleted by itself. Helpers are in conftest.py and *_cases.py."""
    for path in [*(ROOT / "tests").glob("*.py"), *(ROOT / "parity_tests").glob("*.py")]:
        assert not re.search(r"(?m)^\s*(from|import) (tests|parity_tests)\.test_", path.read_text()), path


def test_no_file_names_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".sh"} and path != Path(__file__).resolve():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"/(root|home)/", text), name


def test_the_tables_of_the_readme_are_what_the_results_say() -> None:
    answer = subprocess.run([sys.executable, "scripts/results.py", "tables", "--check"], cwd=ROOT, check=False)
    assert answer.returncode == 0, "python scripts/results.py tables"


def test_every_recorded_check_passed() -> None:
    rows = read_csv(ROOT / "docs/results/parity.csv")
    assert {row["backend"] for row in rows} == {*OWN.values(), "onnx"}
    assert all(row["passed"] == "True" for row in rows)
