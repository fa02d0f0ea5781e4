"""Compares PESQ and ViSQOL of `qcodec evaluate` with the values that their authors publish for their own recordings.

    git clone --depth 1 https://github.com/google/visqol
    git clone --depth 1 https://github.com/ludlows/PESQ
    python benchmarks/reference_values.py visqol PESQ

The values are those of ViSQOL's `src/include/conformance.h` (number 333), of stereo files mixed down as its program
does, and of the README of the package `pesq`. Needs the extra `metrics`.
"""

import argparse
import sys
from pathlib import Path

import soundfile

from qcodec.evaluation.quality import METRICS

AUDIO, SPEECH, PESQ = "testdata/conformance_testdata_subset", "testdata/clean_speech", "audio"
VALUES = [
    ("visqol_audio", AUDIO, "strauss48_stereo", "strauss48_stereo_lp35", 1.3888791489130758),
    ("visqol_audio", AUDIO, "steely48_stereo", "steely48_stereo_lp7", 2.2501683734385183),
    ("visqol_audio", AUDIO, "sopr48_stereo", "sopr48_stereo_256kbps_aac", 4.68228969737946),
    ("visqol_audio", AUDIO, "ravel48_stereo", "ravel48_stereo_128kbps_opus", 4.465141897255348),
    ("visqol_audio", AUDIO, "moonlight48_stereo", "moonlight48_stereo_128kbps_aac", 4.684292801646114),
    ("visqol_audio", AUDIO, "harpsichord48_stereo", "harpsichord48_stereo_96kbps_mp3", 4.22374532766003),
    ("visqol_speech", SPEECH, "CA01_01", "transcoded_CA01_01", 3.3129234313964844),
    ("pesq_wb", PESQ, "speech", "speech_bab_0dB", 1.0832337141036987),
    ("pesq_nb", PESQ, "speech", "speech_bab_0dB", 1.6072081327438354),
]
# Speech is resampled to 16 kHz by another filter here; the published narrow-band PESQ is of 16 kHz, and ours of 8.
CLOSE = {"visqol_audio": 1e-9, "visqol_speech": 2e-2, "pesq_wb": 1e-9, "pesq_nb": 7e-2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("visqol", type=Path)
    parser.add_argument("pesq", type=Path)
    options = parser.parse_args()
    metrics, wrong = {metric.name: metric for metric in METRICS}, 0
    print("| metric | recording | published | here | difference |\n|---|---|---|---|---|")
    for name, folder, reference, degraded, published in VALUES:
        root = options.pesq if name.startswith("pesq") else options.visqol
        signals, rates = zip(*(soundfile.read(root / folder / f"{x}.wav") for x in (reference, degraded)), strict=True)
        mono = [signal if signal.ndim == 1 else signal.mean(1) for signal in signals]
        length = None if name.startswith("visqol") else min(map(len, mono))
        found = metrics[name](*(signal[:length] for signal in mono), rates[0])
        wrong += abs(found - published) > CLOSE[name]
        print(f"| `{name}` | {degraded} | {published:.4f} | {found:.4f} | {found - published:+.1e} |")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
