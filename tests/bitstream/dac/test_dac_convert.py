"""Files of the published program, both ways."""

import io
import pickle
import warnings

import dac
import numpy as np
import pytest
import torch
from audiotools import AudioSignal

from qcodec import DacCodec, residual_vq
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.dac.convert import decode_dac, encode_dac
from qcodec.bitstream.dac.format import DacFile, read_dac, write_dac
from qcodec.bitstream.settings import Settings
from qcodec.codecs.dac.weights import export_dac, load_dac

pytestmark = pytest.mark.filterwarnings("ignore")  # another project's code, as it comes


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[(2, 4), (2, 5)], ids=str)
def both(request, tmp_path):
    """Give one codec as ours and as theirs."""
    rates = request.param
    torch.manual_seed(0)
    quantizer = residual_vq(4 * 2 ** len(rates), 3, 32, 4)
    export_dac(DacCodec(quantizer, encoder_dim=4, encoder_rates=rates, decoder_dim=8), tmp_path / "model.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_dac(tmp_path / "model.pth").eval(), dac.DAC.load(tmp_path / "model.pth").eval()


@pytest.mark.parametrize(("length", "window"), [(8000, 1.0), (24000, 0.5)], ids=["at once", "in chunks"])
def test_what_dac_encodes_decodes_here_as_there(both, tmp_path, length, window):
    ours, theirs = both
    content = theirs.compress(AudioSignal(0.1 * draw(1, 1, length), 16000), win_duration=window)
    if content.padding and ours.encoder_rates == (2, 5):
        pytest.skip("dac itself cannot decode a whole clip of full frames with odd strides")
    path = content.save(tmp_path / "x.dac")
    expected = theirs.decompress(dac.DACFile.load(path)).audio_data[0]
    with open(path, "rb") as file:
        found = decode_dac(ours, read_dac(file))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)  # loudness is measured by other filters


@pytest.mark.parametrize("length", [8000, 7993, 4001])
@pytest.mark.parametrize("level", [None, 2])
def test_what_is_encoded_here_decodes_there_to_the_models_own_output_and_balance(both, tmp_path, length, level):
    ours, theirs = both
    audio = 0.1 * draw(2, length) * torch.tensor([[1.0], [0.2]])
    with open(tmp_path / "x.dac", "wb") as file:
        encode_dac(Bitstream(ours), recording_of(audio, 16000), file, Settings(level))
    decoded = theirs.decompress(tmp_path / "x.dac").audio_data
    assert decoded.shape == (1, 2, length)
    whole = ours(audio[:, None], level=level).audio[:, 0, :-300]
    assert torch.cosine_similarity(decoded[0, :, :-300], whole, dim=1).min() > 0.999
    with open(tmp_path / "x.dac", "rb") as file:
        again = decode_dac(ours, read_dac(file))
    torch.testing.assert_close(again[:, :-300], decoded[0, :, :-300], rtol=1e-2, atol=1e-3)


def test_one_loudness_for_all_channels_is_reached_by_one_gain(both):
    ours, _ = both
    codes = torch.randint(0, 32, (2, 3, 1000), generator=torch.Generator().manual_seed(0)).numpy()
    plain = ours.synthesize(ours.quantizer.decode(torch.from_numpy(codes)))[:, 0]
    found = decode_dac(ours, DacFile(codes, 1000, 7900, np.array([-30.0], np.float32), 2, 16000, True))
    gain = found / plain[:, :7900]
    torch.testing.assert_close(gain, gain[0, 0].expand_as(gain), rtol=1e-3, atol=0)


class Payload:
    def __reduce__(self):
        return print, ("code from the file was run",)


def saved(content):
    file = io.BytesIO()
    np.save(file, np.array(content, dtype=object), allow_pickle=True)
    return file.getvalue()


def sound(**changes):
    metadata = {"input_db": np.zeros(1, np.float32), "original_length": 10, "sample_rate": 16000, "chunk_length": 5}
    metadata |= {"channels": 1, "padding": True, "dac_version": "1.0.0"} | changes
    return {"codes": np.zeros((1, 2, 5), np.uint16), "metadata": metadata}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (saved({"codes": Payload()}), "wants 'builtins.print' to be run, which no .dac file needs"),
        (saved(sound(input_db=Payload())), "wants 'builtins.print' to be run"),
        (saved(sound(channels=2)), "its codes are none of its channels"),
        (saved(sound(chunk_length=0)), "is no positive number"),
        (saved(sound(sample_rate=2**30)), "or too large"),
        (saved(sound(original_length=10.5)), "is no positive number"),
        (saved(sound(dac_version="2.0.0")), "of version '2.0.0'"),
        (saved(sound(input_db=np.full(1, np.nan, np.float32))), "its loudness is no number"),
        (saved(sound() | {"codes": np.zeros((1, 2, 5))}), "its codes are none of its channels"),
        (saved([1, 2]), "is no .dac file"),
        (saved(sound())[:-30], "is no .dac file, or damaged"),
        (b"", "is no .dac file"),
        (b"qc" * 100, "is no .dac file"),
        (pickle.dumps(sound()), "is no .dac file"),
    ],
)
def test_a_file_that_is_no_dac_file_is_refused_and_runs_nothing(data, message, capsys):
    with pytest.raises(ValueError, match=message):
        read_dac(io.BytesIO(data))
    assert capsys.readouterr().out == ""


def test_an_array_that_claims_more_than_its_bytes_is_refused_before_memory_is_asked_for():
    data = saved(sound()).replace(b"K\x01K\x02K\x05\x87", b"K\x01K\x02K\xff\x87")
    with pytest.raises(ValueError, match="an array has another size than it claims"):
        read_dac(io.BytesIO(data))


def test_a_pickle_that_asks_for_memory_by_itself_is_refused():
    header = saved(sound())[:128]
    with pytest.raises(ValueError, match=r"is no \.dac file, or damaged"):
        read_dac(io.BytesIO(header + pickle.dumps(bytearray(4), protocol=5)))


def test_chunks_too_short_to_be_decoded_without_padding_are_an_error(both):
    content = DacFile(np.zeros((1, 2, 1), np.int64), 1, 1, np.zeros(1, np.float32), 1, 16000, False)
    with pytest.raises(ValueError, match="cannot be decoded 1 frames at a time"):
        decode_dac(both[0], content)


def test_what_was_written_is_read_again():
    content = DacFile(np.arange(6).reshape(1, 2, 3), 3, 20, np.array([-23.5], np.float32), 1, 44100, True)
    file = io.BytesIO()
    write_dac(file, content)
    file.seek(0)
    found = read_dac(file)
    assert np.array_equal(found.codes, content.codes)
    assert (found.input_db, found.sample_rate, found.original_length) == (content.input_db, 44100, 20)
