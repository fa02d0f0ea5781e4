"""The metrics that every audio codec is measured by."""

from qcodec.codecs.base import AudioCodec
from qcodec.metrics.base import CodecMetric
from qcodec.metrics.bitrate import Bitrate
from qcodec.metrics.codebook_usage import CodebookUsage, counted_sizes
from qcodec.metrics.ma_e import MeanAbsoluteEmbedding
from qcodec.metrics.ma_e_projected import MeanAbsoluteLatents


def built_in(codec: AudioCodec) -> list[CodecMetric]:
    """Build them for a codec, which they do not keep.

    ``codebook_usage`` and ``codebook_entropy_bits`` are left out where the quantizer states no sizes of its codes, or
    more than 2^20 symbols in total.
    """
    sizes = counted_sizes(codec)
    return [
        MeanAbsoluteEmbedding(),
        Bitrate(codec.frame_rate),
        MeanAbsoluteLatents(),
        *([] if sizes is None else [CodebookUsage(sizes)]),
    ]
