"""To add one thing is to touch one place: a stranger's module, used by recipes through all commands."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

import qcodec
from qcodec.cli import main
from qcodec.runs.schema import read_description

SURROGATE = {
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
    "data": {
        "class_path": "qcodec.data.synthetic.SyntheticBits",
        "init_args": {
            "source": {"class_path": "stranger.Signs"}, "updates_per_epoch": 20, "updates_per_step": 10,
            "held_out_draws": 2,
        },
    },
    "model": {
        "class_path": "qcodec.tasks.surrogate.SurrogateTask",
        "init_args": {
            "seeds": 2,
            "systems": {
                "thirds": {"quantizer": {"class_path": "stranger.Thirds"}, "losses": {"others": {"distance": 0.1}}},
                "halved": {"quantizer": {"class_path": "qcodec.ScalarQuantizer",
                                       "init_args": {"estimator": {"class_path": "stranger.HalfGradient"}}}},
                "soft": {"quantizer": {"class_path": "qcodec.ScalarQuantizer",
                                       "init_args": {"estimator": {"class_path": "stranger.Softmax"}}}},
                "circle": {"quantizer": {"class_path": "qcodec.FactorizedVQ",
                                         "init_args": {"dim": 30, "codebook": {"class_path": "stranger.Circle"},
                                                       "estimator": {"class_path": "stranger.HalfGradient"}}}},
            },
        },
    },
}  # fmt: skip


def stage(estimator):
    return {
        "class_path": "qcodec.FactorizedVQ",
        "init_args": {"dim": 8, "codebook": {"class_path": "stranger.Circle"}, "estimator": {"class_path": estimator}},
    }


RESIDUAL = {
    "class_path": "qcodec.ResidualVQ",
    "init_args": {
        "stages": [stage("stranger.Softmax"), stage("stranger.HalfGradient"), stage("qcodec.DiVeQ")],
        "allocator": {"class_path": "stranger.Loud"},
    },
}
THIRDS = {
    "class_path": "qcodec.AnnealedDither",
    "init_args": {"quantizer": {"class_path": "stranger.Thirds"}, "std": 0.1, "updates": 5},
}


def audio(quantizer, **losses):
    return {
        "trainer": {
            "max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "log_every_n_steps": 4,
            "callbacks": [{"class_path": "qcodec.callbacks.figures.ProbeFigures",
                           "init_args": {"figures": [{"class_path": "stranger.Waves"}], "clips": 1}}],
        },
        "data": {"class_path": "stranger.Beeps"},
        "model": {
            "class_path": "qcodec.tasks.audio.AudioTask",
            "init_args": {
                "codec": {"class_path": "stranger.Recurrent", "init_args": {"quantizer": quantizer}},
                "losses": {"waveform": 1.0, **losses},
                "metrics": [{"class_path": "stranger.Peak"}],
            },
        },
    }  # fmt: skip


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """Put the module into an empty folder, which no test of another has seen."""
    shutil.copy(Path(__file__).with_name("stranger_module.py"), tmp_path / "stranger.py")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    yield
    sys.modules.pop("stranger", None)


def fit(tmp_path, recipe):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["fit", "--config", "recipe.yaml", "--run_dir", "run"]) == 0
    return list(csv.DictReader((tmp_path / "run/metrics.csv").read_text().splitlines()))


def test_source_quantizer_codebook_and_both_kinds_of_estimators_train_on_the_surrogate(stranger, tmp_path):
    rows = fit(tmp_path, SURROGATE)
    for system in SURROGATE["model"]["init_args"]["systems"]:
        assert 0 < float(rows[-1][f"hard_mse/{system}"]) < 3
        assert rows[-1][f"by_seed/hard_mse/{system}/0"] != rows[-1][f"by_seed/hard_mse/{system}/1"]
    description = read_description(tmp_path / "run")
    assert description.references == {"all zero": 1.0}
    assert description.bound.bits[-1] == 30
    assert main(["report", "run"]) == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "all zero" in page or (tmp_path / "run/figures/hard_mse.png").is_file()
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    first, second = (state[f"systems.thirds.quantizers.{seed}.scale"] for seed in (0, 1))
    assert first != second, "what lies in buffers is drawn for each seed"


@pytest.mark.parametrize("quantizer", [RESIDUAL, THIRDS], ids=["residual", "thirds"])
def test_codec_data_allocator_metric_and_figure_go_through_every_command(stranger, tmp_path, capsys, quantizer):
    losses = {"others": {"distance": 0.1}} if quantizer is THIRDS else {"commitment": 0.25, "codebook": 1.0}
    (row,) = [row for row in fit(tmp_path, audio(quantizer, **losses)) if row["val_mel"]]
    assert 0 < float(row["peak_of_stranger"]) < 10
    assert 0 < float(row["val_peak_of_stranger"]) < 10
    assert 0 < float(row["codebook_usage"]) <= 1
    assert (tmp_path / "run/pictures/waves.png").is_file()
    assert main(["report", "run"]) == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "Peak of the decoded audio" in page
    assert "waves" in page

    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(9001) / 16000)
    soundfile.write(tmp_path / "in.wav", wave, 16000, subtype="FLOAT")
    words = ["--checkpoint", "run", "--device", "cpu"]
    assert main(["encode", "in.wav", "a.qc", *words]) == 1
    assert "not of qcodec: if you trust that code, let it run with --trust stranger" in capsys.readouterr().err
    words += ["--trust", "stranger"]
    assert (
        main(["encode", "in.wav", "a.qc", *words]) == main(["decode", "a.qc", "a.wav", *words, "--subtype=FLOAT"]) == 0
    )
    codec = qcodec.load_run("run").codec(trust=["stranger"])
    x = torch.from_numpy(wave).float()[None, None]
    expected = codec(x).audio[0, 0].detach()
    torch.testing.assert_close(torch.from_numpy(soundfile.read("a.wav")[0]).float(), expected, rtol=0, atol=1e-6)
    assert torch.equal(codec.decode(codec.encode(x))[0, 0, :9001], expected)

    assert main(["tables", "in.wav", "fitted.safetensors", *words]) == 0
    assert main(["export", "run", "mine.safetensors", "--trust", "stranger"]) == 0
    for model in ("mine", "fitted"):
        given = ["--checkpoint", f"{model}.safetensors", "--device", "cpu", "--trust", "stranger"]
        assert main(["encode", "in.wav", f"{model}.qc", *given]) == 0
        assert main(["decode", f"{model}.qc", f"{model}.wav", *given, "--subtype=FLOAT"]) == 0
        assert np.array_equal(soundfile.read(f"{model}.wav")[0], soundfile.read("a.wav")[0])
    assert (tmp_path / "fitted.qc").stat().st_size < (tmp_path / "mine.qc").stat().st_size
    assert main(["evaluate", "in.wav", "--checkpoint", "run", "mine.safetensors", *words[2:], "--points", "3"]) == 0
    rows = list(csv.DictReader((tmp_path / "evaluation/evaluation.csv").read_text().splitlines()))
    assert len(rows) == 2 * (3 if quantizer is RESIDUAL else 1)
    assert main(["export", "run", "mine.pth", "--trust", "stranger"]) == 1
    assert "Recurrent" in capsys.readouterr().err
    if quantizer is RESIDUAL:
        a_rate_is_found_among_the_levels_that_the_allocator_names(tmp_path, words)


def a_rate_is_found_among_the_levels_that_the_allocator_names(tmp_path, words):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000) * np.linspace(0, 2, 16000)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    sizes = []
    for rate in ("4.0", "5.2", "100"):
        assert main(["encode", "noise.wav", f"{rate}.qc", *words, "--kbps", rate]) == 0
        data = (tmp_path / f"{rate}.qc").read_bytes()
        sizes.append((json.loads(data[14 : data.index(b"}") + 1])["level"], len(data)))
    assert sizes == sorted(sizes)
    assert sizes[-1][0] == 3
