"""Every recipe runs, and every fragment is used by one."""

import contextlib
import csv
import re
from pathlib import Path

import pytest
import torch
import yaml
from audio_files import write_noise
from lightning import Trainer

from qcodec import DacCodec, residual_vq
from qcodec.callbacks.figures import ProbeFigures
from qcodec.cli import main
from qcodec.codecs.dac.weights import export_dac
from qcodec.codecs.model_file import load_codec
from qcodec.runs.recipes import all_recipes, recipes_folder

RECIPES = all_recipes()
SURROGATE = [name for name in RECIPES if name.startswith(("surrogate/", "leaderboard/"))]
AUDIO = [name for name in RECIPES if name not in SURROGATE]
SHORT = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
FEW_DRAWS = [
    "--trainer.max_epochs=1", "--data.init_args.updates_per_epoch=3", "--data.init_args.source.init_args.frames=50",
    "--data.init_args.held_out_draws=1",
]  # fmt: skip
FEW_CROPS = [
    "--trainer.max_steps=2", "--trainer.log_every_n_steps=2", "--data.init_args.crops.updates_per_epoch=2",
    "--data.init_args.crops.val_crops=1", "--data.init_args.crops.val_duration=0.3",
    "--data.init_args.crops.duration=0.2", "--data.init_args.batch_size=1", "--data.init_args.workers=0",
]  # fmt: skip
TINY = [
    f"--model.init_args.codec.init_args.{setting}"
    for setting in ("encoder_dim=2", "decoder_dim=32", "quantizer.init_args.dim=32")
]


