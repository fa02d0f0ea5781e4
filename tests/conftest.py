import os

import pytest
import torch

# Two test processes on one small machine get in each other's way with more threads.
torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels for a GPU run on the CPU; Triton looks when it is imported

import lightning  # noqa: E402, F401  # here, so that its log handler keeps no stream of a test, which is closed after it


@pytest.fixture(autouse=True)
def _apart_from_the_outside(monkeypatch, tmp_path, tmp_path_factory):
    """No account, no user's settings, no files left behind; what is compiled once serves every test."""
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.delenv("QCODEC_RUN_DIR", raising=False)
    monkeypatch.setenv("QCODEC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.chdir(tmp_path)
