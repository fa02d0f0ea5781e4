"""Trackio gets what W&B gets, by one fragment."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("trackio")

FIT_AND_READ = """
import sys
from qcodec.cli import main
short = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--data.init_args.updates_per_epoch=3",
         "--data.init_args.source.init_args.frames=50", "--data.init_args.held_out_draws=1"]
begun = ["fit", "--config", "surrogate/quickstart", "--config", "conf/overlay/trackio.yaml", "--run_dir", "a/run"]
assert main([*begun, *short, "--trainer.max_epochs=2"]) == 0
assert main([*begun, *short, "--trainer.max_epochs=3", "--ckpt_path", "a/run/checkpoints/last.ckpt"]) == 0
import numpy as np
from matplotlib.figure import Figure
from qcodec.callbacks.trackio import Trackio
logger = Trackio("a/media")
logger.log_audio("decoded", [np.zeros(800, dtype=np.float32)] * 2, 7, sample_rate=[16000] * 2)
logger.log_image("spectrogram", [Figure()], 7)
logger.finalize("success")
import json
from pathlib import Path
import trackio
from trackio.sqlite_storage import SQLiteStorage
runs = {run.name: run for run in trackio.Api().runs("qcodec")}
logs = {name: SQLiteStorage.get_logs("qcodec", name, run_id=run.id) for name, run in runs.items()}
print(json.dumps({
    "steps": [row["step"] for row in logs["a/run"] if "hard_mse/sq_mste" in row],
    "seeds": sum("by_seed/mse/sq_ste/0" in row for row in logs["a/run"]),
    "settings": str(runs["a/run"].config).count("class_path"),
    "media": sorted(key for row in logs["a/media"] for key in row if key not in ("step", "timestamp")),
    "files": sorted({path.suffix for path in Path("store/media").rglob("*.*")}),
}))
"""


def test_the_fragment_logs_curves_settings_sound_and_pictures_and_a_resumed_fit_goes_on_in_its_run(tmp_path):
    apart = os.environ | {"TRACKIO_DIR": str(tmp_path / "store"), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run([sys.executable, "-c", FIT_AND_READ], capture_output=True, text=True, env=apart, timeout=120)
    assert found.returncode == 0, found.stderr
    *said, read = found.stdout.splitlines()
    assert said == [f"a/run: ended at update {updates}; next: qcodec report a/run" for updates in (6, 9)]
    read = json.loads(read)
    assert (read["steps"], read["seeds"]) == ([3, 6, 9], 3)
    assert read["settings"] > 5
    assert read["media"] == ["decoded/0", "decoded/1", "spectrogram"]
    assert read["files"] == [".png", ".wav"]