def header(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize(
    "name",  # 89 systems take 20 s to read
    [pytest.param(name, marks=pytest.mark.slow if name == "leaderboard/entries" else ()) for name in SURROGATE],
)
def test_a_recipe_runs_and_logs_a_row_with_every_system(name, tmp_path, monkeypatch):
    monkeypatch.setenv("QCODEC_KERNELS", "0")  # each size of an embedding would be compiled
    assert main(["fit", "--config", name, "--run_dir", str(tmp_path / "run"), *SHORT, *FEW_DRAWS]) == 0
    (row,) = rows(tmp_path / "run")
    assert (row["epoch"], row["step"]) == ("0", "3")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    for system in config["model"]["init_args"]["systems"]:
        assert 0 < float(row[f"mse/{system}"]) < 10
        assert 0 < float(row[f"hard_mse/{system}"]) < 10
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.fixture(autouse=True)
def _few_figures(request, monkeypatch):
    """Draw figures, a third of the time of a short fit, for two recipes alone; they name every kind of figure."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name not in ("dac/small_mste", "vrvq/small_vbr"):
        monkeypatch.setattr(ProbeFigures, "on_validation_batch_end", lambda *arguments: None)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Return a folder with a recording to train on and one to validate on."""
    root = tmp_path_factory.mktemp("recordings")
    for subset in ("train-clean-100", "test-other"):
        write_noise(root / subset / f"{subset}.wav", seconds=0.4)
    return root


def in_small(name, recordings, adversary=True):
    """Return settings that make an audio recipe run in seconds, and write the weight file that it may begin with."""
    words = [f"--data.init_args.root={recordings}", *SHORT, *FEW_CROPS]
    words += ["--data.init_args.subsets.train=[train-clean-100]", "--data.init_args.subsets.val=[test-other]"]
    model = yaml.safe_load(RECIPES[name].read_text(encoding="utf-8"))["model"]["init_args"]
    codec = model["codec"]["init_args"]
    quantizer = codec.get("quantizer", {})
    if isinstance(quantizer, str):  # a scalar one, which has no sizes
        words += [word for word in TINY if "quantizer" not in word]
    elif quantizer:
        words += TINY
    else:
        export_dac(DacCodec(residual_vq(32, n_codebooks=2), encoder_dim=2, decoder_dim=32), "tiny.pth")
        words += ["--model.init_args.codec.init_args.path=tiny.pth"]
    if not isinstance(quantizer, str) and "importance" in quantizer.get("init_args", {}).get("allocator", ""):
        words += ["--model.init_args.codec.init_args.quantizer.init_args.allocator.init_args.channels=32"]
        words += ["--data.init_args.batch_size=4"]
    if adversary and "adversary" in model:
        discriminator = "--model.init_args.adversary.init_args.discriminator.init_args"
        words += [f"{discriminator}.periods=[]", f"{discriminator}.fft_sizes=[64]"]
    return words


@pytest.mark.parametrize("name", AUDIO)
def test_an_audio_recipe_trains_and_validates_its_codec_in_small(name, recordings, tmp_path):
    run = str(tmp_path / "run")
    assert main(["fit", "--config", name, "--run_dir", run, *in_small(name, recordings)]) == 0
    (row,) = rows(tmp_path / "run")
    assert row["step"] == "2"
    assert 0 < float(row["mel"]) < 100
    assert 0 < float(row["val_mel"]) < 100
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("name", ["vrvq/44khz_a2", "vrvq/44khz_cbr"])
def test_one_fragment_takes_the_adversary_out_of_a_recipe(name, recordings, tmp_path):
    overlay = "conf/overlay/without_adversary.yaml"
    words = ["--config", overlay, "--run_dir", str(tmp_path / "run"), *in_small(name, recordings, adversary=False)]
    assert main(["fit", "--config", name, *words]) == 0
    (row,) = rows(tmp_path / "run")
    assert "adversarial" not in row
    assert 0 < float(row["mel"]) < 100


def test_one_fragment_lets_a_recipe_train_compiled(recordings, tmp_path):
    run = tmp_path / "run"
    words = ["--run_dir", str(run), *in_small("dac/16khz_mste", recordings), "--trainer.callbacks.backend=eager"]
    assert main(["fit", "--config", "dac/16khz_mste", "--config", "conf/overlay/compile.yaml", *words]) == 0
    trainer = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["trainer"]
    named = [callback["class_path"].rpartition(".")[2] for callback in trainer["callbacks"]]
    assert named == ["ModelCheckpoint", "DivergenceGuard", "AudioSamples", "ProbeFigures", "Compile"]
    (row,) = rows(run)
    assert 0 < float(row["mel"]) < 100
    assert 0 < float(row["val_mel"]) < 100


def test_one_fragment_trains_the_quantizer_alone_in_the_codec_of_another_run(recordings, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    small = in_small("dac/small_mste", recordings)
    assert main(["fit", "--config", "dac/small_mste", "--run_dir", str(first), *small]) == 0
    words = ["--config", "conf/overlay/quantizer_alone.yaml", f"--trainer.callbacks.weights={first}"]
    words += ["--run_dir", str(second), *small]
    assert main(["fit", "--config", "dac/small_ste_cl", *words]) == 0
    before, after = (load_codec(run).state_dict() for run in (first, second))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all(name.startswith("quantizer.") for name in changed)


def test_the_ablations_weights_go_on_top_of_a_recipe(recordings, tmp_path):
    run = tmp_path / "run"
    words = ["--run_dir", str(run), *in_small("dac/16khz_ste_cl", recordings)]
    words.remove("--data.init_args.batch_size=1")
    assert main(["fit", "--config", "dac/16khz_ste_cl", "--config", "conf/overlay/ablation.yaml", *words]) == 0
    model, data = (yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))[key] for key in ("model", "data"))
    weights, codec = model["init_args"]["losses"], model["init_args"]["codec"]["init_args"]
    assert weights["mel"] == weights["waveform"] == weights["codebook"] == 1.0
    assert weights["commitment"] == 0.25
    assert codec["quantizer"]["init_args"]["allocator"]["init_args"] == {"probability": 1.0}
    assert data["init_args"]["batch_size"] == 12


