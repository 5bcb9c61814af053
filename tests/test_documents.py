"""The documents: every block runs or says why not, every command exists, the site builds without a warning."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

import acz
from acz.cli import app
from tests.documents import PAGES, ROOT, RUN, Session, commands, missing_line, read_blocks

with_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@with_page
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for block in read_blocks(page):
        assert block.language, f"{block}: the fence names no language; those that are run are {RUN}"
        other = ("not run", "file", "output")
        assert block.language in RUN or any(block.mark(name) is not None for name in other), f"{block}: none of {other}"
        assert block.mark("not run") != "", f"{block}: a reason is missing"


@functools.cache
def program() -> Any:
    return typer.main.get_command(app)


def resolve(words: list[str]) -> list[tuple[Any, list[str]]]:
    """The commands that words name, `data show|verify` naming two, each with the words behind its name."""
    resolved: list[tuple[Any, list[str]]] = [(program(), words)]
    while any(hasattr(command, "commands") and rest and rest[0][:1].isalpha() for command, rest in resolved):
        command, (first, *rest) = resolved.pop(0)
        assert set(first.split("|")) <= set(command.commands), f"acz {' '.join(words)}: no command '{first}'"
        resolved += [(command.commands[name], rest) for name in first.split("|")]
    return resolved


@with_page
def test_every_command_and_its_options_exist(page: Path) -> None:
    for words in commands(page):
        if not words[0][:1].isalpha() or words[0] == "...":
            continue
        for command, rest in resolve(words):
            known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
            known |= {option for parameter in command.params for option in parameter.secondary_opts}
            used = {
                re.match(r"--[a-z0-9-]+", word.lstrip("[("))[0] for word in rest if word.lstrip("[(").startswith("--")
            }  # type: ignore[index]
            assert used <= known, f"acz {' '.join(words)}: no option {used - known}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.mark.slow
@with_page
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, shared: Path) -> None:
    session = Session(tmp_path, shared)
    for block in read_blocks(page):
        session.run(block)


def test_shown_output_is_held_against_what_was_printed() -> None:
    printed = "epoch 1  top-1 0.5123\nbest top-1 0.77 at epoch 10; runs/a-20250101/best.safetensors\n"
    assert missing_line("best top-1 0.81 at epoch 9; runs/a-.../best.safetensors", printed) is None
    assert missing_line("epoch 2  top-1 0.6\nbest top-1 0.7 at epoch 8; ...", printed) is None
    assert missing_line("best top-1 ...\nepoch 2  top-1 0.6", printed) == "epoch 2  top-1 0.6", "lines are in order"
    assert missing_line("best GAP 0.77 at epoch 10; ...", printed) is not None


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = "-m sphinx --quiet --fail-on-warning --keep-going --nitpicky -b html -c docs".split()
    command = [sys.executable, *words, "-d", str(tmp_path / "doctrees"), ".", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "Spec" in (tmp_path / "site/docs/reference/api.html").read_text(encoding="utf-8")


def test_the_readmes_show_the_same_blocks() -> None:
    english, chinese = (
        [b for b in read_blocks(ROOT / p) if b.language in RUN] for p in ("README.md", "docs/README.zh.md")
    )
    code = [[re.sub(r" *#.*", "", block.text) for block in blocks] for blocks in (english, chinese)]
    assert code[0] == code[1]


def test_the_page_of_reliability_counts_the_corpus() -> None:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    inputs = sum(path.is_file() for path in (ROOT / "fuzz/corpus").glob("*/*/*"))
    assert f"\n{inputs} inputs" in text


def test_pre_commit_has_the_pinned_ruff() -> None:
    pinned = re.findall(r"^ruff==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    hooks = re.findall(r"ruff==[\d.]+", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert set(hooks) == set(pinned)


def test_the_citation_has_this_version() -> None:
    assert f"\nversion: {acz.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@with_page
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    rooms = "acz|backends|configs|docs|fuzz|parity_tests|scripts|tests"
    for name in re.findall(rf"(?<![\w/.])(?:{rooms})/[\w/*.-]*[\w*/]", text):
        named = re.sub(r"/[A-Z]{2}.*", "", name)  # READER and the like stand for any
        patterns = (named.rstrip("/"), f"{named}.yaml")  # a configuration goes by its name
        assert any(any(ROOT.glob(pattern)) for pattern in patterns), f"{page.name}: there is no {name}"


@with_page
def test_the_modules_and_names_of_acz_that_a_page_names_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    for name in {word for text in code for word in re.findall(r"\bacz(?:\.[A-Za-z_]\w*)+", text)}:
        assert _resolves(name), f"{page.name}: there is no {name}"


def _resolves(name: str) -> bool:
    """True for a module, an attribute of one, or an entry that an artefact carries (`acz.spec`, `acz.spec_hash`)."""
    if name in ("acz.spec", "acz.spec_hash", "acz.backends"):
        return True
    value: Any = acz
    for place, part in enumerate(name.split(".")[1:], 2):
        if hasattr(value, part):
            value = getattr(value, part)
        elif find_spec(".".join(name.split(".")[:place])) is None:
            return False
        else:
            value = import_module(".".join(name.split(".")[:place]))
    return True
