"""A disk that is full: one line, and the last good file stays."""

import subprocess
import sys

import pytest
import soundfile
import torch

from qcodec import DacCodec, residual_vq
from qcodec.cli import main
from qcodec.codecs.dac.weights import export_dac
from qcodec.runs.schema import RunDescription, write_description

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing beyond the limit is an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from qcodec.cli import main
sys.exit(main(sys.argv[2:]))
"""
FAST = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--data.init_args.source.init_args.frames=20"]
FAST += ["--data.init_args.updates_per_epoch=2", "--data.init_args.held_out_draws=1", "--trainer.max_epochs=1"]


def limited(size, *words):
    """Run a command that can write no file beyond a size; return its errors."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_fit_whose_checkpoint_cannot_be_written_says_so_and_leaves_no_part(tmp_path):
    errors = limited(30_000, "fit", "--config=surrogate/sq_mste", "--run_dir=run", *FAST)
    assert "cannot be written whole: is the disk full?" in errors
    assert not [*(tmp_path / "run/checkpoints").iterdir()]
    assert (tmp_path / "run/metrics.csv").stat().st_size > 100


@pytest.mark.parametrize("name", ["out.pth", "out.safetensors"])
def test_an_export_that_cannot_be_written_leaves_the_former_file(tmp_path, name):
    torch.manual_seed(0)
    export_dac(DacCodec(residual_vq(16, 2, 8, 2), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8), "model.pth")
    (tmp_path / name).write_bytes(b"former")
    errors = limited(20_000, "export", "model.pth", name, "--overwrite")
    assert "is the disk full?" in errors or "File too large" in errors
    assert (tmp_path / name).read_bytes() == b"former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pth", name]


def test_a_recording_that_cannot_be_decoded_whole_leaves_the_former_file(tmp_path):
    torch.manual_seed(0)
    export_dac(DacCodec(residual_vq(16, 2, 8, 2), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8), "model.pth")
    soundfile.write("in.wav", 0.1 * torch.randn(40_000).numpy(), 16000)
    chosen = ["--checkpoint", "model.pth", "--device", "cpu"]
    assert main(["encode", "in.wav", "in.qc", *chosen]) == 0
    (tmp_path / "out.wav").write_bytes(b"former")
    errors = limited(15_000, "decode", "in.qc", "out.wav", *chosen)
    assert "is the disk full?" in errors or "File too large" in errors
    assert (tmp_path / "out.wav").read_bytes() == b"former"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.qc", "in.wav", "model.pth", "out.wav"]


def test_a_report_that_cannot_be_written_leaves_the_former_page(tmp_path):
    (tmp_path / "run").mkdir()
    write_description(tmp_path / "run", RunDescription("other"))
    (tmp_path / "run/metrics.csv").write_text("epoch,step,snr\n0,1,3\n1,2,4\n")
    (tmp_path / "run/report.html").write_text("former")
    errors = limited(15_000, "report", "run")
    assert "is the disk full?" in errors or "File too large" in errors
    assert (tmp_path / "run/report.html").read_text() == "former"
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]
