"""What an offline run of each kind really stores, read back from W&B's own files."""

import json
from contextlib import closing

import pytest
import wandb
from audio_files import write_noise
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore

from qcodec.callbacks.wandb import Wandb
from qcodec.cli import main
from qcodec.runs.wandb_offline import offline_files, read_offline

SHORT = [
    "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--data.init_args.updates_per_epoch=3",
    "--data.init_args.source.init_args.frames=50", "--data.init_args.held_out_draws=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    yield
    wandb.teardown()


def stored(folder):
    """Return what each W&B run of a run folder holds, by its id: of its record, settings, artifacts and media."""
    wandb.teardown()  # W&B's own process may still be writing
    runs = {}
    for path in offline_files(folder / "wandb"):
        found = runs.setdefault(path.stem.removeprefix("run-"), {"config": {}, "artifacts": [], "rows": 0})
        with closing(DataStore()) as store:
            store.open_for_scan(str(path))
            while (data := store.scan_data()) is not None:
                record = Record.FromString(data)
                kind = record.WhichOneof("record_type")
                if kind == "run":
                    found |= {name: getattr(record.run, name) for name in ("run_group", "job_type", "display_name")}
                    found["tags"] = list(record.run.tags)
                for item in getattr(getattr(record, kind), "update", []) if kind == "config" else []:
                    found["config"]["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
                for item in record.run.config.update if kind == "run" else []:
                    found["config"][item.key] = json.loads(item.value_json)
                found["rows"] += kind == "history"
                found["artifacts"] += [record.artifact] if kind == "artifact" else []
        found["media"] = [file.name for file in path.parent.glob("files/media/**/*.*")]
    return runs


def test_each_system_and_seed_has_a_run_in_the_group_of_its_fit(tmp_path):
    arguments = ["--model.init_args.seeds=2", "--trainer.max_epochs=2", *SHORT]
    assert main(["fit", "--config", "surrogate/quickstart", "--run_dir", "run", *arguments]) == 0
    runs = stored(tmp_path / "run")
    (whole,) = (run for run in runs.values() if run["job_type"] == "fit")
    members = {run["display_name"]: run for run in runs.values() if run["job_type"] == "system and seed"}
    assert set(members) == {f"{system} {seed}" for system in ("sq_ste", "sq_ste_cl", "sq_mste") for seed in (0, 1)}
    assert {run["run_group"] for run in members.values()} == {whole["run_group"]}
    one = members["sq_ste_cl 1"]
    assert one["tags"] == ["sq_ste_cl", "seed 1"]
    assert {name: one["config"][name] for name in ("system", "seed", "quantizer", "estimator")} == {
        "system": "sq_ste_cl", "seed": 1, "quantizer": "ScalarQuantizer", "estimator": "STE",
    }  # fmt: skip
    assert one["config"]["losses"]["commitment"] == 0.1
    assert whole["config"]["model"]["init_args"]["seeds"] == 2
    assert any(name.startswith("mse_") for name in whole["media"])  # figures of the report
    (artifact,) = whole["artifacts"]
    assert artifact.type == "model"
    assert json.loads(artifact.metadata)["trainer/global_step"] == 6
    (entry,) = artifact.manifest.contents
    assert entry.local_path.endswith("run/checkpoints/last.ckpt")


def test_what_is_read_back_is_what_the_table_of_metrics_holds(tmp_path):
    import qcodec

    run = qcodec.fit("surrogate/quickstart", run_dir="run", **dict(a[2:].split("=") for a in SHORT if "=" in a))
    wandb.teardown()
    read = read_offline(offline_files(tmp_path / "run" / "wandb"))
    assert set(read.systems) == {"sq_ste", "sq_ste_cl", "sq_mste"}
    for system in read.systems:
        for metric in ("mse", "ma_e", "hard_mse"):
            assert read.metrics[metric][system].last[0] == run.metrics[f"by_seed/{metric}/{system}/0"][-1]


def test_too_many_systems_and_seeds_leave_the_fits_own_run(tmp_path, caplog):
    logger = Wandb(str(tmp_path), most_runs=1)
    logger.log_metrics({"epoch": 0, "by_seed/mse/a/0": 1.0, "by_seed/mse/a/1": 2.0}, step=3)
    logger.log_metrics({"mse/a": 1.5}, step=3)
    logger.finalize("success")
    assert len(stored(tmp_path)) == 1
    assert "more than most_runs=1: each is in metrics.csv" in caplog.text


def test_a_run_on_audio_has_its_settings_and_four_clips(tmp_path):
    for subset in ("train-clean-100", "test-other", "dev-clean"):
        write_noise(tmp_path / "D" / subset / "a.wav", seconds=2.0)
    small = {
        "data.init_args.root": "D", "data.init_args.workers": 0, "data.init_args.batch_size": 2,
        "data.init_args.crops.updates_per_epoch": 2, "data.init_args.crops.val_crops": 5,
        "data.init_args.crops.val_duration": 0.3, "data.init_args.crops.duration": 0.2, "trainer.max_steps": 2,
        "trainer.log_every_n_steps": 2, "model.init_args.codec.init_args.encoder_dim": 2,
        "model.init_args.codec.init_args.decoder_dim": 32,
        "model.init_args.codec.init_args.quantizer.init_args.dim": 32, "trainer.enable_progress_bar": "false",
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in small.items()]
    assert main(["fit", "--config", "dac/small_mste", "--run_dir", "run", *words]) == 0
    (run,) = stored(tmp_path / "run").values()
    assert run["config"]["codec"] == "DacCodec"
    assert run["config"]["estimator"] == "ModifiedSTE"
    assert run["config"]["seed"] == 0
    assert run["config"]["data"]["init_args"]["root"] == "D"
    clips = [name for name in run["media"] if name.endswith(".wav") and "level" not in name]
    assert (sum("original" in name for name in clips), sum("decoded" in name for name in clips)) == (4, 4)
    assert any("spectrogram" in name for name in run["media"])
    assert len(run["artifacts"]) == 1
