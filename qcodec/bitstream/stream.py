"""Audio to a file of codes and back, with any length in the same memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, final

import torch
from torch import Tensor

from qcodec.bitstream.codes import Codes, regroup
from qcodec.bitstream.container import CHUNK_FRAMES, Chunk, ChunkWriter, read_chunks
from qcodec.bitstream.entropy import pack, unpack
from qcodec.bitstream.fingerprint import fingerprint
from qcodec.bitstream.header import MAX_CHANNELS, Header, read_header
from qcodec.bitstream.recording import Recording
from qcodec.bitstream.tables import Tables, uniform_tables
from qcodec.bitstream.windows import decoder_context, encoder_context, windows
from qcodec.codecs.dac import DacCodec
from qcodec.quantizers.allocators import evaluation_depth
from qcodec.quantizers.residual import ResidualVQ


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
class Bitstream:
    """Writes and reads the files of one model.

    Channels are coded as clips of their own. Every clip is encoded in windows of one shape with the context that the
    result of a frame depends on, so that codes are those of the whole clip at once: exactly so for a clip of no more
    than a window, and for longer ones but for frames where two codes are equally near to within rounding.

    Args:
        codec: In evaluation; its quantizer must be a ``ResidualVQ``.
        tables: Frequencies fitted to the model's codes; if left out codes are packed to their bits.
        window: Frames that go through the network at once.

    Raises:
        ValueError: For another quantizer, tables of other sizes, or a window that is all context.

    Example:
        >>> import io
        >>> from qcodec.bitstream.recording import recording_of
        >>> quantizer = ResidualVQ(dim=8, n_codebooks=2, codebook_size=32, codebook_dim=4)
        >>> codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(4,), decoder_dim=8).eval()
        >>> file, stereo = io.BytesIO(), torch.rand(2, 401)
        >>> header = Bitstream(codec).encode(recording_of(stereo, 16000), file)
        >>> header.length, header.frames, file.seek(0)
        (401, 101, 0)
        >>> decoded = Bitstream(codec).decode(file)
        >>> bool(torch.equal(torch.cat(list(decoded.blocks), 1), codec(stereo[:, None]).audio[:, 0]))
        True
    """

    def __init__(self, codec: DacCodec, tables: Tables | None = None, window: int = 192) -> None:
        quantizer = codec.quantizer
        if not isinstance(quantizer, ResidualVQ):
            raise ValueError(f"{type(quantizer).__name__} has no bitstream: only a ResidualVQ has")
        sizes = (quantizer.n_codebooks, quantizer.codebook_size)
        self.codec, self.quantizer, self.window = codec.eval(), quantizer, window
        self.tables = uniform_tables(*sizes) if tables is None else tables
        if self.tables.codes.shape != sizes:
            raise ValueError(
                f"tables for {self.tables.codes.shape} stages and codes are not those of a model of {sizes}"
            )
        self.model = fingerprint(codec)
        self._encoder_context = encoder_context([*codec.encoder.modules(), *quantizer.modules()], codec.hop_length)
        self._decoder_context = decoder_context(codec.decoder.modules(), codec.hop_length)

    def encode(self, recording: Recording, file: BinaryIO, level: float | None = None) -> Header:
        """Write a recording at a level of the codec's rate dial.

        Raises:
            ValueError: For a level that the model does not have, or too many channels.
        """
        if recording.channels > MAX_CHANNELS:
            raise ValueError(f"{recording.channels} channels are more than {MAX_CHANNELS}: encode them apart")
        stages = evaluation_depth(level, self.quantizer.n_codebooks, training=False)
        tables = self.tables.constant(stages)
        header = Header(
            model=self.model,
            tables=tables.id,
            sample_rate=self.codec.sample_rate,
            channels=recording.channels,
            length=1,
            original_rate=recording.original_rate,
            original_length=recording.original_length,
            stages=stages,
            codebook_size=self.quantizer.codebook_size,
            hop_length=self.codec.hop_length,
            depth="constant",
            level=level,
        )
        length = 0

        def counted() -> Iterator[Tensor]:
            nonlocal length
            for block in recording.blocks():
                length += block.shape[1]
                yield block

        writer = ChunkWriter(file, header)
        for codes in regroup(self._codes(counted(), level), CHUNK_FRAMES):
            writer.write(Chunk(codes.shape[-1], pack(codes[:, :stages], tables)))
        return writer.close(length, recording.original_length)

    def decode(self, file: BinaryIO) -> Decoded:
        """Read a file's header; its audio follows as the blocks are read.

        Raises:
            ValueError: For a file that is damaged or of another model, here or as blocks are read.
        """
        header = read_header(file)
        tables = self._tables_of(header)
        codes = (unpack(c.payload, (header.channels, c.frames), tables) for c in read_chunks(file, header))
        return Decoded(header, self._audio(codes, header.length))

    @property
    def _device(self) -> torch.device:
        return next(self.codec.parameters()).device

    @torch.inference_mode()
    def _codes(self, blocks: Iterable[Tensor], level: float | None) -> Iterator[Codes]:
        clips = (block.unsqueeze(1) for block in blocks)
        for window in windows(clips, self.codec.hop_length, self.window, self._encoder_context):
            z, features = self.codec.encode(window.data.to(self._device))
            codes = self.quantizer(z, features=features, level=level).codes
            yield codes[..., window.start : window.stop].cpu().numpy()

    @torch.inference_mode()
    def _audio(self, codes: Iterable[Codes], length: int) -> Iterator[Tensor]:
        hop = self.codec.hop_length
        for window in windows(map(torch.from_numpy, codes), 1, self.window, self._decoder_context):
            audio = self.codec.decode(self.quantizer.decode(window.data.to(self._device)))[:, 0]
            kept = audio[:, window.start * hop : window.stop * hop][:, :length].cpu()
            length -= kept.shape[1]
            yield kept

    def _tables_of(self, header: Header) -> Tables:
        """Check that a file is of this model and give its tables."""
        if header.model != self.model:
            raise ValueError(
                f"was encoded with another model, {header.model}, and this one is {self.model}: give its checkpoint"
            )
        codec, quantizer = self.codec, self.quantizer
        expected = {"sample_rate": codec.sample_rate, "hop_length": codec.hop_length}
        expected |= {"codebook_size": quantizer.codebook_size}
        if any(getattr(header, name) != value for name, value in expected.items()):
            raise ValueError(f"has a header that is not of its model: expected {expected}")
        if header.stages > quantizer.n_codebooks:
            raise ValueError(f"claims {header.stages} stages of a model that has {quantizer.n_codebooks}")
        for tables in (self.tables, uniform_tables(*self.tables.codes.shape)):
            used = tables.constant(header.stages) if header.depth == "constant" else tables
            if used.id == header.tables:
                return used
        raise ValueError("was coded with tables that this model file does not hold: give the one that it was made with")
