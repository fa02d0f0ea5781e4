"""Audio to a file of codes, of any length in the same memory."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO, final

import numpy as np
import torch
from torch import Tensor

from qcodec.audio.reading import Recording, amplified, loudness_gain
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.code_cache import CodeBlock, CodeCache
from qcodec.bitstream.codes import Codes, depth_of, regroup
from qcodec.bitstream.container import CHUNK_FRAMES, Chunk, ChunkWriter
from qcodec.bitstream.encoded_recording import EncodedRecording
from qcodec.bitstream.entropy import pack
from qcodec.bitstream.header import MAX_CHANNELS, Header
from qcodec.bitstream.rate_control import level_for, sent_codes
from qcodec.bitstream.settings import Settings
from qcodec.codecs.base import Embedding
from qcodec.codecs.finite import check_output
from qcodec.codecs.without_tf32 import without_tf32
from qcodec.quantizers.allocators import AllCodebooks
from qcodec.quantizers.position import frames_from

_OFFERED = 16  # levels that a search for a rate may choose from, where an allocator has no continuous dial


@final
class Encoder:
    """Writes recordings to the files of one model.

    Args:
        bitstream: The model.

    Example:
        >>> import io
        >>> from qcodec import DacCodec, residual_vq
        >>> from qcodec.audio.reading import recording_of
        >>> from qcodec.bitstream.decoder import Decoder
        >>> quantizer = residual_vq(dim=8, n_codebooks=2, codebook_size=32, codebook_dim=4)
        >>> codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(4,), decoder_dim=8).eval()
        >>> file, stereo, bitstream = io.BytesIO(), torch.rand(2, 401), Bitstream(codec)
        >>> header = Encoder(bitstream).encode(recording_of(stereo, 16000), file)
        >>> header.length, header.frames, file.seek(0)
        (401, 101, 0)
        >>> decoded = Decoder(bitstream).decode(file)
        >>> bool(torch.equal(torch.cat(list(decoded.blocks), 1), codec(stereo[:, None]).audio[:, 0]))
        True
    """

    def __init__(self, bitstream: Bitstream) -> None:
        self.bitstream = bitstream

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
        if settings.kbps is not None:
            with tempfile.TemporaryFile() as part:
                encoded = self.analyse(recording, part, self.bitstream.levels(_OFFERED), settings.loudness)
                return self.send(encoded, file, kbps=settings.kbps)
        _check_channels(recording)
        gain = loudness_gain(recording, self.bitstream.codec.sample_rate, settings.loudness)
        recording, samples = amplified(recording, gain), _Samples()
        codes = self.codes(samples.counted(recording), settings.level)
        return self._write(recording, settings, settings.level, gain, codes, file).close(samples.count)

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
            levels: Those it may be sent at; allocators with a continuous dial allow others too.
            loudness: As in ``Settings``.

        Raises:
            ValueError: For too many channels.
        """
        _check_channels(recording)
        gain = loudness_gain(recording, self.bitstream.codec.sample_rate, loudness)
        recording, samples = amplified(recording, gain), _Samples()
        cache = CodeCache(part, self.blocks(samples.counted(recording), levels))
        return EncodedRecording(recording, samples.count, gain, loudness, cache, tuple(levels))

    def send(
        self, encoded: EncodedRecording, file: BinaryIO, level: float | None = None, kbps: float | None = None
    ) -> Header:
        """Write an encoded recording, at a level or the highest one that takes no more than a rate.

        Raises:
            ValueError: For a level or a rate that the model or the recording does not allow.
        """
        settings = Settings(level, kbps, encoded.loudness)
        if kbps is not None:
            level = level_for(self.bitstream, encoded, kbps * 1000 * encoded.samples / self.bitstream.codec.sample_rate)
        codes = (sent_codes(self.bitstream, block, level, encoded.levels) for block in encoded.cache)
        return self._write(encoded.recording, settings, level, encoded.gain_db, codes, file).close(encoded.samples)

    @torch.no_grad()
    def codes(self, blocks: Iterable[Tensor], level: float | None) -> Iterator[Codes]:
        """Compute the codes ``(C, N, T)`` of a recording's blocks at a level, in parts; -1 where a code is not sent."""
        for window in self.bitstream.encoder_windows(blocks):
            with without_tf32(), frames_from(window.first):
                embedding = self._embed(window.data)
                codes = self.bitstream.quantizer(embedding.z, features=embedding.features, level=level).codes
            yield codes[..., window.start : window.stop].cpu().numpy()

    def blocks(self, blocks: Iterable[Tensor], levels: Sequence[float | None]) -> Iterator[CodeBlock]:
        """Compute every code of a recording's blocks, and what the allocator decides by, in chunks."""
        count = len(self.bitstream.sizes)
        joined = regroup(self._rows(blocks, levels), CHUNK_FRAMES)
        return (CodeBlock(rows[:, :count].astype(np.int32), rows[:, count:].view(np.float32)) for rows in joined)

    @torch.no_grad()
    def _rows(self, blocks: Iterable[Tensor], levels: Sequence[float | None]) -> Iterator[Codes]:
        """Compute codes, and below them decisions as the bits of a float32, so that both are cut alike."""
        allocator, quantizer = self.bitstream.quantizer.allocator, self.bitstream.quantizer
        everything = quantizer if allocator is None else quantizer.with_allocator(AllCodebooks())
        for window in self.bitstream.encoder_windows(blocks):
            with without_tf32(), frames_from(window.first):
                embedding = self._embed(window.data)
                rows = everything(embedding.z, features=embedding.features).codes.int()
                if allocator is not None:
                    decisions = allocator.decisions(embedding.z, len(self.bitstream.sizes), embedding.features, levels)
                    rows = torch.cat([rows, decisions.float().contiguous().view(torch.int32)], 1)
            yield np.ascontiguousarray(rows[..., window.start : window.stop].cpu().numpy())

    def _embed(self, audio: Tensor) -> Embedding:
        embedding = self.bitstream.codec.embed(audio)
        check_output("encoder", embedding.z)
        return embedding

    def header(
        self, recording: Recording, settings: Settings, level: float | None, gain_db: float, depth: int
    ) -> Header:
        """Return the header of a recording of unknown length; its frames send ``depth`` codes, or state how many."""
        bitstream = self.bitstream
        tables = bitstream.tables if bitstream.per_frame else bitstream.tables.constant(depth)
        return Header(
            model=bitstream.model,
            tables=tables.id,
            sample_rate=bitstream.codec.sample_rate,
            channels=recording.channels,
            length=1,
            original_rate=recording.original_rate,
            original_length=recording.original_length,
            code_sizes=tables.sizes,
            hop_length=bitstream.codec.hop_length,
            depth="coded" if bitstream.per_frame else "constant",
            gain_db=gain_db,
            level=level,
            kbps=settings.kbps,
            loudness=settings.loudness,
        )

    def would_write(self, header: Header, recording: Recording, settings: Settings) -> bool:
        """Return whether ``encode`` would write this header, but for what only the content tells."""
        level = header.level if settings.kbps is not None else settings.level
        expected = self.header(recording, settings, level, header.gain_db, len(header.code_sizes))
        return dataclasses.replace(header, length=expected.length) == expected

    def _write(
        self,
        recording: Recording,
        settings: Settings,
        level: float | None,
        gain_db: float,
        codes: Iterable[Codes],
        file: BinaryIO,
    ) -> ChunkWriter:
        blocks = regroup(codes, CHUNK_FRAMES)
        first = next(blocks)
        depth = int(depth_of(first)[0, 0])
        header = self.header(recording, settings, level, gain_db, depth)
        tables, writer = self.bitstream.tables_of(header), ChunkWriter(file, header)
        for block in chain([first], blocks):
            self._check_depth(block, depth)
            writer.write(Chunk(block.shape[-1], pack(block[:, : len(tables.codes)], tables)))
        return writer

    def _check_depth(self, block: Codes, depth: int) -> None:
        if not self.bitstream.per_frame and (depth_of(block) != depth).any():
            name = type(self.bitstream.quantizer.allocator or self.bitstream.quantizer).__name__
            raise ValueError(f"{name} sends different numbers of codes in one recording: let it say per_frame = True")


def _check_channels(recording: Recording) -> None:
    if recording.channels > MAX_CHANNELS:
        raise ValueError(f"{recording.channels} channels are more than {MAX_CHANNELS}: encode them apart")


class _Samples:
    """Counts the samples of a recording as it is read."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, recording: Recording) -> Iterator[Tensor]:
        """Return the blocks of a recording."""
        for block in recording.blocks():
            self.count += block.shape[1]
            yield block
