"""Installing: the command that messages print, the versions of Python, the metadata of the package."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acz.backend.info import BackendInfo
from acz.backend.registry import infos
from acz.foundation.installation import install_command

ROOT = Path(__file__).parent.parent


def test_a_checkout_installs_from_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("acz[torch]") == 'pip install -c constraints.txt -e ".[torch]"'
    assert install_command("acz[torch]", "--force-reinstall").startswith("pip install --force-reinstall -c ")
    assert install_command("acz-jax") == 'pip install "acz-jax"'
    monkeypatch.chdir(tmp_path)
    assert install_command("acz[torch]") == f'pip install -c {ROOT}/constraints.txt -e "{ROOT}[torch]"'


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ({"url": "file://{checkout}", "dir_info": {}}, 'pip install -c {checkout}/constraints.txt "{checkout}[ray]"'),
        ({"url": "file://{checkout}/gone", "dir_info": {}}, 'pip install "acz[ray] @ file://{checkout}/gone"'),
        ({"url": "file:///w/acz.whl", "archive_info": {}}, 'pip install "acz[ray] @ file:///w/acz.whl"'),
        (
            {"url": "https://forge.example/acz", "vcs_info": {"vcs": "git", "commit_id": "d638fc7"}},
            'pip install "acz[ray] @ git+https://forge.example/acz@d638fc7"',
        ),
        (None, 'pip install "acz[ray]"'),
    ],
)
def test_an_installed_copy_takes_its_parts_from_where_it_came(
    address: dict[str, Any] | None, command: str, tmp_path: Path
) -> None:
    """The installed copy is made by hand, with the record of PEP 610 as pip writes it."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    package, record = tmp_path / "site/acz/foundation", tmp_path / "site/acz-0.1.0.dist-info"
    package.mkdir(parents=True)
    record.mkdir()
    for name in ("__init__.py", "foundation/__init__.py"):
        (package.parent / name).touch()
    shutil.copy(ROOT / "acz/foundation/installation.py", package)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: acz\nVersion: 0.1.0\n")
    if address is not None:
        (record / "direct_url.json").write_text(json.dumps(address).replace("{checkout}", str(checkout)))
    code = "from acz.foundation.installation import install_command; print(install_command('acz[ray]'))"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.strip() == command.replace("{checkout}", str(checkout))


def test_no_message_and_no_page_installs_acz_from_a_package_index() -> None:
    files = [*(ROOT / "acz").rglob("*.py"), *(ROOT / "backends").rglob("*.py"), *ROOT.glob("*.md")]
    for path in [*files, *(ROOT / "docs").rglob("*.md")]:
        if path.name != "installation.py":
            assert not re.search(r"pip install [^`\n]*acz\[", path.read_text(encoding="utf-8")), path


def test_a_framework_without_wheels_for_this_python_says_so() -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    info: BackendInfo = infos()["torch"]
    assert info.advice == f"{install_command('acz[torch]')} brings it"
    assert replace(info, pythons=(python,)).advice == info.advice
    other = replace(info, pythons=("3.7", "3.8"))
    assert other.advice == f"it can be installed in Python 3.7 and 3.8 only, and this is Python {python}"
