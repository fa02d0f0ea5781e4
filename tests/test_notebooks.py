"""Every notebook runs, and the two files of each say the same."""

import runpy
from pathlib import Path

import jupytext
import matplotlib
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
each = pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])


@each
def test_a_notebook_runs_quickly(script, monkeypatch):
    monkeypatch.setenv("QUICK", "1")
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    matplotlib.use("agg")
    found = runpy.run_path(str(script), run_name="__main__")
    assert found["QUICK"] is True


@each
def test_the_stored_notebook_is_that_of_the_script_and_has_its_outputs(script):
    path = script.with_suffix(".ipynb")
    stored, written = jupytext.read(path), jupytext.read(script)
    cells = [[(cell.cell_type, cell.source) for cell in notebook.cells] for notebook in (stored, written)]
    assert cells[0] == cells[1], (
        f"the pair is stale: jupytext --to ipynb {script.name} && jupyter execute --inplace {path.name}"
    )
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert path.stat().st_size < 600_000


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_notebooks_run_in_full_as_jupyter_runs_them(tmp_path):
    status = pytest.main(["--nbmake", "--nbmake-timeout=600", "-q", "-p", "no:cacheprovider", str(FOLDER)])
    assert status == 0


def test_there_are_notebooks():
    assert len(SCRIPTS) >= 6
