"""Several nodes, simulated on one machine: `torchrun`, and the launch script of SLURM with a stand-in for `srun`."""

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "recipes/launch/slurm.sh"
SHORT = [
    "--trainer.accelerator", "cpu", "--trainer.max_epochs", "2", "--data.init_args.updates_per_epoch", "4",
    "--data.init_args.source.init_args.frames", "50", "--data.init_args.held_out_draws", "2",
    "--trainer.logger", "false", "--trainer.enable_progress_bar", "false",
]  # fmt: skip
SRUN = """#!/usr/bin/env bash
# what SLURM's own does, for two nodes of one task each on this machine
pids=()
for node in 0 1; do
    SLURM_PROCID=$node SLURM_NODEID=$node SLURM_LOCALID=0 "$@" & pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
"""


def alike(found, expected):
    """Return whether two tables hold the same numbers, to the rounding of sums over ranks."""
    return found == [pytest.approx(row, rel=1e-5, nan_ok=True) for row in expected]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture
def environment(monkeypatch):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    bin_folder = str(Path(sys.executable).parent)
    return kept | {"OMP_NUM_THREADS": "1", "QCODEC_KERNELS": "0", "PATH": f"{bin_folder}:{kept['PATH']}"}


@pytest.fixture
def one_node(environment, tmp_path):
    """Return the rows of the same fit with two ranks on one node."""
    words = ["fit", "--config", "surrogate/quickstart", "--run_dir", "one", *SHORT]
    ranks = ["--trainer.strategy", "ddp", "--trainer.devices", "2"]
    subprocess.run([sys.executable, "-m", "qcodec", *words, *ranks], env=environment, check=True, timeout=200)
    return rows(tmp_path / "one")


@pytest.mark.slow
def test_two_nodes_of_torchrun_train_as_two_ranks_of_one_node(one_node, environment, tmp_path):
    port = free_port()
    words = ["-m", "qcodec", "fit", "--config", "surrogate/quickstart", "--run_dir", "two", *SHORT]
    ranks = ["--trainer.strategy", "ddp", "--trainer.devices", "1", "--trainer.num_nodes", "2"]
    launch = ["--nnodes", "2", "--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", port]
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *launch, "--node_rank", str(node), *words, *ranks],
            env=environment,
        )
        for node in range(2)
    ]
    assert [node.wait(200) for node in nodes] == [0, 0]
    assert alike(rows(tmp_path / "two"), one_node)


@pytest.mark.slow
def test_the_script_for_slurm_launches_such_ranks_and_goes_on_after_a_requeue(one_node, environment, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text(SRUN)
    (tmp_path / "bin" / "srun").chmod(0o755)
    slurm = {
        "SLURM_JOB_ID": "1234567", "SLURM_JOB_NAME": "qcodec", "SLURM_NTASKS": "2", "SLURM_NNODES": "2",
        "SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
    }  # fmt: skip
    known = environment | slurm | {"PATH": f"{tmp_path / 'bin'}:{environment['PATH']}"}
    words = [str(SCRIPT), "surrogate/quickstart", "slurm", *SHORT]
    first = [*words[:-6], "--trainer.max_epochs", "1", *words[-6:]]
    for each in (first, words):
        subprocess.run(["bash", *each], env=known, check=True, timeout=200)
        known["MASTER_PORT"] = free_port()
    assert alike(rows(tmp_path / "slurm"), one_node)


def test_the_script_for_slurm_is_sound_bash():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
