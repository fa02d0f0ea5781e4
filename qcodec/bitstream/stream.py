"""Audio to a file of codes and back, with any length in the same memory."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, final

import torch
from torch import Tensor

from qcodec.audio.reading import Recording, amplified, loudness_gain
from qcodec.bitstream.code_cache import Block, CodeCache
from qcodec.bitstream.codes import Codes, regroup
from qcodec.bitstream.container import CHUNK_FRAMES, Chunk, ChunkWriter, read_chunks
from qcodec.bitstream.encoded_recording import EncodedRecording
from qcodec.bitstream.entropy import pack, unpack
from qcodec.bitstream.fingerprint import fingerprint
from qcodec.bitstream.header import MAX_CHANNELS, Header, read_header
from qcodec.bitstream.rate_control import ConstantDial, Dial, OwnDial, dial_of
from qcodec.bitstream.settings import WINDOW, Settings
from qcodec.bitstream.tables import Tables, uniform_tables
from qcodec.bitstream.windows import Window, decoder_context, encoder_context, windows
from qcodec.codecs.dac.codec import DacCodec
from qcodec.quantizers.allocators import AllCodebooks
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
        >>> from qcodec.audio.reading import recording_of
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

    def __init__(self, codec: DacCodec, tables: Tables | None = None, window: int = WINDOW) -> None:
        quantizer = codec.quantizer
        if not isinstance(quantizer, ResidualVQ):
            raise ValueError(f"{type(quantizer).__name__} has no bitstream: only a ResidualVQ has")
        sizes = (quantizer.n_codebooks, quantizer.codebook_size)
        self.codec, self.quantizer, self.window = codec.eval(), quantizer, window
        self.tables = uniform_tables(*sizes) if tables is None else tables
        if self.tables.codes.shape != sizes:
            raise ValueError(f"tables of {self.tables.codes.shape} stages and codes do not fit a model of {sizes}")
        self.model = fingerprint(codec)
        self._encoder_context = encoder_context([*codec.encoder.modules(), *quantizer.modules()], codec.hop_length)
        self._decoder_context = decoder_context(codec.decoder.modules(), codec.hop_length)
        least = max(c.left + c.right for c in (self._encoder_context, self._decoder_context))
        if window <= least:
            raise ValueError(f"a window of {window} frames is all context: give more than {least}")

    def encode(self, recording: Recording, file: BinaryIO, settings: Settings | None = None) -> Header:
        """Write a recording.

        Args:
            recording: Read once, and once more where its loudness is asked for.
            file: Open for writing; can be sought.
            settings: Rate and loudness; the model's own rate and no change of loudness if left out.

        Raises:
            ValueError: For settings that the model or the recording does not allow, or too many channels.
        """
        settings = settings or Settings()
        if settings.kbps is not None or isinstance(self._dial(), OwnDial):
            with tempfile.TemporaryFile() as part:
                analysed = self.analyse(recording, part, [settings.level], settings.loudness)
                return self.send(analysed, file, settings.level, settings.kbps)
        _check_channels(recording)
        gain = loudness_gain(recording, self.codec.sample_rate, settings.loudness)
        recording, samples = amplified(recording, gain), _Samples()
        header = self.header(recording, settings, settings.level, gain, self._dial().depth((), settings.level))
        codes = self.codes(samples.counted(recording), settings.level)
        return self._write(header, codes, file).close(samples.count)

    def analyse(
        self,
        recording: Recording,
        part: BinaryIO,
        levels: Sequence[float | None] = (None,),
        loudness: float | None = None,
    ) -> EncodedRecording:
        """Encode a recording once, to be sent at any level.

        Args:
            recording: Read once, and once more where its loudness is asked for.
            part: Empty temporary file that holds what is kept; it stays open while the result is in use.
            levels: Those it may be sent at, where the model's allocator is not of this project; else any will do.
            loudness: As in ``Settings``.

        Raises:
            ValueError: For too many channels.
        """
        _check_channels(recording)
        gain = loudness_gain(recording, self.codec.sample_rate, loudness)
        recording, samples, dial = amplified(recording, gain), _Samples(), self._dial(levels)
        spool = CodeCache(part, regroup(self.rows(samples.counted(recording), dial), CHUNK_FRAMES))
        return EncodedRecording(recording, samples.count, gain, loudness, spool, dial)

    def send(
        self, analysed: EncodedRecording, file: BinaryIO, level: float | None = None, kbps: float | None = None
    ) -> Header:
        """Write an analysed recording, at a level or the highest one that takes no more than a rate.

        Raises:
            ValueError: For a level or a rate that the model or the recording does not allow.
        """
        settings = Settings(level, kbps, analysed.loudness)
        if kbps is not None:
            bits = kbps * 1000 * analysed.samples / self.codec.sample_rate
            level = analysed.dial.level_for(analysed.spool, self.tables, bits)
        depth = analysed.dial.depth(analysed.spool, level)
        codes = (analysed.dial.sent(block, level) for block in analysed.spool)
        header = self.header(analysed.recording, settings, level, analysed.gain_db, depth)
        return self._write(header, codes, file).close(analysed.samples)

    def decode(self, file: BinaryIO) -> Decoded:
        """Read a file's header; its audio follows as the blocks are read.

        Raises:
            ValueError: For a file that is damaged or of another model, here or as blocks are read.
        """
        header = read_header(file)
        tables = self.tables_of(header)
        codes = (unpack(c.payload, (header.channels, c.frames), tables) for c in read_chunks(file, header))
        return Decoded(header, self._audio(codes, header))

    def header(
        self, recording: Recording, settings: Settings, level: float | None, gain_db: float, depth: int | None
    ) -> Header:
        """Give the header of a recording of unknown length, with one depth for all frames or ``None``."""
        tables = self.tables if depth is None else self.tables.constant(depth)
        return Header(
            model=self.model,
            tables=tables.id,
            sample_rate=self.codec.sample_rate,
            channels=recording.channels,
            length=1,
            original_rate=recording.original_rate,
            original_length=recording.original_length,
            stages=tables.stages,
            codebook_size=self.quantizer.codebook_size,
            hop_length=self.codec.hop_length,
            depth="coded" if depth is None else "constant",
            gain_db=gain_db,
            level=level,
            kbps=settings.kbps,
            loudness=settings.loudness,
        )

    def tables_of(self, header: Header) -> Tables:
        """Give the tables that a file of this model was coded with.

        Raises:
            ValueError: For a file of another model, or of tables that are not here.
        """
        if header.model != self.model:
            raise ValueError(f"was encoded with model {header.model}, and this is {self.model}: give its checkpoint")
        codec, quantizer = self.codec, self.quantizer
        expected = {"sample_rate": codec.sample_rate, "hop_length": codec.hop_length}
        expected |= {"codebook_size": quantizer.codebook_size}
        most = quantizer.n_codebooks
        if any(getattr(header, name) != value for name, value in expected.items()) or header.stages > most:
            raise ValueError(f"has a header that is not of its model: expected {expected} and up to {most} stages")
        for tables in (self.tables, uniform_tables(*self.tables.codes.shape)):
            used = tables.constant(header.stages) if header.depth == "constant" else tables
            if used.id == header.tables:
                return used
        raise ValueError("was coded with tables that this model file does not hold: give the one that it was made with")

    def would_write(self, header: Header, recording: Recording, settings: Settings) -> bool:
        """Whether ``encode`` would give a sound file this header, but for what only the content tells.

        Never so where the allocator is not of this project, as no header tells which it was.
        """
        level, dial = header.level if settings.kbps is not None else settings.level, self._dial()
        if isinstance(dial, OwnDial):
            return False
        expected = self.header(recording, settings, level, header.gain_db, dial.depth((), level))
        return dataclasses.replace(header, length=expected.length) == expected

    @torch.no_grad()
    def codes(self, blocks: Iterable[Tensor], level: float | None) -> Iterator[Codes]:
        """Give the codes ``(C, N_q, T)`` of a recording's blocks at a level, in parts; -1 where a stage is not sent."""
        for window in self._windows(blocks):
            embedding = self.codec.embed(window.data)
            codes = self.quantizer(embedding.z, features=embedding.features, level=level).codes
            yield codes[..., window.start : window.stop].cpu().numpy()

    @property
    def per_frame(self) -> bool:
        """Whether each frame tells how many stages it sends."""
        return not isinstance(self._dial(), ConstantDial)

    def _write(self, header: Header, codes: Iterable[Codes], file: BinaryIO) -> ChunkWriter:
        tables, writer = self.tables_of(header), ChunkWriter(file, header)
        for block in regroup(codes, CHUNK_FRAMES):
            writer.write(Chunk(block.shape[-1], pack(block[:, : header.stages], tables)))
        return writer

    @torch.no_grad()
    def rows(self, blocks: Iterable[Tensor], dial: Dial) -> Iterator[Block]:
        """Give every code of a recording's blocks and what a dial decides by, as a ``CodeCache`` keeps them."""
        everything = self.quantizer.with_allocator(AllCodebooks())
        for window in self._windows(blocks):
            embedding = self.codec.embed(window.data)
            rows = torch.cat([everything(embedding.z).codes.int(), dial.rows(embedding.z, embedding.features)], 1)
            yield rows[..., window.start : window.stop].cpu().numpy()

    def _dial(self, levels: Sequence[float | None] = ()) -> Dial:
        return dial_of(self.quantizer.allocator, self.quantizer.n_codebooks, levels)

    def _windows(self, blocks: Iterable[Tensor]) -> Iterator[Window]:
        device = next(self.codec.parameters()).device
        clips = (block.unsqueeze(1).to(device) for block in blocks)
        return windows(clips, self.codec.hop_length, self.window, self._encoder_context)

    @torch.no_grad()
    def _audio(self, codes: Iterable[Codes], header: Header) -> Iterator[Tensor]:
        hop, left = self.codec.hop_length, header.length
        device = next(self.codec.parameters()).device
        blocks = (torch.from_numpy(block).to(device) for block in codes)
        for window in windows(blocks, 1, self.window, self._decoder_context):
            audio = self.codec.synthesize(self.quantizer.decode(window.data))[:, 0]
            kept = audio[:, window.start * hop : window.stop * hop][:, :left].cpu()
            left -= kept.shape[1]
            yield kept / 10 ** (header.gain_db / 20) if header.gain_db else kept


def _check_channels(recording: Recording) -> None:
    if recording.channels > MAX_CHANNELS:
        raise ValueError(f"{recording.channels} channels are more than {MAX_CHANNELS}: encode them apart")


class _Samples:
    """Counts the samples of a recording as it is read."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, recording: Recording) -> Iterator[Tensor]:
        """Give the blocks of a recording."""
        for block in recording.blocks():
            self.count += block.shape[1]
            yield block
