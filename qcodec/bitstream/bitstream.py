"""A codec as files are written and read with it."""

from collections.abc import Iterable, Iterator
from typing import final

import torch
from torch import Tensor

from qcodec.bitstream.fingerprint import fingerprint
from qcodec.bitstream.header import MOST_CODES, MOST_SYMBOLS, Header
from qcodec.bitstream.settings import WINDOW
from qcodec.bitstream.tables import Tables, uniform_tables
from qcodec.bitstream.windows import Window, windows
from qcodec.codecs.base import AudioCodec
from qcodec.codecs.finite import check_weights
from qcodec.quantizers.allocators import RateAllocator
from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.receptive_field import ReceptiveField, widest


@final
class Bitstream:
    """The files of one model: which codes they hold, with which tables, and in which windows audio goes through it.

    ``Encoder`` writes them and ``Decoder`` reads them. Channels are coded as clips of their own. Every clip is encoded
    in windows of one shape with the frames that the result of a frame depends on, so that codes are those of the whole
    clip at once: exactly so for a clip of no more than a window, and for longer ones but for frames where two codes
    are equally near to within rounding. A codec, quantizer or allocator that states no receptive field gets every
    recording whole.

    Args:
        codec: Any codec whose quantizer states its ``code_sizes``; put into evaluation.
        tables: Frequencies fitted to the model's codes; if left out codes are packed to their bits.
        window: Frames that go through the network at once.

    Raises:
        ValueError: For a quantizer whose codes do not determine what is decoded, or are too large for a file, for
            tables of other sizes, a window that is all context, or weights that are not finite.

    Attributes:
        quantizer: What acts in evaluation.
        sizes: Symbols of each code of a frame.
        model: Fingerprint of what decodes.
    """

    def __init__(self, codec: AudioCodec, tables: Tables | None = None, window: int = WINDOW) -> None:
        check_weights(codec)
        self.codec, self.window = codec.eval(), window
        self.quantizer: Quantizer = codec.quantizer.deployed()
        self.sizes = _checked_sizes(self.quantizer, codec.channels)
        self.tables = uniform_tables(self.sizes, self.per_frame) if tables is None else tables
        if self.tables.sizes != self.sizes or (self.tables.depth is not None) != self.per_frame:
            raise ValueError(f"the tables of {len(self.tables.sizes)} codes are not of this model: fit them again")
        self.model = fingerprint(codec)
        self._encoder_field, self._decoder_field = self._fields()
        known = [field for field in (self._encoder_field, self._decoder_field) if field is not None]
        least = max((field.left + field.right for field in known), default=0)
        if window <= least:
            raise ValueError(f"a window of {window} frames is all context: give more than {least}")

    def _fields(self) -> tuple[ReceptiveField | None, ReceptiveField | None]:
        own, allocator = self.quantizer.receptive_field, self.quantizer.allocator
        beside = widest([own, ReceptiveField() if allocator is None else allocator.receptive_field])
        return _in_a_row(self.codec.encoder_field, beside), _in_a_row(self.codec.decoder_field, own)

    @property
    def allocator(self) -> RateAllocator:
        """The model's rate dial.

        Raises:
            ValueError: For a model of one rate.
        """
        if self.quantizer.allocator is None:
            raise ValueError(f"{type(self.quantizer).__name__} has one rate only: give neither a level nor a rate")
        return self.quantizer.allocator

    @property
    def per_frame(self) -> bool:
        """Whether each frame tells how many codes it sends."""
        return self.quantizer.allocator is not None and self.quantizer.allocator.per_frame

    def levels(self, count: int) -> tuple[float | None, ...]:
        """Return up to ``count`` levels from the lowest rate to the highest; ``None`` alone for a model of one rate."""
        allocator = self.quantizer.allocator
        return (allocator.levels(len(self.sizes), count) if allocator else ()) or (None,)

    def tables_of(self, header: Header) -> Tables:
        """Return the tables that a file of this model was coded with.

        Raises:
            ValueError: For a file of another model, or of tables that are not here.
        """
        if header.model != self.model:
            raise ValueError(f"was encoded with model {header.model}, and this is {self.model}: give its checkpoint")
        expected = {"sample_rate": self.codec.sample_rate, "hop_length": self.codec.hop_length}
        right = all(getattr(header, name) == value for name, value in expected.items())
        count = len(header.code_sizes)
        if not right or header.code_sizes != self.sizes[:count]:
            raise ValueError(f"has a header that is not of its model: expected {expected} and its codes' sizes")
        for tables in (self.tables, uniform_tables(self.sizes, self.per_frame)):
            used = tables.constant(count) if header.depth == "constant" else tables
            if used.id == header.tables:
                return used
        raise ValueError("was coded with tables that this model file does not hold: give the one that it was made with")

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next((parameter.device for parameter in self.codec.parameters()), torch.device("cpu"))

    def encoder_windows(self, blocks: Iterable[Tensor]) -> Iterator[Window]:
        """Cut audio that comes in blocks ``(C, n)`` into windows of clips on the model's device."""
        clips = (block.unsqueeze(1).to(self.device) for block in blocks)
        return windows(clips, self.codec.hop_length, self.window, self._encoder_field)

    def decoder_windows(self, blocks: Iterable[Tensor]) -> Iterator[Window]:
        """Cut codes that come in blocks ``(C, N, T)`` into windows on the model's device."""
        return windows((block.to(self.device) for block in blocks), 1, self.window, self._decoder_field)


def _checked_sizes(quantizer: Quantizer, channels: int) -> tuple[int, ...]:
    sizes, name = quantizer.code_sizes(channels), type(quantizer).__name__
    if sizes is None:
        raise ValueError(
            f"the codes of {name} do not determine what is decoded (its code_sizes is None): it has no file"
        )
    if len(sizes) > MOST_CODES or max(sizes) > MOST_SYMBOLS:
        raise ValueError(
            f"{name} has {len(sizes)} codes a frame of up to {max(sizes)} symbols, and a file holds {MOST_CODES} of "
            f"{MOST_SYMBOLS} at most"
        )
    return sizes


def _in_a_row(first: ReceptiveField | None, second: ReceptiveField | None) -> ReceptiveField | None:
    if first is None or second is None:
        return None
    return ReceptiveField(first.left + second.left, first.right + second.right)
