"""What is shared over two ranks, in real processes."""

import os
import socket
import subprocess
import sys

import torch

from qcodec import LFQ, EMACodebook, Whitening

SCRIPT = """
import os, torch
from torch import distributed
from qcodec import LFQ, EMACodebook, KMeansStart, LearnedCodebook, Whitening
start, frames = torch.load("start.pt"), torch.load("frames.pt")
codebooks = [EMACodebook(6, 2, decay=0.5, least=least) for least in (0.0, 0.9)]  # built before there are ranks
rank = int(os.environ["RANK"])
distributed.init_process_group("gloo")
for codebook in codebooks:
    codebook.load_state_dict(start)
    for both in frames:
        own = both.chunk(2)[rank]
        codebook.observe(own, codebook.nearest(own.t()[None])[0, 0])
torch.save([codebook.state_dict() for codebook in codebooks], f"end{rank}.pt")
torch.manual_seed(rank)
own = frames.view(2, 2, -1)[rank : rank + 1].requires_grad_()
started = KMeansStart(LearnedCodebook(6, 2, "euclidean"))
started.quantize(own)
diversity = LFQ(2, temperature=1.0)(own).losses["diversity"].mean()
(gradient,) = torch.autograd.grad(diversity, own)
whitening = Whitening(2, eps=1e-3)
(white,) = torch.autograd.grad(whitening(own).pow(3).mean(), own)
torch.save((started.state_dict(), diversity.detach(), gradient, whitening.state_dict(), white), f"more{rank}.pt")
distributed.barrier()  # a rank that left while the other still listens would abort it at its end
distributed.destroy_process_group()
os._exit(0)  # all is written: PyTorch's threads at times abort while Python is torn down
"""


def test_two_ranks_learn_and_whiten_as_one_does_with_both_batches_and_start_and_restart_the_same_points(tmp_path):
    torch.manual_seed(0)
    codebook, frames = EMACodebook(6, 2, decay=0.5, least=0.0), torch.randn(4, 60, 2)
    torch.save(codebook.state_dict(), tmp_path / "start.pt")
    torch.save(frames, tmp_path / "frames.pt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", SCRIPT], env=common | {"RANK": str(rank)}, cwd=tmp_path)
        for rank in range(2)
    ]
    assert [rank.wait(100) for rank in ranks] == [0, 0]
    (plain, restarted), (plain_too, restarted_too) = (torch.load(tmp_path / f"end{rank}.pt") for rank in range(2))
    for both in frames:
        codebook.observe(both, codebook.nearest(both.t()[None])[0, 0])
    for name, value in codebook.state_dict().items():
        torch.testing.assert_close(plain[name], value)
        assert torch.equal(plain[name], plain_too[name])
        assert torch.equal(restarted[name], restarted_too[name])
    assert not torch.equal(restarted["weight"], plain["weight"])
    first, second = (torch.load(tmp_path / f"more{rank}.pt") for rank in range(2))
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name])
    z = frames.view(2, 2, -1).requires_grad_()
    diversity = LFQ(2, temperature=1.0)(z).losses["diversity"].mean()
    torch.testing.assert_close((first[1] + second[1]) / 2, diversity.detach())
    (gradient,) = torch.autograd.grad(diversity, z)
    torch.testing.assert_close(torch.cat([first[2], second[2]]) / 2, gradient)  # as DDP averages
    whitening = Whitening(2, eps=1e-3)
    (white,) = torch.autograd.grad(whitening(z).pow(3).mean(), z)
    torch.testing.assert_close(torch.cat([first[4], second[4]]) / 2, white)
    for name, value in whitening.state_dict().items():
        torch.testing.assert_close(first[3][name], value)
        assert torch.equal(first[3][name], second[3][name])
