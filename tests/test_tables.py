"""Tables of the command line: they fit the terminal, keep all their words, and are one line a row in a pipe."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.api.models import differences, load_config
from acz.api.studies import COLUMNS
from acz.cli.options import print_table
from acz.foundation.files.tables import plain_table, read_csv
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.zoo.catalog import config_names, main_names
from tests.conftest import TINY, Answer, write_features
from tests.youtube8m_cases import record, write, write_shards

Acz = Callable[..., Answer]
ROOT = Path(__file__).parent.parent
SWEEP = f"config: {TINY}\nbackend: numpy\ngrid: {{train.epochs: [1, 2], train.batch_size: [16, 32]}}\n"


def letters(text: str) -> str:
    """A text without its spaces, line ends and rules."""
    return re.sub(r"[\s-]+", "", text)


def test_a_table_is_wrapped_to_its_width_and_keeps_every_word() -> None:
    rows = [
        ["circulant_dense", "12,345", "  the product with a matrix of which one row is learned"],
        ["dense", "7", ""],
    ]
    wide = plain_table(["layer", "numbers", "what"], rows, right={1})
    assert wide.splitlines()[2] == "circulant_dense   12,345    the product with a matrix of which one row is learned"
    for width in range(34, 90):
        narrow = plain_table(["layer", "numbers", "what"], rows, right={1}, width=width).splitlines()
        assert max(map(len, narrow)) <= width
        assert "  12,345  " in narrow[2], "numbers stay whole"
        column = narrow[0].index("what")
        assert letters("".join(line[column:] for line in narrow[2:])) == letters(rows[0][2])
        assert all(line[column : column + 2] in ("", "  ") for line in narrow[2:]), "each line keeps the indentation"
        if width >= 40:
            assert narrow[2].split()[0] == "circulant_dense", "words stay whole if they can"
    assert plain_table(["layer", "numbers", "what"], rows, right={1}, width=100) == wide


@pytest.mark.parametrize("headers", [["float64", "bound", "float32", "bound"], ["promise", ""]])
def test_each_column_has_a_name_of_its_own(headers: list[str]) -> None:
    with pytest.raises(ValueError, match="each column needs a name of its own"):
        plain_table(headers, [["1"] * len(headers)])


def test_the_table_of_parity_says_which_bound_belongs_to_which_precision(acz: Acz) -> None:
    header = acz("parity-check", TINY.partition(":")[0], "--backends", "numpy", "--level", 1).out.splitlines()[0]
    assert re.split(r"\s{2,}", header) == [
        *("model", "backend", "level", "float64", "float64 bound", "float32", "float32 bound", "verdict"),
    ]


QUICK: tuple[tuple[object, ...], ...] = (
    ("models",),
    ("models", "flash_mnist/*:*", "--long"),
    ("layers",),
    ("layers", "*"),
    ("show", "flash_mnist/multimodal"),
    ("show", "youtube8m/compact/ensemble:circulant_hidden"),
    ("parity-check", TINY.partition(":")[0], "--backends", "numpy", "--level", 1),
    ("sweep", "sweep.yaml", "--dry-run"),
    ("data", "youtube8m", "show", "shards"),
)
"""Commands that print tables. They run twice: on a terminal and in a pipe."""


@pytest.mark.parametrize("words", QUICK, ids=lambda words: words[0])
def test_a_command_fits_a_terminal_of_100_columns_and_a_pipe_cuts_nothing(
    acz: Acz, words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "shards", [5])
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    fitted = acz(*words)
    assert fitted.code == 0, fitted.err
    assert max(map(len, fitted.out.splitlines())) <= 100
    monkeypatch.delenv("COLUMNS")
    piped = acz(*words)
    assert len(piped.out.splitlines()) <= len(fitted.out.splitlines())
    assert sorted(letters(piped.out)) == sorted(letters(fitted.out))


COSTLY: dict[str, tuple[int, tuple[object, ...], str]] = {
    "verify": (1, ("data", "youtube8m", "verify", "bad"), "labels out of range"),
    "sweep": (0, ("sweep", "done.yaml", "--data", "data", "--out", "out", "--jobs", 2), "epochs=2"),
    "bench": (0, ("bench", "--only", "start", "--backends", "numpy", "--rounds", 1, "--seconds", 0.01), "first output"),
    "backend_check": (0, ("backend-check", "numpy"), "best_classes"),
    "backends": (0, ("backends",), "numpy"),
    "export": (0, ("export", "tiny.safetensors", "--format", "onnx", "--out", "tiny.onnx"), "onnx"),
}
"""Commands that run once: exit code, words, and a part of a row. `backends` and `export` need the frameworks."""


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_command_prints_its_rows_in_100_columns(
    acz: Acz, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "bad/train00.tfrecord", [record("a", [2]), record("b", []), record("c", [4000])])
    write_features(tmp_path / "data")
    (tmp_path / "done.yaml").write_text(f"config: {TINY}\nbackend: numpy\ngrid: {{train.epochs: [1, 2]}}\n")
    spec = load_config(TINY).spec
    save_checkpoint(tmp_path / "tiny.safetensors", spec, initial_parameters(spec, 0, np.dtype(np.float32)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    code, words, row = COSTLY[name]
    answer = acz(*words)
    assert answer.code == code, answer.err
    lines = answer.out.splitlines()
    assert any(re.fullmatch(r"-+(  -+)+", line) for line in lines), "it prints a table"
    assert any(row in line for line in lines), answer.out
    sentences = ("bad/", str(tmp_path), "tiny.onnx: ")
    assert max(len(line) for line in lines if not line.startswith(sentences)) <= 100


def test_every_command_that_prints_a_table_is_tried() -> None:
    functions = [
        function
        for path in (ROOT / "acz/cli").rglob("*.py")
        for function in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(function, ast.FunctionDef)
    ]
    printing = {
        function.name.removesuffix("_command")
        for function in functions
        if any(isinstance(node, ast.Name) and node.id == "print_table" for node in ast.walk(function))
    }
    tried = {str(words[-2] if words[0] == "data" else words[0]).replace("-", "_") for words in QUICK}
    assert printing - {"print_table", "_print_defects"} == tried | COSTLY.keys() - {"verify"}
    assert "verify" in COSTLY, "its table is that of _print_defects"


def test_every_table_of_figures_fits_a_terminal_of_100_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded benchmarks and parity checks need frameworks; their rows do not."""
    monkeypatch.setenv("COLUMNS", "100")
    for path in sorted((ROOT / "docs/results").glob("bench_*.csv")):
        print_table(list(COLUMNS), [[row[name] for name in COLUMNS] for row in read_csv(path)], right={4, 6, 8})
    parity = read_csv(ROOT / "docs/results/parity.csv")
    headers = ["model", "backend", "check", "measured", "bound"]
    print_table(headers, [[row[name] for name in headers] for row in parity], right={3, 4})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > len(parity)
    assert max(map(len, lines)) <= 100