@pytest.mark.parametrize("fragment", ["updates_300k", "updates_400k"])
def test_a_long_run_keeps_its_state_often_and_at_the_end_of_epochs_in_one_file(
    fragment, recordings, tmp_path, monkeypatch
):
    saved, save = [], Trainer.save_checkpoint

    def noted(self, path, *more):
        saved.append((self.global_step, Path(path).name))
        save(self, path, *more)

    monkeypatch.setattr(Trainer, "save_checkpoint", noted)
    text = (recipes_folder().parent / f"conf/trainer/{fragment}.yaml").read_text(encoding="utf-8")
    assert "every_n_train_steps: 1000\n" in text
    (tmp_path / "often.yaml").write_text(text.replace("every_n_train_steps: 1000", "every_n_train_steps: 2"))
    words = in_small("dac/44khz_mste", recordings)
    words[words.index("--trainer.max_steps=2")] = "--trainer.max_steps=6"
    words[words.index("--data.init_args.crops.updates_per_epoch=2")] = "--data.init_args.crops.updates_per_epoch=3"
    words = ["--trainer", str(tmp_path / "often.yaml"), "--run_dir", str(tmp_path / "run"), *words]
    assert main(["fit", "--config", "dac/44khz_mste", *words]) == 0
    assert saved == [(updates, "last.ckpt") for updates in (2, 3, 4, 6, 6)]
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["last.ckpt"]


def test_an_audio_recipe_asks_for_the_folder_of_its_recordings(capsys):
    assert main(["fit", "--config", "dac/small_mste"]) == 1
    assert "data.init_args: has no `root`" in capsys.readouterr().err


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_states_its_claim_its_cost_and_its_expected_numbers(name):
    first, *rest = header(RECIPES[name])
    assert first.endswith(".")
    assert any(re.match(r"# Cost: .*(second|minute|hour)", line) for line in rest)
    expected = " ".join(rest).partition("Expected: ")[2]
    assert re.search(r"\d", expected), f"no expected number: {expected!r}"


def test_every_fragment_is_used():
    conf = recipes_folder().parent / "conf"
    fragments = {path.resolve() for path in conf.rglob("*.yaml")}
    files = [*RECIPES.values(), *fragments]
    named = {
        (file.parent / reference).resolve()
        for file in files
        for reference in re.findall(r"\S+\.yaml", file.read_text(encoding="utf-8"))
    }
    assert fragments <= named


def flat(settings, prefix=""):
    for name, value in (settings or {}).items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


PRINTED = {}


def a2_printed(capsys, *overlay):
    """Return all settings of vrvq/44khz_a2 with an overlay, by dotted name; made once each."""
    if overlay not in PRINTED:
        with contextlib.suppress(SystemExit):
            main(["fit", "--config", "vrvq/44khz_a2", *overlay, "--print_config"])
        PRINTED[overlay] = dict(flat(yaml.safe_load(capsys.readouterr().out)))
    return PRINTED[overlay]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("alpha4", {"sharpness": 4.0}),
        ("detached", {"detach_input": True}),
        ("log_uniform", {"class_path": "qcodec.LogUniformLevels", "low": 0.125, "high": 6.0}),
        ("16", {"n_codebooks": 16}),
        ("24", {"n_codebooks": 24}),
        ("32", {"n_codebooks": 32}),
        ("lufs", {"lufs": -16.0}),
    ],
)
def test_an_overlay_of_one_factor_changes_that_alone(name, changed, capsys):
    plain, other = a2_printed(capsys), a2_printed(capsys, "--config", f"conf/overlay/vrvq_{name}.yaml")
    found = {key.rpartition(".")[2]: value for key, value in other.items() if plain.get(key, "absent") != value}
    assert {key: value for key, value in found.items() if key in changed} == changed
    assert set(found) <= {*changed, "training_levels"}


def test_averaged_weights_train_beside_the_others_and_are_what_is_exported(recordings, tmp_path):
    words = ["--run_dir", str(tmp_path / "run"), *in_small("dac/16khz_ste_cl", recordings)]
    averaging = "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"
    assert (
        main(["fit", "--config", "dac/16khz_ste_cl", averaging, "--trainer.callbacks.init_args.decay=0.5", *words]) == 0
    )
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "mean.safetensors")]) == 0
    kept = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    mean, last = (load_codec(tmp_path / "mean.safetensors").state_dict(), kept["current_model_state"])
    name = next(name for name in mean if name.startswith("decoder") and mean[name].ndim == 3)
    assert torch.equal(mean[name], kept["state_dict"][f"codec.{name}"])
    assert not torch.equal(mean[name], last[f"codec.{name}"])
