import logging
from contextlib import closing

import pytest
import wandb
from lightning import Trainer
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore

from qcodec import Identity
from qcodec.callbacks.wandb import Wandb
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.synthetic import SyntheticBits
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System


def mode(logger):
    return logger._wandb_init["mode"]


def history(record):
    """Return the names of the curves in each row of W&B's file."""
    rows = []
    with closing(DataStore()) as store:
        store.open_for_scan(str(record))
        while (data := store.scan_data()) is not None:
            content = Record.FromString(data)
            if content.WhichOneof("record_type") == "history":
                rows.append({"/".join(item.nested_key) for item in content.history.item})
    return rows


@pytest.fixture
def no_mode(monkeypatch):
    monkeypatch.delenv("WANDB_MODE")


@pytest.mark.usefixtures("no_mode")
def test_without_an_account_a_run_is_offline_and_says_how_to_sync(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert mode(Wandb(str(tmp_path / "run"))) == "offline"
    assert f"wandb sync --append {tmp_path}/run/wandb/offline-run-*" in caplog.text


@pytest.mark.usefixtures("no_mode")
def test_with_an_account_a_run_is_online(tmp_path, monkeypatch):
    monkeypatch.setattr("qcodec.callbacks.wandb._is_reachable", lambda: True)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert mode(Wandb(str(tmp_path))) == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert mode(Wandb(str(tmp_path))) == "online"


def test_the_mode_of_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert mode(Wandb(str(tmp_path))) == "disabled"


def test_a_resumed_run_carries_on_under_its_id(tmp_path):
    first, second, other = Wandb(str(tmp_path / "a")), Wandb(str(tmp_path / "a")), Wandb(str(tmp_path / "b"))
    assert first.version == second.version != other.version


@pytest.mark.usefixtures("no_mode")
def test_an_offline_run_records_the_curves(tmp_path):
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=Wandb(str(tmp_path)), enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    data = SyntheticBits(RoundedGaussian(frames=20), updates_per_epoch=2)
    trainer.fit(SurrogateTask({"none": System(Identity())}), data)
    wandb.teardown()  # W&B's own process may still be writing the file
    (record, _) = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))  # the fit's, and that of its seed
    logged = history(record)
    for curve in ("mse/none", "ma_e/none", "hard_mse/none", "effective_bits/none"):
        assert sum(curve in row for row in logged) == 2, curve  # one value per epoch


@pytest.mark.usefixtures("no_mode")
def test_an_unreachable_server_does_not_stop_a_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("qcodec.callbacks.wandb.getproxies", dict)
    assert mode(Wandb(str(tmp_path))) == "offline"
    assert "not reachable at http://127.0.0.1:9" in caplog.text
