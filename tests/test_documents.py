"""The documents: the site builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = "-m sphinx --quiet --fail-on-warning --keep-going --nitpicky -b html -c docs".split()
    command = [sys.executable, *words, "-d", str(tmp_path / "doctrees"), ".", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "Spec" in (tmp_path / "site/docs/reference/api.html").read_text(encoding="utf-8")
