"""Recordings to files of the published program `dac` and back, with the same codec."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from qcodec.audio.loudness import SILENCE_LUFS, LoudnessMeter
from qcodec.audio.reading import Recording
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.dac.format import DacFile, write_dac
from qcodec.bitstream.encoder import Encoder
from qcodec.bitstream.settings import Settings
from qcodec.codecs.base import AudioCodec
from qcodec.codecs.finite import check_output
from qcodec.codecs.without_tf32 import without_tf32
from qcodec.quantizers.allocators import evaluation_depth


def encode_dac(bitstream: Bitstream, recording: Recording, file: BinaryIO, settings: Settings) -> DacFile:
    """Write a recording as a ``.dac`` file, of one chunk, which ``dac`` decodes to the model's own output.

    But for its loudness: ``dac`` brings what it decodes, channel by channel, to the loudness that the file states.
    Stated is that of each channel of the recording, which keeps their balance. With odd strides ``dac`` decodes a few
    samples less than the frames have: the file then holds a frame of silence more. Its codes are held in memory whole.

    Raises:
        ValueError: For settings that such a file cannot hold, or a model whose depth differs from frame to frame.
    """
    if bitstream.codec.dac_arguments() is None:
        raise ValueError(f"{type(bitstream.quantizer).__name__} has no counterpart in `dac`: write .qc")
    if settings.kbps is not None or settings.loudness is not None or bitstream.per_frame:
        raise ValueError("a .dac file has one number of codebooks and no gain: give --level or --codebooks alone")
    if max(bitstream.sizes) > 2**16:
        raise ValueError(f"a .dac file has no place for {max(bitstream.sizes)} codes a codebook: write .qc")
    rate, hop = bitstream.codec.sample_rate, bitstream.codec.hop_length
    odd = any(layer.output_padding[0] for layer in _transposed(bitstream.codec))
    meter = LoudnessMeter(rate)

    def blocks() -> Iterator[Tensor]:
        for block in recording.blocks():
            meter.add(block.unsqueeze(1))
            yield block
        if odd:
            yield torch.zeros(recording.channels, hop)

    stages = evaluation_depth(settings.level, len(bitstream.sizes), training=False)
    codes = np.concatenate(list(Encoder(bitstream).codes(blocks(), stages)), -1)[:, :stages]
    content = DacFile(
        codes=codes,
        chunk_length=codes.shape[-1],
        original_length=recording.original_length,
        input_db=meter.loudness().numpy(),
        channels=recording.channels,
        sample_rate=recording.original_rate,
        padding=True,
    )
    write_dac(file, content)
    return content


@torch.no_grad()
def decode_dac(codec: AudioCodec, content: DacFile) -> Tensor:
    """Decode a ``.dac`` file to ``(C, L)`` at the codec's rate, at the loudness that it states.

    Unlike a ``.qc`` file it is held in memory whole, as its loudness is known at its end. A loudness of all channels
    together is reached by one gain, which keeps their balance; ``dac`` brings each channel
    to it instead.

    Raises:
        ValueError: For codes that the model does not have, or fewer frames than the recording needs.
    """
    device = next(codec.parameters()).device
    codes = torch.from_numpy(content.codes)
    parts = []
    with without_tf32(), _padding(codec, content.padding):
        for chunk in torch.split(codes, content.chunk_length, -1):
            z = codec.quantizer.deployed().decode(chunk.to(device))
            try:
                parts.append(codec.synthesize(z)[:, 0].cpu())
            except RuntimeError as error:  # a convolution without zeros around what it takes
                reason = str(error).splitlines()[0]
                raise ValueError(f"cannot be decoded {chunk.shape[-1]} frames at a time: {reason}") from None
            check_output("decoder", parts[-1])
    length = -(-content.original_length * codec.sample_rate // content.sample_rate)
    audio = torch.cat(parts, -1)
    if audio.shape[1] < length:
        raise ValueError(f"is cut off: its codes give {audio.shape[1]} of {length} samples")
    clips = audio[:, None] if len(content.input_db) == len(audio) else audio[None]
    meter = LoudnessMeter(codec.sample_rate)
    meter.add(clips)
    measured = meter.loudness()
    gain_db = torch.where(measured <= SILENCE_LUFS, 0.0, torch.from_numpy(content.input_db) - measured)
    louder = clips * 10 ** (gain_db / 20)[:, None, None]
    return louder.reshape(audio.shape)[:, :length]


def _transposed(codec: nn.Module) -> list[nn.ConvTranspose1d]:
    return [layer for layer in codec.modules() if isinstance(layer, nn.ConvTranspose1d)]


@contextmanager
def _padding(codec: nn.Module, wanted: bool) -> Iterator[None]:
    """Return a context in which a codec's convolutions add no zeros unless ``wanted``, as in ``dac``."""
    layers = [] if wanted else [m for m in codec.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    before = [(layer.padding, layer.output_padding) for layer in layers]
    try:
        for layer in layers:
            layer.padding, layer.output_padding = (0,), (0,)
        yield
    finally:
        for layer, (padding, output_padding) in zip(layers, before, strict=True):
            layer.padding, layer.output_padding = padding, output_padding
