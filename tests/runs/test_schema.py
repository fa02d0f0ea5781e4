from pathlib import Path

import pytest

from qcodec.runs.schema import Bound, Metric, RunDescription, read_description, write_description

FULL = RunDescription(
    "surrogate",
    (Metric("mse", "MSE per value", "MSE", better="lower", distortion=True), Metric("snr", "SNR", "SNR", unit="dB")),
    ("mse",),
    Bound((0.0, 57.04), (0.8846, 0.0)),
    {"known rotation": 0.1044},
)


@pytest.mark.parametrize("description", [FULL, RunDescription("other")], ids=["full", "bare"])
def test_what_a_run_states_is_read_as_it_was_written(tmp_path: Path, description: RunDescription) -> None:
    write_description(tmp_path, description)
    assert read_description(tmp_path) == description


def test_a_metric_that_a_run_does_not_state_is_called_by_its_name() -> None:
    assert FULL.metric("snr").label == "SNR (dB)"
    assert FULL.metric("loss") == Metric("loss", "loss", "loss")
    assert not FULL.metric("diverged_at").drawn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"layout": 1}', "of another version"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"layout": 2}', "damaged"),
        ('{"layout": 2, "kind": "k", "metrics": [{"nam": 1}], "bound": null}', "damaged"),
        ('{"layout": 2, "kind": "k", "metrics": [], "bound": {}}', "damaged"),
        ('{"layout": 2, "kind": "k", "metrics": [], "bound": null, "more": 1}', "damaged"),
    ],
)
def test_a_file_of_another_version_and_a_damaged_one_are_told_apart(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=rf"run\.json is {message}.*run the recipe again"):
        read_description(tmp_path)
