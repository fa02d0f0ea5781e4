"""What the package's own loudness and mel loss gain over the libraries that compute the same.

    python benchmarks/audio.py
    python benchmarks/audio.py --rounds 20 --device cuda

Loudness: four crops of half a second at 16 kHz, and a minute of stereo at 44.1 kHz that arrives in blocks of 65 536
samples, against ``pyloudnorm``, which takes one clip at a time and all of it. Mel loss: value and gradient for crops
of 0.38 s, against the same formula written with ``torch.stft`` and differentiated by autograd; what is kept for the
backward pass is counted in MB. The sides take turns; medians of the rounds.
"""

import argparse
import statistics
import time

import torch
from machine import machine
from torch.nn import functional as F

from qcodec.audio.loudness import LoudnessMeter, integrated_loudness
from qcodec.losses.spectral import MELS, WINDOWS, MelLoss, mel_filters


def by_pyloudnorm(audio, sample_rate):
    import pyloudnorm

    meter = pyloudnorm.Meter(sample_rate)
    return torch.tensor([meter.integrated_loudness(clip.T.numpy()) for clip in audio])


def by_blocks(audio, sample_rate):
    meter = LoudnessMeter(sample_rate)
    for block in audio.split(1 << 16, -1):
        meter.add(block)
    return meter.loudness()


class PlainMelLoss(torch.nn.Module):
    """The formula of ``MelLoss``, left to autograd."""

    def __init__(self, sample_rate):
        super().__init__()
        for index, (window, n_mels) in enumerate(zip(WINDOWS, MELS, strict=True)):
            self.register_buffer(f"window{index}", torch.hann_window(window))
            self.register_buffer(f"filters{index}", mel_filters(sample_rate, window, n_mels))

    def log_mel(self, x, index):
        window, filters = self.get_buffer(f"window{index}"), self.get_buffer(f"filters{index}")
        size = len(window)
        spectrum = torch.stft(x.squeeze(1), size, size // 4, window=window, return_complex=True)
        return (spectrum.abs().mT @ filters).clamp(min=1e-5).log10()

    def forward(self, estimate, target):
        scales = range(len(WINDOWS))
        return sum(F.l1_loss(self.log_mel(estimate, each), self.log_mel(target, each)) for each in scales)


def forward_and_backward(loss, estimate, target):
    estimate = estimate.clone().requires_grad_()
    loss(estimate, target).backward()
    if estimate.is_cuda:
        torch.cuda.synchronize()
    return estimate.grad


def kept_megabytes(loss, estimate, target):
    """Bytes of distinct tensors that autograd keeps from the forward pass for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss(estimate.clone().requires_grad_(), target)
    buffers = {buffer.untyped_storage().data_ptr() for buffer in loss.buffers()}
    return sum(size for place, size in kept.items() if place not in buffers) / 1e6


def milliseconds(sides, rounds):
    times = [[] for _ in sides]
    for _ in range(rounds + 1):  # the first is left out
        for each, side in zip(times, sides, strict=True):
            begin = time.perf_counter()
            side()
            each.append(1000 * (time.perf_counter() - begin))
    return [statistics.median(each[1:]) for each in times]


def row(what, theirs, ours, unit):
    print(f"{what:<46} {theirs:>9.2f} {ours:>9.2f} {theirs / ours:>6.1f}  {unit}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clips", type=int, default=32, help="crops at 44.1 kHz for the mel loss")
    parser.add_argument("--device", default="cpu")
    settings = parser.parse_args()
    torch.manual_seed(0)
    print(f"{machine()}; {torch.get_num_threads()} threads; median of {settings.rounds}")
    print(f"{'':<46} {'library':>9} {'qcodec':>9} {'ratio':>6}")
    crops, stream = 0.1 * torch.randn(4, 1, 8000), 0.1 * torch.randn(1, 2, 60 * 44100)
    for what, audio, sample_rate, ours in (
        ("loudness, 4 crops of 0.5 s at 16 kHz", crops, 16000, integrated_loudness),
        ("loudness, 60 s of stereo at 44.1 kHz", stream, 44100, by_blocks),
    ):
        sides = [lambda a=audio, r=sample_rate, f=f: f(a, r) for f in (by_pyloudnorm, ours)]
        row(what, *milliseconds(sides, settings.rounds), "ms")
    for clips, sample_rate in ((2, 16000), (settings.clips, 44100)):
        x, y = (0.1 * torch.randn(clips, 1, int(0.38 * sample_rate), device=settings.device) for _ in range(2))
        losses = [kind(sample_rate).to(settings.device) for kind in (PlainMelLoss, MelLoss)]
        sides = [lambda loss=loss, x=x, y=y: forward_and_backward(loss, x, y) for loss in losses]
        plain, own = (side() for side in sides)
        torch.testing.assert_close(own, plain, rtol=0, atol=1e-3 * plain.abs().max().item())
        what = f"mel loss, {clips} crops of 0.38 s at {sample_rate / 1000:g} kHz"
        row(what, *milliseconds(sides, settings.rounds), "ms")
        row(what, *(kept_megabytes(loss, x, y) for loss in losses), "MB kept")


if __name__ == "__main__":
    main()
