"""Fenced blocks of the documents, and a folder in which a page's blocks run in order.

A block is run, or a comment on the lines before it says what it is:

    <!-- not run: REASON -->         hardware, data or time that is not here
    <!-- file: NAME -->              it is written to this file
    <!-- output -->                  its lines are part of what the block before it printed, in order; numbers may differ, `...` is any text
    <!-- run: WORD => WORD; ... -->  it is run with these words replaced, by a smaller model for one

A comment that readers do not see prepares for the blocks after it: `<!-- setup` with commands, `<!-- python` with lines that go before each
Python block, `<!-- check` with lines that go after each. The command `small-flash-mnist` puts a data set into
data/flash-digits, which is made once for all pages; `fixture-checkpoints` copies the originals' small checkpoints of
PaddlePaddle and TensorFlow.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
RUN = ("sh", "python")
"""Languages of blocks that are run."""


@dataclass
class Block:
    page: Path
    line: int
    language: str
    text: str
    marks: list[tuple[str, str]] = field(default_factory=list)
    """Comments before it, in order: their first word, and the rest."""

    def mark(self, name: str) -> str | None:
        return next((rest for word, rest in self.marks if word == name), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


PARTS = re.compile(
    r"<!-- *(?P<mark>not run|file|output|run|setup|python|check)(?::|(?=\s))(?P<rest>.*?)-->"
    r"|^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


def read_blocks(page: Path) -> list[Block]:
    """Every fenced block of a page but the directives of the site, with the comments that belong to it."""
    text = page.read_text(encoding="utf-8")
    blocks, marks = [], []
    for match in PARTS.finditer(text):
        if match["mark"]:
            marks.append((match["mark"], match["rest"].strip()))
        elif not match["language"].startswith("{"):
            line = text.count("\n", 0, match.start()) + 1
            body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
            blocks.append(Block(page, line, match["language"].strip(), body, marks))
            marks = []
    return blocks


def commands(page: Path) -> list[list[str]]:
    """Every `acz` command that a page shows, in blocks and in prose, as its words without the remark behind them."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in read_blocks(page) for line in block.text.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(acz [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    shown = (re.match(r"\s*(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?acz (.*)", line) for line in lines)
    return [re.split(r"\s{2,}|\s#|[;|]\s", match[1])[0].split() for match in shown if match]


SMALL = "--videos-per-label 1 --test-videos-per-label 1 --epochs 1"
SCRIPTS = {
    "acz": f'exec {sys.executable} -m acz "$@"',
    "python": f'exec {sys.executable} "$@"',
    "small-flash-mnist": f"""
        [ -f "$SHARED/flash-digits/manifest.json" ] || acz data flash-mnist {SMALL} --out "$SHARED/flash-digits"
        mkdir -p data && cp -r "$SHARED/flash-digits" data/""",
    "fixture-checkpoints": f"cp {ROOT}/tests/fixtures/checkpoints/paddle/AttentionCluster.pdparams . && "
    f"cp -r {ROOT}/tests/fixtures/checkpoints/tf/pomonam_full logs",
}
"""Commands on the path of a session."""


class Session:
    """A folder with `acz` and `python` on its path, in which blocks run in order.

    Args:
        folder: an empty folder for this page.
        shared: a folder for what all pages use.
    """

    def __init__(self, folder: Path, shared: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name, script in SCRIPTS.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (programs / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]),
            "SHARED": str(shared),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "COLUMNS": "120",
            "PYTHONUNBUFFERED": "1",
        }
        self.printed = ""
        self.prelude = ""
        self.checks = ""

    def run(self, block: Block) -> None:
        """Run a block or write its file; AssertionError where it fails or prints something else than the page shows."""
        if (reason := block.mark("not run")) is not None:
            assert reason, f"{block}: say why it is not run"
            return
        for word, rest in block.marks:
            if word == "setup":
                self._execute(block, ["bash", "-euo", "pipefail", "-c", rest])
            elif word == "python":
                self.prelude += rest + "\n"
            elif word == "check":
                self.checks += rest + "\n"
        if (name := block.mark("file")) is not None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.mark("output") is not None:
            missing = missing_line(block.text, self.printed)
            assert missing is None, f"{block}: the page shows {missing!r}, but this was printed:\n{self.printed}"
        elif block.language == "python":
            self._execute(block, ["python", "-c", self.prelude + self._replaced(block) + self.checks])
        else:
            self._execute(block, ["bash", "-euo", "pipefail", "-c", self._replaced(block)])

    def _replaced(self, block: Block) -> str:
        text = block.text
        for pair in filter(None, (block.mark("run") or "").split(";")):
            old, new = (part.strip() for part in pair.split("=>"))
            assert old in text, f"{block}: '{old}' is not in the block"
            text = text.replace(old, new)
        return text

    def _execute(self, block: Block, command: list[str]) -> None:
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        self.printed = ended.stdout
        assert ended.returncode == 0, f"{block}: exit code {ended.returncode}\n{self.printed}"


def missing_line(shown: str, printed: str) -> str | None:
    """The first line that is shown but not printed after the lines before it; None if there is no such line."""
    lines = [_without_numbers(line) for line in printed.splitlines()]
    start = 0
    for line in filter(None, map(str.strip, shown.splitlines())):
        pattern = ".*".join(map(re.escape, _without_numbers(line).split("...")))
        start = next((i + 1 for i in range(start, len(lines)) if re.fullmatch(pattern, lines[i])), 0)
        if start == 0:
            return line
    return None


def _without_numbers(line: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", "#", line)).strip()
