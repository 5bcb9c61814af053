"""A report in a real browser: nothing is loaded, nothing complains, and it fits a phone's window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

import pytest

from acz import infer_video
from acz.api.runs import new_run
from acz.api.studies import report
from acz.foundation.progress import Progress
from acz.studies.reports.page import page, table
from acz.training.loop import train
from acz.zoo.config import load_config
from tests.conftest import TINY, write_features, write_several_labels
from tests.report_cases import SECTIONS
from tests.video_cases import train_on_clips

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="a browser draws the page, and pip brings none: apt-get install chromium"
    ),
]

HARNESS = """<!DOCTYPE html><html><body><pre id="found"></pre>
<iframe id="page" width="{width}" height="900" srcdoc="{content}"></iframe>
<script>
document.getElementById("page").addEventListener("load", () => {{
  const inside = document.getElementById("page").contentDocument;
  const root = inside.documentElement;
  document.getElementById("found").textContent = JSON.stringify({{
    scroll: root.scrollWidth, client: root.clientWidth,
    sections: [...inside.querySelectorAll("section")].filter(one => one.offsetHeight > 20).map(one => one.id),
    charts: [...inside.querySelectorAll("svg.chart polyline")].filter(one => one.getBoundingClientRect().width > 50).length,
    images: [...inside.images].map(one => one.naturalWidth),
    loaded: inside.defaultView.performance.getEntriesByType("resource").map(one => one.name),
    ground: inside.defaultView.getComputedStyle(inside.body).backgroundColor,
  }});
}});
</script></body></html>"""


def browse(content: str, width: int, folder: Path, *options: str) -> tuple[dict[str, Any], list[str]]:
    """Open a page in a window of `width` pixels. Returns measures of the page, and the lines of the console."""
    harness = folder / "harness.html"
    harness.write_text(HARNESS.format(width=width, content=escape(content)), encoding="utf-8")
    answer = run_chromium(folder, *options, "--virtual-time-budget=4000", "--dump-dom", harness.as_uri())
    [measures] = re.findall(r'<pre id="found">(\{.*?\})</pre>', answer.stdout)
    return json.loads(measures), [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


def run_chromium(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-gpu")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--enable-logging=stderr", profile, *quiet, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=folder)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of two tiny runs."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_features(folder / "data")
    for name, rate in (("first", 0.05), ("a_second_run_with_quite_a_long_name_that_no_window_of_a_phone_holds", 0.04)):
        overrides = {"train.epochs": 3, "train.batch_size": 16, "train.optimizer.learning_rate": rate}
        train(new_run(load_config(TINY, overrides), "numpy", "CPU", data, folder / name, 1))
    out = folder / "report.html"
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    report(runs, out, videos=2)
    return out.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_report_fits_its_window_and_loads_nothing(content: str, width: int, tmp_path: Path) -> None:
    measures, console = browse(content, width, tmp_path)
    assert not console
    assert not measures["loaded"]
    assert measures["scroll"] <= measures["client"] <= width
    assert set(measures["sections"]) == SECTIONS
    assert measures["charts"] >= 12
    assert len(measures["images"]) == 4
    assert all(wide > 1000 for wide in measures["images"])
    assert measures["ground"] == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [390, 1280])
def test_a_report_of_several_labels_fits_its_window(width: int, tmp_path: Path) -> None:
    config = load_config(TINY, {"model.output": "sigmoid", "train.epochs": 2, "train.batch_size": 20})
    train(new_run(config, "numpy", "CPU", write_several_labels(tmp_path / "data"), tmp_path / "run", 1))
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["a name of a class that is quite long, as those of games are", *"bcdef"]))
    out = tmp_path / "report.html"
    report(tmp_path / "run", out, videos=0, class_names=names)
    measures, console = browse(out.read_text(encoding="utf-8"), width, tmp_path)
    assert not console
    assert measures["scroll"] <= measures["client"] <= width
    assert set(measures["sections"]) == SECTIONS
    assert measures["charts"] >= 9, "loss, GAP, Hit@1, PERR, mAP, training loss, top-5, and two by step"


def test_it_is_dark_where_the_user_wants_that(content: str, tmp_path: Path) -> None:
    measures, _ = browse(content, 1280, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert measures["ground"] == "rgb(20, 23, 27)"


def test_a_screenshot_and_a_print_are_made(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(content, encoding="utf-8")
    address = (tmp_path / "report.html").as_uri()
    run_chromium(tmp_path, "--window-size=1280,2000", f"--screenshot={tmp_path / 'wide.png'}", address)
    run_chromium(tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", address)
    assert (tmp_path / "wide.png").stat().st_size > 50_000
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_the_browser_would_see_a_page_that_is_wrong(tmp_path: Path) -> None:
    """The tests above notice each defect that is put in on purpose. The page's own policy refuses what is outside."""
    wide = '<div style="width: 2000px">wide</div>'
    outside = '<img alt="" src="https://example.com/picture.png"><script>document.title = "run"</script>'
    measures, console = browse(page("wrong", "", [("runs", "Runs", wide + outside)]), 390, tmp_path)
    assert measures["scroll"] > measures["client"]
    assert sum("Content Security Policy" in line for line in console) >= 2
    fine = table("a wide table", ["run", *("a column" for _ in range(40))], [["one", *("1" for _ in range(40))]])
    measures, console = browse(page("fine", "", [("runs", "Runs", fine)]), 390, tmp_path)
    assert measures["scroll"] <= measures["client"]
    assert not console


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of two tagged videos; the name of one is longer than a phone is wide."""
    folder = train_on_clips(tmp_path_factory.mktemp("tagged"))
    (folder / "new").mkdir()
    for number, name in enumerate(
        ("short", "a_clip_whose_name_is_so_long_that_no_window_of_a_phone_holds_it_in_a_line")
    ):
        shutil.copy(folder / f"clips/dog/{2 * number}.mkv", folder / f"new/{name}.mkv")
    infer_video(folder / "run", folder / "new", folder / "page.html", files=folder, window=2, progress=Progress())
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_of_tagged_videos_fits_its_window_and_loads_nothing(tagged: str, width: int, tmp_path: Path) -> None:
    measures, console = browse(tagged, width, tmp_path)
    assert not console
    assert not measures["loaded"]
    assert measures["scroll"] <= measures["client"] <= width
    assert measures["sections"] == ["video0", "video1"]
    assert len(measures["images"]) == tagged.count("<img") >= 12
    assert all(wide > 0 for wide in measures["images"])
