"""Installing: the command that messages print, the versions of Python, the metadata of the package."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acz.backend.info import BackendInfo
from acz.backend.registry import infos
from acz.foundation.installation import install_command
from scripts.readme import LINK, with_absolute_links

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


def test_links_of_the_readme_lead_somewhere_in_a_package_index() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert LINK.search(text)
    absolute = with_absolute_links(text, "https://forge.example/acz/blob/main/")
    assert not LINK.search(absolute)
    assert "[CONTRIBUTING.md]" not in absolute
    assert "[contributing](https://forge.example/acz/blob/main/CONTRIBUTING.md)" in absolute
    paths = {match["path"].partition("#")[0] for match in LINK.finditer(text)}
    assert all((ROOT / path).exists() for path in paths)
    plain = with_absolute_links(text, None)
    assert not LINK.search(plain)
    assert "contributing (`CONTRIBUTING.md`)" in plain
    assert with_absolute_links("[docs/a.md](docs/a.md), [b](https://c.d)", None) == "docs/a.md, [b](https://c.d)"


def versions() -> list[str]:
    """The versions of Python in the classifiers."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)


def test_everything_names_the_same_versions_of_python() -> None:
    first, *_, last = versions()
    minor = int(last.removeprefix("3."))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == f">={first},<3.{minor + 1}"
    assert project["tool"]["ruff"]["target-version"] == f"py{first.replace('.', '')}"
    words = f"Python {', '.join(versions()[:-1])} or {last}"
    for page in ("README.md", "docs/tutorial.md"):
        assert words in " ".join((ROOT / page).read_text(encoding="utf-8").split()), page
    for script in ("quickstart.sh", "docs.sh"):
        assert f"check_python .venv {' '.join(versions())}\n" in (ROOT / "scripts" / script).read_text()
    everything = f"check_python .venv {' '.join(infos()['mindspore'].pythons)}  "
    assert everything in (ROOT / "scripts/test.sh").read_text(), "the whole test needs MindSpore"
    assert platform.python_version_tuple()[1] in [version.removeprefix("3.") for version in versions()]


@pytest.mark.parametrize(
    ("script", "python", "message"),
    [
        ("quickstart.sh", "3.10", "This script needs one of these versions: 3.11 3.12 3.13"),
        ("quickstart.sh", "3.14", "This script needs one of these versions: 3.11 3.12 3.13"),
        ("docs.sh", "2.7", "This script needs one of these versions: 3.11 3.12 3.13"),
        ("test.sh", "3.13", "This script needs one of these versions: 3.11 3.12"),
        ("test.sh --quick", "3.14", "This script needs one of these versions: 3.11 3.12 3.13"),
    ],
)
def test_a_script_refuses_a_python_that_is_too_old_or_too_new(
    script: str, python: str, message: str, tmp_path: Path
) -> None:
    """The interpreter is this one, which says that it has another version."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    other = tmp_path / "other-python"
    version = python.replace(".", ", ")
    code = f"import sys; sys.version_info = ({version}, 0, 'final', 0); exec(sys.argv[1])"
    other.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exit 99\nexec "{sys.executable}" -c "{code}" "$2"\n')
    other.chmod(0o755)
    answer = subprocess.run(
        ["bash", *f"scripts/{script}".split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": str(other)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2, answer
    lines = answer.stderr.splitlines()
    assert lines[0] == f"{other} is Python {python}. {message}"
    assert lines[1] == f"Install one of them and name it, as in: PYTHON=python3.12 bash scripts/{script.split()[0]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other-python", "scripts"], "nothing is made"


def test_a_script_names_an_environment_of_another_python(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 3.10\n")
    python.chmod(0o755)
    answer = subprocess.run(
        ["bash", "scripts/quickstart.sh"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert "Remove the folder .venv, which an earlier call made." in answer.stderr
    missing = {**os.environ, "PYTHON": str(tmp_path / "nothing")}
    shutil.rmtree(tmp_path / ".venv")
    answer = subprocess.run(
        ["bash", "scripts/quickstart.sh"], cwd=tmp_path, env=missing, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert f"{tmp_path}/nothing does not run." in answer.stderr
