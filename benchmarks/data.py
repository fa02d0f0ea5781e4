"""Crops per second: our loader against the published one of `audiotools`, on the same files with the same transforms.

    python benchmarks/data.py FOLDER                                # 16 kHz, no worker process and two
    python benchmarks/data.py FOLDER --sample_rate 44100 --workers 0 4 --rounds 5

Both sides draw crops of 0.38 s above -40 dB from the files of FOLDER and of the folders below it, bring them to
-16 LUFS, limit their peak, shift their phase and stack them into batches. Ours does so twice: reading each crop from
its file, and with the files in memory as by default, where the first pass over the files, which fills the memory, is
left out. They take turns, each in a process of its own; the median over the rounds is printed. The list of files, the
start of worker processes and the first batches are left out on all sides. On a machine that does other work too, the
crops per CPU second say more.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import time
import warnings

from machine import machine

_SIDES = ("stock", "files", "memory")


def stock_batches(folder, sample_rate, batch_size, workers):
    """Endless batches of the loader that DAC's training script is built on."""
    import audiotools
    import soundfile
    from audiotools import transforms
    from audiotools.data.datasets import AudioDataset, AudioLoader
    from torch.utils.data import DataLoader

    def info(path):  # audiotools asks torchaudio, which no longer answers
        found = soundfile.info(str(path))
        return audiotools.core.util.Info(sample_rate=found.samplerate, num_frames=found.frames)

    audiotools.core.util.info = info
    steps = transforms.VolumeNorm(("const", -16)), transforms.RescaleAudio(), transforms.ShiftPhase()
    loader = AudioLoader(sources=[folder], ext=[".wav", ".flac", ".ogg", ".mp3"])
    dataset = AudioDataset(
        loader, sample_rate, n_examples=10**7, duration=0.38, transform=transforms.Compose(list(steps))
    )
    for batch in DataLoader(dataset, batch_size, num_workers=workers, collate_fn=dataset.collate):
        yield dataset.transform(batch["signal"].clone(), **batch["transform_args"]).audio_data


def our_batches(folder, sample_rate, batch_size, workers, memory_gib):
    from qcodec.data.audio import AudioFolder
    from qcodec.data.audio_settings import Crops, Subsets

    logging.disable()
    subsets = Subsets(train=(".",), val=(), held_out=0.0, max_bad_share=1.0)
    crops = Crops(updates_per_epoch=10**5, memory_gib=memory_gib)
    loader = AudioFolder(folder, sample_rate, batch_size, subsets, crops, workers=workers).train_dataloader()
    batches = iter(loader)
    for _ in range(-(-len(loader.source.files) // batch_size) if memory_gib else 0):
        next(batches)
    return batches


def measure(side, folder, sample_rate, batch_size, workers, batches):
    """Crops per second after the first batches, and per second of this process's own computing."""
    import torch

    from qcodec.data.audio_settings import Crops

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    memory = () if side == "stock" else (Crops().memory_gib if side == "memory" else 0.0,)
    stream = (our_batches if memory else stock_batches)(folder, sample_rate, batch_size, workers, *memory)
    for _ in range(2 + 3 * workers):  # what the workers have prepared while they started does not count
        next(stream)
    begin, busy = time.perf_counter(), time.process_time()
    for _ in range(batches):
        shape = next(stream).shape
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    if shape != (batch_size, 1, int(0.38 * sample_rate)):
        raise ValueError(f"{side} gave batches of shape {tuple(shape)}")
    return batches * batch_size / seconds, batches * batch_size / busy


def in_a_process(side, settings, workers, batches):
    words = ["--side", side, "--sample_rate", settings.sample_rate, "--batch_size", settings.batch_size]
    words += ["--workers", workers, "--batches", batches]
    command = [sys.executable, __file__, settings.folder, *(str(word) for word in words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder of audio files")
    parser.add_argument("--sample_rate", type=int, default=16000)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=5, help="batches that the published loader is timed for")
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.side:
        chosen = (settings.folder, settings.sample_rate, settings.batch_size, settings.workers[0], settings.batches)
        print(json.dumps(measure(settings.side, *chosen)))
        return
    print(f"{machine()}; {settings.folder} at {settings.sample_rate} Hz")
    heads = (("workers", 7), ("audiotools", 11), ("from files", 18), ("from memory", 18))
    print(*(f"{word:>{width}}" for word, width in heads), f"  crops a ...; median of {settings.rounds}")
    for workers in settings.workers:
        rounds = {side: [] for side in _SIDES}
        for _ in range(settings.rounds):
            for side in _SIDES:
                batches = settings.batches * (1 if side == "stock" else 10)
                rounds[side].append(in_a_process(side, settings, workers, batches))
        for index, kind in enumerate(("second", "CPU second") if workers == 0 else ("second",)):
            stock, *ours = (statistics.median(rates[index] for rates in rounds[side]) for side in _SIDES)
            cells = (f"{rate:>9.1f} ({rate / stock:>5.1f}x)" for rate in ours)
            print(f"{workers:>7} {stock:>11.1f}", *cells, f"  {kind}")


if __name__ == "__main__":
    main()
