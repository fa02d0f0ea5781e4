"""A file of codes to audio, of any length in the same memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, final

import torch
from torch import Tensor

from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.codes import Codes
from qcodec.bitstream.container import read_chunks
from qcodec.bitstream.entropy import unpack
from qcodec.bitstream.header import Header, read_header
from qcodec.codecs.finite import check_output
from qcodec.codecs.without_tf32 import without_tf32
from qcodec.quantizers.position import frames_from


@final
@dataclass(frozen=True)
class Decoded:
    """What a file decodes to.

    Attributes:
        header: What the file says of itself.
        blocks: The audio, in blocks ``(C, n)`` of float32 at the codec's rate; reading on decodes on.
    """

    header: Header
    blocks: Iterator[Tensor]


@final
class Decoder:
    """Reads the files of one model; ``Encoder`` has an example.

    Args:
        bitstream: The model.
    """

    def __init__(self, bitstream: Bitstream) -> None:
        self.bitstream = bitstream

    def decode(self, file: BinaryIO) -> Decoded:
        """Read a file's header; its audio follows as the blocks are read.

        Raises:
            ValueError: For a file that is damaged or of another model, here or as blocks are read.
        """
        header = read_header(file)
        tables = self.bitstream.tables_of(header)
        codes = (unpack(c.payload, (header.channels, c.frames), tables) for c in read_chunks(file, header))
        return Decoded(header, self._audio(codes, header))

    @torch.no_grad()
    def _audio(self, codes: Iterable[Codes], header: Header) -> Iterator[Tensor]:
        codec, quantizer = self.bitstream.codec, self.bitstream.quantizer
        hop, left = codec.hop_length, header.length
        for window in self.bitstream.decoder_windows(torch.from_numpy(block) for block in codes):
            with without_tf32(), frames_from(window.first):
                z_hat = quantizer.decode(window.data)
                audio = codec.synthesize(z_hat)[:, 0]
            check_output("decoder", audio)
            kept = audio[:, window.start * hop : window.stop * hop][:, :left].cpu()
            left -= kept.shape[1]
            yield kept / 10 ** (header.gain_db / 20) if header.gain_db else kept
