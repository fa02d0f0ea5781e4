"""Codecs of other packages by their own programs' interfaces: stock DAC, EnCodec and SNAC."""

import io
import math
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from qcodec.evaluation.file_codec import CodedFile, FileCodec, Level, spread


@final
class StockDac(FileCodec):
    """The Descript Audio Codec as its own package runs it, ``compress`` and ``decompress``, and its ``.dac`` files.

    It is given recordings as loud as they are; ``decompress`` brings what it decodes to the recording's loudness.

    Args:
        weights: A weight file of ``dac``.
    """

    mono = True

    def __init__(self, weights: Path) -> None:
        import dac

        self.model: Any = dac.DAC.load(str(weights)).eval()
        self.sample_rate = int(self.model.sample_rate)

    def levels(self, most: int) -> Sequence[Level]:
        """Return numbers of codebooks."""
        return spread(range(1, self.model.n_codebooks + 1), most)

    @torch.no_grad()
    def encode(self, audio: Tensor, levels: Sequence[Level]) -> Iterator[CodedFile]:
        """Compress with a number of codebooks, as it is, without a change of loudness."""
        from audiotools import AudioSignal

        for level in levels:
            signal = AudioSignal(audio[None].float(), self.sample_rate)
            packed = self.model.compress(signal, normalize_db=None, n_quantizers=None if level is None else int(level))
            with tempfile.TemporaryDirectory() as folder:
                content = Path(packed.save(Path(folder, "file"))).read_bytes()
            count = packed.codes.numel()
            yield CodedFile(content, len(content) - 2 * count, math.log2(self.model.codebook_size) * count)

    @torch.no_grad()
    def decode(self, content: bytes) -> Tensor:
        """Decompress."""
        from dac import DACFile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file.dac")
            path.write_bytes(content)
            decoded: Tensor = self.model.decompress(DACFile.load(path)).audio_data[0]
        return decoded


@final
class EnCodec(FileCodec):
    """EnCodec at 24 kHz by its package ``encodec``, without its language model (arXiv 2210.13438).

    Args:
        folder: With its weights, ``encodec_24khz-d7cc33bc.th``; ``None`` for the random ones of a new model.
    """

    mono = True

    def __init__(self, folder: Path | None = None) -> None:
        model: Any = _package("encodec").EncodecModel
        self.model = model.encodec_model_24khz(folder is not None, folder)
        self.model.name = "encodec_24khz"
        self.sample_rate = int(self.model.sample_rate)

    def levels(self, most: int) -> Sequence[Level]:
        """Return its bandwidths in kbps."""
        return spread(self.model.target_bandwidths, most)

    @torch.no_grad()
    def encode(self, audio: Tensor, levels: Sequence[Level]) -> Iterator[CodedFile]:
        """Compress at a bandwidth."""
        from encodec.compress import compress_to_file

        for level in levels:
            self.model.set_target_bandwidth(level)
            file = io.BytesIO()
            compress_to_file(self.model, audio.float(), file, use_lm=False)
            content = file.getvalue()
            header = struct.calcsize("!4sBI") + struct.unpack_from("!4sBI", content)[2]
            frames = -(-audio.shape[1] // self.model.encoder.hop_length)
            count = self.model.quantizer.get_num_quantizers_for_bandwidth(self.model.frame_rate, level)
            yield CodedFile(content, header, float(frames * count * self.model.bits_per_codebook))

    @torch.no_grad()
    def decode(self, content: bytes) -> Tensor:
        """Decompress with the model at hand, which the package would else download."""
        from encodec.compress import MODELS, decompress_from_file

        models: dict[str, Any] = MODELS
        known = models[self.model.name]
        models[self.model.name] = self._at_hand
        try:
            decoded: Tensor = decompress_from_file(io.BytesIO(content))[0]
        finally:
            models[self.model.name] = known
        return decoded

    def _at_hand(self) -> Any:
        return self.model


@final
class Snac(FileCodec):
    """SNAC by its package ``snac`` (arXiv 2410.14411), with one rate.

    It has no files: here they are its codes packed to their bits, coarse to fine, after the number of samples and of
    codes of each kind.

    Args:
        folder: With ``config.json`` and ``pytorch_model.bin``; ``None`` for a new model of random weights.
    """

    mono = True

    def __init__(self, folder: Path | None = None) -> None:
        model: Any = _package("snac").SNAC
        self.model = model(sampling_rate=24000).eval() if folder is None else model.from_pretrained(str(folder))
        self.sample_rate = int(self.model.sampling_rate)
        self._bits = (self.model.codebook_size - 1).bit_length()

    @torch.no_grad()
    def encode(self, audio: Tensor, levels: Sequence[Level]) -> Iterator[CodedFile]:
        """Encode, and pack the codes."""
        codes = [each.flatten() for each in self.model.encode(audio[None].float())]
        bits = (torch.cat(codes).numpy()[:, None] >> np.arange(self._bits)) & 1
        header = struct.pack(f"<{1 + len(codes)}I", audio.shape[1], *map(len, codes))
        payload = np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()
        for _ in levels:
            yield CodedFile(header + payload, len(header), float(bits.size))

    @torch.no_grad()
    def decode(self, content: bytes) -> Tensor:
        """Unpack and decode."""
        length, *counts = struct.unpack_from(f"<{1 + self.model.n_codebooks}I", content)
        packed = np.frombuffer(content, np.uint8, offset=4 * (1 + len(counts)))
        bits = np.unpackbits(packed, bitorder="little")[: sum(counts) * self._bits].reshape(-1, self._bits)
        values = torch.from_numpy((bits.astype(np.int64) << np.arange(self._bits)).sum(1))
        decoded: Tensor = self.model.decode([each[None] for each in torch.split(values, counts)])[0, :, :length]
        return decoded


def _package(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise ValueError(f"{name} is not installed ({error}): pip install {name}") from None