def test_models_are_grouped_by_family_and_a_remark_is_printed_once(acz: Acz) -> None:
    lines = acz("models").out.splitlines()
    families = [line for line in lines if line.endswith("/")]
    assert families == ["flash_mnist/", "youtube8m/", "youtube8m/compact/", "youtube8m/gated/"]
    assert sum("divided by its own norm" in line for line in lines) == 1
    assert any(line.startswith("youtube8m/compact/*: ") for line in lines)
    assert not any(line.lstrip().startswith("dbof:tiny") for line in lines), "variants are listed on request"
    assert any(line.lstrip().startswith("dbof:tiny") for line in acz("models", "dbof:*").out.splitlines())
    row = next(line for line in lines if line.startswith("  attention_cluster_experts"))
    assert row.endswith("  GAP 0.868")
    assert "Hit@1 0.87, PERR 0.78" in acz("models", "youtube8m/attention_cluster", "--long").out
    assert "PaddlePaddle/models" in acz("show", "youtube8m/attention_cluster").out


def test_each_model_is_listed_with_its_description(acz: Acz, tmp_path: Path) -> None:
    lines = acz("models").out.splitlines()
    for name in main_names():
        config = load_config(name)
        assert any(line.startswith(f"  {name.rpartition('/')[2]} ") and config.description in line for line in lines), (
            name
        )
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"description: A model of my own\nmodel: {json.dumps(load_config(TINY).spec.to_dict())}\n")
    assert acz("show", mine).out.startswith(f"{mine}: A model of my own\n")


def test_published_figures_belong_to_the_model_as_it_is() -> None:
    name = "youtube8m/attention_cluster"
    published = load_config(name).published
    assert published is not None
    assert published.figures == {"GAP": 0.84, "Hit@1": 0.87, "PERR": 0.78}
    assert load_config(f"{name}:tiny").published is None
    assert load_config(name, {"model.trunk.hidden1.units": 5}).published is None


def test_models_that_share_a_difference_share_a_key() -> None:
    compact = [load_config(name) for name in config_names("compact/*")]
    assert list(differences(compact)) == ["youtube8m/compact/*"]
    others = [load_config("youtube8m/compact/dbof"), load_config("youtube8m/attention_cluster_experts")]
    assert list(differences(others)) == ["youtube8m/compact/dbof", "youtube8m/attention_cluster_experts"]
