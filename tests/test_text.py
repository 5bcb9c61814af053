"""Text on terminals and pipes of any encoding, options as they are typed, and addresses of other machines."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import acz as package
from acz.data.registry import open_split
from acz.foundation.errors import DataError
from acz.foundation.files.local import require_local
from acz.studies.reports.curves import Curve, chart, ticks
from tests.conftest import TINY, Answer, write_features

FOLDER = Path(__file__).parent / "fixtures/reports"
Acz = Callable[..., Answer]

ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
NAMES = ["猫", "hünd", "🎬", "d", "e"]
TYPED = """
import sys
from acz.cli import main

for words in sys.argv[1].split("|"):
    sys.argv = ["acz", *words.split()]
    try:
        main()
    except SystemExit as end:
        assert end.code in (0, 2), end.code
"""
"""A program that types several commands in one process, so that Python starts once."""


@pytest.mark.slow  # each starts Python
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_encoding_of_a_terminal_ends_a_command(encoding: str, tmp_path: Path) -> None:
    folder = tmp_path / "视频"
    folder.mkdir()
    (folder / "名.txt").write_text("\n".join(NAMES), encoding="utf-8")
    model = (FOLDER / "models/fa.yaml").read_text(encoding="utf-8")
    (folder / "modèle.yaml").write_text(f'description: "平均 ä 🎬"\n{model}', encoding="utf-8")
    data = FOLDER / "utf8_ids"
    commands = [
        "show 视频/modèle.yaml",
        f"train 视频/modèle.yaml --backend numpy --data {data} --out 视频/läuft",
        f"eval 视频/läuft --data {data}",
        f"infer 视频/läuft --data {data} --out 视频/p.csv --json",
        f"data youtube8m show {data} --classes 5 --class-names 视频/名.txt",
        "eval 视频/fehlt-ü",
        "train --help",
    ]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO"))
    }
    done = subprocess.run(
        [sys.executable, "-c", TYPED, "|".join(commands)],
        cwd=tmp_path,
        env=environment | ENCODINGS[encoding],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"there is no checkpoint" in done.stderr
    shown = done.stdout.decode("cp1252")
    assert ascii(NAMES[0])[1:-1] in shown, "what the encoding has not is escaped"
    assert "GAP" in shown
    assert "hünd" in shown if encoding == "cp1252" else "h\\xfcnd" in shown


def test_what_can_be_written_is_written_as_it_is(acz: Acz, tmp_path: Path) -> None:
    (tmp_path / "名.txt").write_text("\n".join(NAMES), encoding="utf-8")
    words = ("data", "youtube8m", "show", FOLDER / "utf8_ids", "--classes", "5", "--class-names", tmp_path / "名.txt")
    assert "猫" in acz(*words).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--on-bad-record", "stop"), "--on-bad-record: Input should be 'fail' or 'skip', got 'stop'"),
        (("--verify", "some"), "--verify: Input should be 'first', 'all' or 'none', got 'some'"),
        (("--sampling", "some"), "--sampling: Input should be 'all', "),
        (("--sampling", "first:0"), "--sampling: Input should be greater than 0, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_messages_name_options_as_they_are_typed(
    words: tuple[str, ...], message: str, acz: Acz, tmp_path: Path
) -> None:
    typed = ("train", FOLDER / "models/fa.yaml", "--data", FOLDER / "plain", "--backend", "numpy", "--out")
    assert acz(*typed, tmp_path / "run").code == 0
    assert message in acz("eval", tmp_path / "run", *words).err
    with pytest.raises(package.SpecError, match=r"reading\.on_bad_record: "):
        package.evaluate(tmp_path / "run", reading={"on_bad_record": "stop"}, progress=package.Progress())


ADDRESSES = ["s3://bucket/x", "gs://bucket/x", "http://host/x", "https://host/x.npz", "hdfs://host/x", "s3:/bucket/x"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_not_a_path(address: str) -> None:
    scheme, _, rest = address.partition(":")
    with pytest.raises(DataError, match=f"^{scheme}://{rest.lstrip('/')} is not on this machine; .* mount it"):
        require_local(Path(address))
    with pytest.raises(DataError):
        require_local(["data", address])


def test_paths_are_not_addresses() -> None:
    require_local(
        "C:/data", "C:\\data", Path("runs/mine"), "./s3:/x", "model:tiny", None, 3, ["a", Path("b")], {"a": 1}
    )


DOORS = [
    "show {}",
    "train {} --backend numpy",
    "train {model} --data {}",
    "train {model} --data {data} --out {}",
    "train {model} --set data.folder={}",
    "train --from {} --data {data}",
    "train --resume --out {}",
    "eval {}",
    "eval {run} --data {}",
    "eval --predictions {} --data {data}",
    "infer {}",
    "infer {run} --out {}",
    "infer {run} --class-names {}",
    "ensemble {} --out a.csv",
    "ensemble a.csv --out={}",
    "export {} --format onnx",
    "export {run} --format onnx --out {}",
    "convert {} --out a.safetensors",
    "convert {run} --to torch --out {}",
    "parity-check --csv {}",
    "report {}",
    "sweep {}",
    "data verify {}",
    "data show {} --video 1",
    "data flash-mnist --mnist {}",
    "data youtube8m verify {}",
    "data youtube8m convert {data} --out {}",
]


@pytest.mark.parametrize("door", DOORS)
def test_every_command_refuses_an_address(door: str, acz: Acz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = door.format("s3://bucket/x", model=FOLDER / "models/fa.yaml", data=FOLDER / "plain", run="run")
    answer = acz(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("acz: s3://bucket/x is not on this machine; ")
    assert not list(tmp_path.iterdir())


def path_parameters() -> list[tuple[str, str]]:
    """Every public function with each of its parameters that is a path."""
    functions = {name: getattr(package, name) for name in package.__all__}
    return [
        (name, parameter)
        for name, function in functions.items()
        if inspect.isfunction(function)
        for parameter, about in inspect.signature(function).parameters.items()
        if re.search(r"\b(Path|Location)\b", str(about.annotation))
    ]


@pytest.mark.parametrize(("name", "parameter"), path_parameters())
def test_every_function_refuses_an_address(
    name: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(package, name)
    spec = package.load_spec(TINY)
    others: dict[str, Any] = {
        "config": TINY,
        "spec": spec,
        "parameters": package.build(spec, "numpy").parameters,
        "backend": "numpy",
        "path_or_dict": TINY,
        "split": "train",
        "shard": 0,
        "number": 0,
        "arrays": {},
        "splits": {},
        "made": {},
        "out": "a.svg",
    }
    known = inspect.signature(function).parameters
    required = [key for key, about in known.items() if about.default is inspect.Parameter.empty]
    given = {key: others.get(key, "a") for key in required} | {parameter: "s3://bucket/x.svg"}
    with pytest.raises(DataError, match=r"s3://bucket/x\.svg is not on this machine"):
        function(**given)
    assert not list(tmp_path.iterdir())


def test_a_configuration_with_an_address_is_refused() -> None:
    with pytest.raises(DataError, match="gs://bucket/data is not on this machine"):
        open_split("gs://bucket/data", "train")


def test_epochs_are_whole_numbers() -> None:
    assert ticks(1, 2, 6, whole=True) == [1, 2]
    assert ticks(1, 3, 6, whole=True) == [1, 2, 3]
    assert ticks(1, 100, 6, whole=True) == ticks(1, 100, 6)
    for epochs in (1, 2, 3, 5, 12):
        x = [float(epoch) for epoch in range(1, epochs + 1)]
        drawn = chart("loss", "epoch", [Curve("run", 0, x, [1 / epoch for epoch in x])])
        labels = re.findall(r'text-anchor="middle">([\d,]+)<', drawn)
        assert len(set(labels)) == len(labels), "each epoch once"
        assert {"1"} <= set(labels) if epochs < 6 else labels
        places = [float(place) for place in re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="middle">[\d,]+<', drawn)]
        assert places == sorted(places)


def test_a_sampling_is_of_the_data_alone(tmp_path: Path) -> None:
    """A folder of other data is not YouTube-8M: the option is named, as it is typed."""
    data = write_features(tmp_path / "data")
    trained = package.train(
        TINY,
        backend="numpy",
        data=data,
        out=tmp_path / "run",
        overrides={"train.epochs": 1},
        progress=package.Progress(),
    )
    with pytest.raises(package.SpecError, match="which --sampling is for"):
        package.evaluate(trained.folder, reading={"sampling": {"type": "all"}}, progress=package.Progress())
