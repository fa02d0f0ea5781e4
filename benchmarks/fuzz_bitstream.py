"""Reads mutated .qc and .dac files: each must be read or refused by a ValueError, within the memory of a sound one.

`python benchmarks/fuzz_bitstream.py --files 100000` prints the machine, the outcomes, the time, and the peak of memory.
"""

import argparse
import io
import resource
import struct
import time
import zlib
from collections import Counter

import numpy as np
import torch
from machine import machine

from qcodec import DacCodec, ImportanceMask, residual_vq
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.dac.format import DacFile, read_dac, write_dac
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.header import read_header
from qcodec.bitstream.settings import Settings

_PREFIX = 14  # bytes before the JSON of a header


def tiny_codec(allocator=None):
    torch.manual_seed(0)
    quantizer = residual_vq(8, 4, 32, 4, allocator=allocator)
    return DacCodec(quantizer, encoder_dim=4, encoder_rates=(4,), decoder_dim=8).eval()


def sound_files():
    """Yield each kind of file with the function that reads it whole."""
    audio = 0.1 * torch.randn(2, 2001, generator=torch.Generator().manual_seed(0))
    for codec in (tiny_codec(), tiny_codec(ImportanceMask(8, widths=(4,)))):
        stream, file = Bitstream(codec, window=64), io.BytesIO()
        Encoder(stream).encode(recording_of(audio, 16000), file, Settings(2))
        yield "qc", file.getvalue(), lambda data, stream=stream: decode(stream, data)
    file = io.BytesIO()
    codes = np.random.default_rng(0).integers(0, 32, (2, 4, 500))
    write_dac(file, DacFile(codes, 500, 2000, np.array([-20.0], np.float32), 2, 16000, True))
    yield "dac", file.getvalue(), lambda data: read_dac(io.BytesIO(data))


def decode(stream, data):
    for block in Decoder(stream).decode(io.BytesIO(data)).blocks:
        assert block.shape[1] <= 64 * 4


def mutated(data, kind, random):
    """Return the data with some bytes changed, removed or doubled; half of the .qc files with sound checksums."""
    out = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at, size = random.integers(len(out) + 1), int(random.integers(1, 9))
        match random.integers(6):
            case 0:
                out[at : at + size] = random.bytes(size)
            case 1:
                del out[at : at + size]
            case 2:
                out[at:at] = out[at : at + size]
            case 3:
                del out[at:]
            case 4:
                out[at : at + 4] = struct.pack("<I", int(random.choice([0, 1, 2**31, 2**32 - 1, 4096, len(out)])))
            case _:
                digits = b'0123456789-e[]{}"'
                out[at : at + 1] = bytes([digits[random.integers(len(digits))]])
        out = out or bytearray(b"\0")
    return repaired(bytes(out)) if kind == "qc" and random.integers(2) else bytes(out)


def repaired(data):
    """Return the data with checksums made right as far as its structure can be followed."""
    if len(data) < _PREFIX:
        return data
    magic, version, size, _ = struct.unpack("<4sHII", data[:_PREFIX])
    text = data[_PREFIX : _PREFIX + size]
    out = struct.pack("<4sHII", magic, version, size, zlib.crc32(text)) + text
    at = _PREFIX + size
    while len(data) - at >= 12:
        frames, length, _ = struct.unpack("<III", data[at : at + 12])
        payload = data[at + 12 : at + 12 + length]
        head = struct.pack("<II", frames, length)
        out += head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload
        at += 12 + length
    return out + data[at:]


def run(files, seed=0):
    """Read ``files`` mutated files and count the outcomes; anything but a ValueError is raised."""
    random, outcomes, slowest = np.random.default_rng(seed), Counter(), 0.0
    kinds = list(sound_files())
    for index in range(files):
        kind, data, read = kinds[index % len(kinds)]
        broken = mutated(data, kind, random)
        begin = time.perf_counter()
        try:
            read(broken)
            outcomes[f"{kind}: read"] += 1
        except ValueError as error:
            outcomes[f"{kind}: " + " ".join(w for w in str(error).split()[:4] if w.isalpha())] += 1
        except BaseException:
            print(f"file {index} of seed {seed}: {broken!r}")
            raise
        slowest = max(slowest, time.perf_counter() - begin)
    return outcomes, slowest


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    assert read_header(io.BytesIO(next(iter(sound_files()))[1])).channels == 2
    run(100)
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    outcomes, slowest = run(options.files, options.seed)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for outcome, count in outcomes.most_common():
        print(f"{count:8d}  {outcome}")
    print(f"{options.files} files, {time.perf_counter() - begin:.0f} s, slowest {slowest * 1000:.0f} ms")
    print(f"peak memory {after / 1024:.0f} MiB, {(after - before) / 1024:.0f} more than after 100 files")


if __name__ == "__main__":
    main()
