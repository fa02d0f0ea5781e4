"""The workspace names the panels that runs can fill, without an account."""

import json

import pytest

from qcodec.cli import main
from qcodec.runs.schema import Metric, RunDescription, write_description


def write_run(folder):
    """Write a run of two systems and two seeds."""
    folder.mkdir()
    metrics = [Metric("mse", "Training MSE", "MSE", distortion=True), Metric("ma_e", "MA-E", "MA-E")]
    write_description(folder, RunDescription("surrogate", tuple(metrics), rank=("mse",)))
    columns = [f"{metric}/{system}" for metric in ("mse", "ma_e", "hard_mse", "entropy_bits") for system in "ab"]
    columns = ["epoch", "step", *columns, *(f"by_seed/{column}/{seed}" for column in columns for seed in (0, 1))]
    rows = [[epoch, 10 * epoch + 10, *[0.5] * (len(columns) - 2)] for epoch in range(2)]
    (folder / "metrics.csv").write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]) + "\n")
    return folder


def panels(workspace):
    sections = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    return [
        (section["name"], panel["viewType"], panel["config"]) for section in sections for panel in section["panels"]
    ]


def test_a_surrogates_workspace_has_curves_with_bands_over_seeds(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert main(["dashboard", str(folder)]) == 0
    told = capsys.readouterr().out
    assert f"qcodec dashboard {folder} --entity NAME --project qcodec" in told
    workspace = json.loads((folder / "workspace.json").read_text())
    found = panels(workspace)
    curves = {config["metrics"][0]: config for name, _, config in found if name == "Curves over training"}
    assert {"mse", "ma_e", "hard_mse"} <= set(curves)
    assert curves["mse"]["groupBy"] == "system.value"
    assert (curves["mse"]["groupAgg"], curves["mse"]["groupArea"]) == ("median", "minmax")
    (run_set,) = workspace["spec"]["section"]["runSets"]
    assert [each["name"] for each in run_set["grouping"]] == ["system.value"]
    report = json.loads((folder / "wandb_report.json").read_text())
    (grid,) = (block for block in report["spec"]["blocks"] if block["type"] == "panel-grid")
    assert {panel["config"]["metrics"][0] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]} >= {"mse"}


def test_pictures_and_sound_have_panels(tmp_path):
    folder = write_run(tmp_path / "run")
    description = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**description, "kind": "audio"}))
    (folder / "pictures").mkdir()
    (folder / "pictures" / "spectrogram_1.png").write_bytes(b"")
    assert main(["dashboard", str(folder), "--output", str(tmp_path / "out")]) == 0
    found = panels(json.loads((tmp_path / "out" / "workspace.json").read_text()))
    media = [config["mediaKeys"] for _, view, config in found if view == "Media Browser"]
    assert media == [["original"], ["decoded"], ["spectrogram_1"]]


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "wandb_workspaces.workspaces", None)
    assert main(["dashboard", str(write_run(tmp_path / "run"))]) == 1
    assert "pip install 'qcodec[dashboard]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothing", "."])
def test_what_is_no_run_is_an_error_of_one_line(name, capsys):
    assert main(["dashboard", name]) == 1
    assert "qcodec: error:" in capsys.readouterr().err
