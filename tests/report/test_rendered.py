"""The pages as a browser shows them, where Chromium is installed."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from test_leaderboard import run as leaderboard_run
from test_report import run_folder

from qcodec.report.leaderboard import page
from qcodec.report.leaderboard_entry import entries_of
from qcodec.report.write import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
WIDTHS = pytest.mark.parametrize("width", [390, 1200])
MEASURED = "document.title = document.documentElement.scrollWidth - innerWidth + ' ' + innerWidth"


def rendered(html, folder, script, width=1200):
    """Return the title of a page after a script has run in it, in a window of some width."""
    (folder / "page.html").write_text(html)
    frame = f'<iframe src="page.html" style="border:0;width:{width}px;height:900px" id="f"></iframe>'
    inner = (
        f"const w = document.getElementById('f').contentWindow; w.eval({script!r}); document.title = w.document.title"
    )
    (folder / "outer.html").write_text(f"<body>{frame}<script>onload = () => {{ {inner} }}</script></body>")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=5000",
    ]
    call = [CHROMIUM, *flags, f"--user-data-dir={folder}/profile", "--dump-dom", (folder / "outer.html").as_uri()]
    dom = subprocess.run(call, capture_output=True, text=True, timeout=60, check=True).stdout
    return re.search(r"<title>(.*?)</title>", dom)[1]


@WIDTHS
def test_a_report_is_no_wider_than_the_window(tmp_path, width):
    values = {"hard_mse": {f"system_{k}": [[0.3, 0.4], [0.1 * k, 0.2]] for k in (1, 2, 3)}}
    html = write_report([run_folder(tmp_path / "run", values)], tmp_path / "out").read_text()
    beyond, inner = map(int, rendered(html, tmp_path, MEASURED, width).split())
    assert inner == width
    assert beyond <= 0


@WIDTHS
def test_the_leaderboard_is_no_wider_than_the_window(tmp_path, width):
    entries = entries_of(leaderboard_run({f"a_quite_long_name_of_an_entry_{k}": [0.1 * k] * 3 for k in range(1, 5)}))
    beyond, inner = map(int, rendered(page(entries), tmp_path, MEASURED, width).split())
    assert inner == width
    assert beyond <= 0


def test_a_click_sorts_the_leaderboard_by_number_and_words_filter_its_rows(tmp_path):
    entries = entries_of(leaderboard_run({"b": [0.1] * 3, "a": [0.02] * 3, "c_lost": [np.nan] * 3, "d": [0.003] * 3}))
    names = (
        "[...document.querySelectorAll('tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent).join(' ')"
    )
    heading = "[...document.querySelectorAll('th')].find(h => h.textContent === 'hard MSE, median')"
    assert rendered(page(entries), tmp_path, f"document.title = {names}") == "a b c_lost d"
    assert rendered(page(entries), tmp_path, f"{heading}.click(); document.title = {names}") == "d a b c_lost"
    filtered = "const f = document.getElementById('filter'); f.value = 'LOST'; f.oninput({target: f})"
    assert rendered(page(entries), tmp_path, f"{filtered}; document.title = {names}") == "c_lost"
