"""Every command in the README on data, in a short form."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from audio_files import write_noise

from qcodec.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "qcodec/data/README.md").read_text(encoding="utf-8")
FIT = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
# What is added to a command to make it short. The download is that of test_download.py, from a server of its own.
SHORT = {
    "qcodec fit --config dac/small_mste --config my_data.yaml --run_dir R": [
        *FIT, "--data.init_args.crops.updates_per_epoch=2", "--data.init_args.crops.val_crops=1",
        "--model.init_args.codec.init_args.encoder_dim=2", "--model.init_args.codec.init_args.decoder_dim=32",
        "--model.init_args.codec.init_args.quantizer.init_args.dim=32",
    ],
    "qcodec fit --config surrogate/quickstart --data.init_args.source my_source.Signs --run_dir S": [
        *FIT, "--data.init_args.updates_per_epoch=2", "--data.init_args.held_out_draws=1",
        "--data.init_args.source.init_args.frames=50",
    ],
    "python benchmarks/data.py recordings": ["--side=memory", "--workers=0", "--batches=1", "--batch_size=2"],
    "python benchmarks/audio.py": ["--rounds=1", "--clips=1"],
}  # fmt: skip
ELSEWHERE = {"qcodec data libritts --subset dev-clean --root D"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines()]


def test_every_command_is_run_by_a_test():
    assert set(COMMANDS) == set(SHORT) | ELSEWHERE


@pytest.mark.parametrize("command", SHORT)
def test_a_command_of_the_readme_works(command, tmp_path, monkeypatch):
    for number in range(20):
        write_noise(tmp_path / "recordings" / f"{number}.wav")
    (tmp_path / "my_data.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    (tmp_path / "my_source.py").write_text(blocks("python")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    program, *words = [*shlex.split(command), *SHORT[command]]
    if program == "qcodec":
        assert main(words) == 0
        assert (tmp_path / words[words.index("--run_dir") + 1] / "metrics.csv").is_file()
    else:
        done = subprocess.run(
            [sys.executable, str(ROOT / words[0]), *words[1:]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout
