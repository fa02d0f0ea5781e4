"""An EMA codebook over two ranks, in real processes."""

import os
import subprocess
import sys

import torch

from qcodec import EMACodebook

SCRIPT = """
import os, torch
from torch import distributed
from qcodec import EMACodebook
codebook = EMACodebook(6, 2, decay=0.5, least=float(os.environ["LEAST"]))  # built before there are ranks
codebook.load_state_dict(torch.load("start.pt"))
rank = int(os.environ["RANK"])
distributed.init_process_group("gloo")
for frames in torch.load("frames.pt"):
    own = frames.chunk(2)[rank]
    codebook.observe(own, codebook.nearest(own.t()[None])[0, 0])
torch.save(codebook.state_dict(), f"end{rank}.pt")
"""


def learn_on_two_ranks(tmp_path, least):
    torch.manual_seed(0)
    codebook, frames = EMACodebook(6, 2, decay=0.5, least=least), torch.randn(4, 60, 2)
    torch.save(codebook.state_dict(), tmp_path / "start.pt")
    torch.save(frames, tmp_path / "frames.pt")
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29731", "WORLD_SIZE": "2", "LEAST": str(least)}
    ranks = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], env=common | {"RANK": str(rank)}, cwd=tmp_path)
        for rank in range(2)
    ]
    assert [rank.wait(100) for rank in ranks] == [0, 0]
    return codebook, frames, [torch.load(tmp_path / f"end{rank}.pt") for rank in range(2)]


def test_two_ranks_learn_what_one_learns_from_both_batches_and_restart_the_same_points(tmp_path):
    codebook, frames, (first, second) = learn_on_two_ranks(tmp_path, least=0.0)
    for each in frames:
        codebook.observe(each, codebook.nearest(each.t()[None])[0, 0])
    for name, value in codebook.state_dict().items():
        torch.testing.assert_close(first[name], value)
        assert torch.equal(first[name], second[name])
    _, _, (first, second) = learn_on_two_ranks(tmp_path, least=0.9)
    assert all(torch.equal(first[name], second[name]) for name in first)
