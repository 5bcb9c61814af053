"""The house style of CONTRIBUTING.md, as far as a test can hold it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = "CONTRIBUTING.md"
KINDS = (".py", ".md", ".yaml", ".yml", ".sh", ".toml", ".cff", ".cpp", ".txt")


def phrases() -> list[str]:
    """The phrases to avoid: the first column of CONTRIBUTING's table."""
    text = (ROOT / LIST).read_text(encoding="utf-8").partition("### Phrases to avoid")[2]
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return [phrase for row in rows for phrase in re.findall(r"`([^`]+)`", row)]


def test_no_file_has_a_phrase_to_avoid() -> None:
    avoided = re.compile("|".join(rf"(?<!\w){re.escape(phrase)}\b" for phrase in phrases()))
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    places = []
    for name in listed:
        if name.endswith(KINDS) and name != LIST:
            text = (ROOT / name).read_text(encoding="utf-8")
            lines = text.splitlines()
            # a phrase may run from one line to the next
            for match in avoided.finditer(re.sub(r"\n[ \t]*(?:# )?", lambda gap: " " * len(gap[0]), text)):
                number = text.count("\n", 0, match.start()) + 1
                places.append(f"{name}:{number}: {match[0]!r} in {lines[number - 1].strip()}")
    assert not places, "\n".join([f"{LIST} says what to write instead:", *places])


def test_the_list_of_phrases_is_read() -> None:
    assert len(phrases()) > 20
    assert " ".join(["goes", "on"]) in phrases(), "written apart, or this file would have it"
