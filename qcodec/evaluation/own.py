"""A codec of this package, by the files that ``qcodec encode`` writes."""

import io
import tempfile
from collections.abc import Iterator, Sequence
from typing import final

import torch
from torch import Tensor

from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoded_recording import EncodedRecording
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.header import header_bytes
from qcodec.bitstream.out_of_memory import fitting_memory
from qcodec.bitstream.rate_control import sent_codes
from qcodec.evaluation.file_codec import CodedFile, FileCodec, Level
from qcodec.rate import code_bits, side_bits


@final
class OwnCodec(FileCodec):
    """A model and its ``.qc`` files; a recording goes through its encoder once, whatever the number of levels."""

    def __init__(self, bitstream: Bitstream) -> None:
        self.bitstream, self.sample_rate = bitstream, bitstream.codec.sample_rate

    def levels(self, most: int) -> Sequence[Level]:
        """Return the model's own."""
        return self.bitstream.levels(most)

    def encode(self, audio: Tensor, levels: Sequence[Level]) -> Iterator[CodedFile]:
        """Encode once, and send at each level.

        Raises:
            ValueError: For audio that does not fit the device, or a level that the model does not have.
        """
        with fitting_memory(self.bitstream, "the recording"), tempfile.TemporaryFile() as part:
            encoder = Encoder(self.bitstream)
            encoded = encoder.analyse(recording_of(audio, self.sample_rate), part, levels)
            for level in levels:
                file = io.BytesIO()
                header = encoder.send(encoded, file, level)
                yield CodedFile(file.getvalue(), len(header_bytes(header)), self._nominal_bits(encoded, level))

    def decode(self, content: bytes) -> Tensor:
        """Decode a file."""
        with fitting_memory(self.bitstream, "the recording"):
            return torch.cat([*Decoder(self.bitstream).decode(io.BytesIO(content)).blocks], 1)

    def _nominal_bits(self, encoded: EncodedRecording, level: Level) -> float:
        sizes, bits = self.bitstream.sizes, 0.0
        for block in encoded.cache:
            codes = sent_codes(self.bitstream, block, level, encoded.levels)
            bits += sum(code_bits(size) * int((codes[:, n] >= 0).sum()) for n, size in enumerate(sizes))
            if self.bitstream.per_frame:
                bits += side_bits(len(sizes)) * codes.shape[0] * codes.shape[2]
        return bits
