"""The C++ program of docs/deploy, built and run: its scores are the reference's.

Needs a compiler, CMake and ONNX Runtime's headers.

They are looked for in $ONNXRUNTIME_DIR (include/ and lib/, as the official archives have them), then where
distributions put them. The library may also be that of the Python package onnxruntime, which has no headers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from acz.backend.signature import ports
from acz.exchange.artefacts.onnx.writer import write_onnx
from acz.exchange.artefacts.verify import Expected, as_ports
from acz.parity.cases import cases
from acz.reference.bounds import difference
from acz.reference.samples import Case

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parent.parent / "docs/deploy/cpp"
HEADER = "onnxruntime_cxx_api.h"


def find_headers() -> Path | None:
    """The folder of ONNX Runtime's C++ header."""
    homes = [Path(os.environ.get("ONNXRUNTIME_DIR", "/opt/onnxruntime")), Path("/usr"), Path("/usr/local")]
    for home in homes:
        for inner in ("include", "include/onnxruntime", "include/onnxruntime/core/session"):
            if (home / inner / HEADER).is_file():
                return home / inner
    return None


def find_library() -> Path | None:
    """ONNX Runtime's shared library, as its own archive, the distribution or the Python package has it."""
    folders = [Path(os.environ.get("ONNXRUNTIME_DIR", "/opt/onnxruntime")) / "lib", Path("/usr/local/lib")]
    folders += [Path("/usr/lib64"), *Path("/usr/lib").glob("*-linux-gnu")]
    package = find_spec("onnxruntime")
    if package and package.origin:
        folders.append(Path(package.origin).parent / "capi")
    libraries = (path for folder in folders for path in sorted(folder.glob("libonnxruntime.so*")))
    return next(libraries, None)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built as docs/deploy/README.md says."""
    missing = [tool for tool in ("cmake", "c++") if shutil.which(tool) is None]
    headers, library = find_headers(), find_library()
    missing += [] if headers else [f"{HEADER} (set ONNXRUNTIME_DIR to an unpacked release of ONNX Runtime)"]
    missing += [] if library else ["libonnxruntime.so"]
    if missing or headers is None or library is None:
        pytest.skip(f"a C++ program can't be built without what pip does not bring: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("cpp")
    home = folder / "onnxruntime"
    (home / "lib").mkdir(parents=True)
    (home / "include").symlink_to(headers)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (home / "lib" / name).symlink_to(library.resolve())
    flags = "-Wall -Wextra -Wconversion -Werror"
    for words in (
        ["-S", SOURCE, "-B", folder / "build", f"-DONNXRUNTIME_DIR={home}", f"-DCMAKE_CXX_FLAGS={flags}"],
        ["--build", folder / "build"],
    ):
        built = subprocess.run(["cmake", *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build/run_onnx"


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.model)
def test_the_program_gives_the_references_scores(case: Case, program: Path, tmp_path: Path) -> None:
    parameters = {path: value.astype(np.float32) for path, value in case.parameters.items()}
    write_onnx(case.spec, parameters, tmp_path / "model.onnx")
    expected = Expected(case.spec, parameters)
    for name in case.names:
        inputs = case.batch(name).inputs
        words = []
        for key, value in as_ports(case.spec, inputs).items():
            if not key.endswith("_mask") or name == "padded":  # elsewhere the program makes the mask itself
                np.save(tmp_path / f"{key}.npy", value)
                words.append(f"{key}={tmp_path / key}.npy")
        answer = run(program, tmp_path / "model.onnx", *words, "--best", 2, "--out", tmp_path / "scores.npy")
        assert answer.returncode == 0, answer.stderr
        exact, bound = expected(inputs)
        scores = np.load(tmp_path / "scores.npy")
        assert difference(scores, exact) <= bound, name
        lines = answer.stdout.splitlines()
        assert lines[0] == f"spec {case.spec.hash}"
        assert [line.split()[1] for line in lines if line.startswith("input")] == [p.name for p in ports(case.spec)]
        best = np.argsort(-scores, axis=1, kind="stable")[:, :2]
        labels = [line.split()[2::2] for line in lines if line.startswith("video ")]
        assert [[int(label) for label in row] for row in labels] == best.tolist()


def test_wrong_use_is_said_in_one_line(program: Path, tmp_path: Path) -> None:
    case = cases("flash_mnist/attention_cluster")[0]
    model = tmp_path / "model.onnx"
    write_onnx(case.spec, {path: value.astype(np.float32) for path, value in case.parameters.items()}, model)
    good, wide = tmp_path / "good.npy", tmp_path / "wide.npy"
    features = case.batch("plain").inputs["features"]
    np.save(good, features.astype(np.float32))
    np.save(wide, features)
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:-4])
    (tmp_path / "text.npy").write_text("no array")
    for words, said in (
        ([tmp_path / "missing.onnx"], "missing.onnx"),
        ([model, f"feature={good}"], "no input 'feature'"),
        ([model, f"features_mask={good}"], "give the input 'features'"),
        ([model, f"features={wide}"], "must be float32, uint8 or bool"),
        ([model, f"features={tmp_path / 'cut.npy'}"], "not of its shape"),
        ([model, f"features={tmp_path / 'text.npy'}"], "not a .npy file"),
        ([model, f"features={good}", "--best", "many"], "'--best' is neither"),
        ([model, f"features={good}", "--out", tmp_path / "none/scores.npy"], "can't be written"),
    ):
        answer = run(program, *words)
        assert answer.returncode == 2, said
        assert said in answer.stderr
    described = run(program, model)
    assert described.returncode == 0
    assert "input features (videos, features_frames, 4) <f4" in described.stdout
    assert "output output (videos, " in described.stdout
