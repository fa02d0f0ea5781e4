"""Encodes a folder with `python -m dac encode` and with `qcodec encode`, as programs of their own, with equal weights.

`python benchmarks/encode.py FOLDER` draws weights of the 44.1 kHz model, saves them by dac's own code and prints the
time of both, the best of `--rounds` in turns; `--encoder-dim 16` makes a smaller model, `--weights FILE` takes one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import soundfile
import torch
from machine import machine


def save_weights(path, encoder_dim, sample_rate):
    """Save a stock model of random weights by stock code."""
    warnings.simplefilter("ignore")
    import dac

    torch.manual_seed(0)
    rates = [2, 4, 8, 8] if sample_rate == 44100 else [2, 4, 5, 8]
    model = dac.DAC(encoder_dim, rates, None, 24 * encoder_dim, rates[::-1], 9, 1024, 8, 0.0, sample_rate)
    model.save(path, package=False)


def seconds(command, environment):
    begin = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of .wav or .flac files")
    parser.add_argument("--weights", type=Path, help="weight file of dac; random ones if left out")
    parser.add_argument("--encoder-dim", type=int, default=64)
    parser.add_argument("--sample-rate", type=int, choices=(16000, 44100), default=44100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "PYTHONWARNINGS": "ignore"}
    files = [p for p in options.folder.rglob("*") if p.suffix in (".wav", ".flac")]
    audio = sum(soundfile.info(p).duration for p in files)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        weights = options.weights or work / "weights.pth"
        if options.weights is None:
            save_weights(weights, options.encoder_dim, options.sample_rate)
        ours, stock = [], []
        for turn in range(options.rounds):
            out = work / f"dac{turn}"
            command = [sys.executable, "-m", "dac", "encode", str(options.folder), "--output", str(out)]
            command += ["--weights_path", str(weights), "--device", options.device]
            stock.append(seconds(command, environment))
            out = work / f"qc{turn}"
            command = [sys.executable, "-m", "qcodec", "encode", str(options.folder), str(out)]
            command += ["--checkpoint", str(weights), "--device", options.device]
            ours.append(seconds(command, environment))
        sizes = [
            sum(p.stat().st_size for p in work.glob(f"{kind}0/**/*.{end}"))
            for kind, end in (("dac", "dac"), ("qc", "qc"))
        ]
    print(f"{machine()}, {options.threads} threads, {options.device}")
    print(f"{len(files)} files, {audio:.1f} s of audio, encoder width {options.encoder_dim}")
    for label, times, size in (("python -m dac encode", stock, sizes[0]), ("qcodec encode", ours, sizes[1])):
        print(
            f"{label:20} {min(times):6.1f} s ({', '.join(f'{t:.1f}' for t in times)}), {size * 8e-3 / audio:.2f} kbps"
        )
    print(f"ratio {min(stock) / min(ours):.2f}")


if __name__ == "__main__":
    main()
