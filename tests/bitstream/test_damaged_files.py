"""Files of codes that are not what they should be."""

import importlib.util
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from qcodec import DacCodec, residual_vq
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.container import CHUNK_HEAD, check_file
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.entropy import pack, unpack
from qcodec.bitstream.header import read_header
from qcodec.bitstream.tables import uniform_tables

PREFIX = 14


@pytest.fixture
def stream():
    torch.manual_seed(0)
    quantizer = residual_vq(8, 2, 32, 4)
    return Bitstream(DacCodec(quantizer, encoder_dim=4, encoder_rates=(4,), decoder_dim=8))


@pytest.fixture
def data(stream):
    file = io.BytesIO()
    Encoder(stream).encode(recording_of(torch.rand(2, 403), 16000), file)
    return file.getvalue()


def decode(stream, data):
    return torch.cat(list(Decoder(stream).decode(io.BytesIO(data)).blocks), 1)


def with_header(data, **changes):
    """Give the file with other values in its header and a sound checksum."""
    size = struct.unpack("<4sHII", data[:PREFIX])[2]
    values = json.loads(data[PREFIX : PREFIX + size]) | changes
    text = json.dumps(values).encode()
    return data[:6] + struct.pack("<II", len(text), zlib.crc32(text)) + text + data[PREFIX + size :]


def with_chunk(data, frames=None, payload=None):
    """Give the file with another only chunk and a sound checksum."""
    at = PREFIX + struct.unpack("<4sHII", data[:PREFIX])[2]
    head = CHUNK_HEAD.unpack(data[at : at + CHUNK_HEAD.size])
    payload = data[at + CHUNK_HEAD.size :] if payload is None else payload
    start = struct.pack("<II", head[0] if frames is None else frames, len(payload))
    return data[:at] + start + struct.pack("<I", zlib.crc32(payload, zlib.crc32(start))) + payload


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: b"", "is empty"),
        (lambda d: b"RIFF" + d, "is no .qc file"),
        (lambda d: d[:10], "is cut off within its header"),
        (lambda d: d[:40], "is cut off within its header"),
        (lambda d: d[:-1], "is cut off: 101 of 101 frames are missing"),
        (lambda d: d[: len(d) - 250], "is cut off"),
        (lambda d: d + b"more", "has 4 bytes after its end"),
        (lambda d: d[:4] + b"\x01\x00" + d[6:], "is of version 1, and this program reads version 2"),
        (lambda d: d[:6] + b"\xff\xff\xff\xff" + d[10:], "claims 4294967295 bytes"),
        (lambda d: d[:30] + b"x" + d[31:], "has a damaged header: its checksum is wrong"),
        (lambda d: d[:-3] + bytes([d[-3] ^ 1]) + d[-2:], "is damaged: the checksum of a chunk is wrong"),
        (lambda d: with_chunk(d, frames=0), "a chunk claims 0 frames"),
        (lambda d: with_chunk(d, frames=102), "a chunk claims 102 frames"),
        (lambda d: with_chunk(d, frames=50), "a block holds more than its frames"),
        (lambda d: with_chunk(d, payload=b"\0\0\0"), "multiple of four"),
        (lambda d: with_chunk(d, payload=bytes(400)), "a block holds more than its frames"),
        (lambda d: with_chunk(d, payload=b""), "a block of 0 bytes is damaged: they are too few for its frames"),
        (lambda d: with_chunk(d, payload=bytes(8)), "a block of 8 bytes is damaged: they are too few for its frames"),
        (
            lambda d: with_header(d, original_length=2**53),
            r"whose lengths disagree: 9007199254740992 samples at \d+ Hz",
        ),
        (lambda d: with_header(d, length=2**50), "whose lengths disagree"),
        (
            lambda d: with_header(d, length=2**50, original_length=2**50),
            r"is cut off: \d+ bytes cannot hold its \d+ frames",
        ),
        (lambda d: with_header(d, length=0), "length=0: it must be a whole number from 1"),
        (lambda d: with_header(d, length=1e3), r"length=1000\.0: it must be a whole number"),
        (lambda d: with_header(d, channels=256), "channels=256: it must be a whole number from 1 to 255"),
        (lambda d: with_header(d, code_sizes=[[37, 9]]), "is not of its model"),
        (lambda d: with_header(d, code_sizes=[[8, 10**9]]), "none of a .qc file"),
        (lambda d: with_header(d, code_sizes=[[2**60, 1]]), "none of a .qc file"),
        (lambda d: with_header(d, code_sizes=[]), "none of a .qc file"),
        (lambda d: with_header(d, code_sizes=7), "none of a .qc file"),
        (lambda d: with_header(d, hop_length=8), "is not of its model"),
        (lambda d: with_header(d, gain_db=float("inf")), "values that mean nothing"),
        (lambda d: with_header(d, gain_db=1e4), "values that mean nothing"),
        (lambda d: with_header(d, depth="deep"), "values that mean nothing"),
        (lambda d: with_header(d, model=7), "values that mean nothing"),
        (lambda d: with_header(d, model="other"), "was encoded with model other, and this is"),
        (lambda d: with_header(d, tables="other"), "was coded with tables that this model file does not hold"),
        (lambda d: with_header(d, colour="red"), "has a header that is none of a .qc file"),
    ],
)
def test_a_file_that_is_not_whole_sound_and_of_this_model_is_an_error_that_says_why(stream, data, change, message):
    assert decode(stream, data).shape == (2, 403)
    with pytest.raises(ValueError, match=message):
        decode(stream, change(data))


@pytest.mark.parametrize("text", [b"[" * 4000, b'{"length": ' + b"9" * 4000 + b"}", b"null", b"\xff\xfe", b"{}"])
def test_a_header_of_strange_json_is_an_error(data, text):
    file = io.BytesIO(data[:6] + struct.pack("<II", len(text), zlib.crc32(text)) + text)
    with pytest.raises(ValueError, match=r"has a header that is none of a .qc file"):
        read_header(file)


def test_every_prefix_of_a_file_is_refused(data):
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"is (empty|no \.qc file|cut off)"):
            check_file(io.BytesIO(data[:length]))
    assert check_file(io.BytesIO(data)).length == 403


def test_codes_that_the_tables_do_not_hold_are_not_written():
    tables = uniform_tables((8, 8), depth=True)
    for codes in (np.full((1, 2, 3), 8), np.zeros((1, 3, 3), int), np.full((1, 2, 3), -1)):
        with pytest.raises(ValueError, match=r"use the model's|one at least"):
            pack(codes, tables)
    with pytest.raises(ValueError, match="for frames that send every code"):
        pack(np.array([[[1, 1], [1, -1]]]), tables.constant(2))
    with pytest.raises(ValueError, match="what skips some has no file"):
        pack(np.array([[[-1], [1]]]), tables)


@pytest.mark.parametrize("frames", [0, 1, 1000])
def test_codes_of_every_depth_come_back_from_their_bytes(frames):
    random = np.random.default_rng(0)
    depth = random.integers(1, 6, (3, 1, frames))
    codes = np.where(np.arange(5)[:, None] < depth, random.integers(0, 37, (3, 5, frames)), -1)
    tables = uniform_tables((37,) * 5, depth=True)
    assert np.array_equal(unpack(pack(codes, tables), (3, frames), tables), codes)


def test_a_few_hundred_mutated_files_are_read_or_refused(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_bitstream.py"
    spec = importlib.util.spec_from_file_location("fuzz_bitstream", path)
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    outcomes, _ = fuzz.run(300)
    assert outcomes.total() == 300
