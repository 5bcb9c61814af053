"""scripts/clients.sh, run by one command for two models: other programs compute the reference's function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clients.catalog import CLIENTS

from acz.foundation.files.tables import read_csv
from parity_tests.conftest import require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MODELS = ["flash_mnist/attention_cluster:tiny", "youtube8m/frame_average:tiny"]
BROWSER = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))


def test_the_script_runs_for_two_models(tmp_path: Path) -> None:
    for backend in ("torch", "tensorflow", "paddle", "mindspore"):
        require(backend)
    names = [client.name for client in CLIENTS]
    out = tmp_path / "clients.csv"
    words = ["--models", ",".join(MODELS), "--clients", ",".join(names), "--out", str(out)]
    ended = subprocess.run(
        ["bash", "scripts/clients.sh", *words],
        cwd=ROOT,
        env={**os.environ, "CLIENTS_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    rows = read_csv(out)
    assert [(row["client"], row["model"]) for row in rows] == [(name, model) for name in names for model in MODELS]
    npm = shutil.which("npm") is not None
    programs = {"onnxruntime-web-chromium": npm and BROWSER, "onnxruntime-web-node": npm}
    for row in rows:
        if programs.get(row["client"], True):
            assert row["result"] == "passed", row
        else:
            assert "not installed" in row["result"], "pip brings neither a browser nor Node"
    assert ended.returncode == (0 if all(programs.values()) else 1), ended.stderr
