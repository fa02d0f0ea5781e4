"""A codec of a user's own, as ``qcodec evaluate --codecs`` takes it."""

import numpy as np
import torch

import qcodec


class EightBit(qcodec.FileCodec):
    """Samples in some bits each, eight if nothing is said, in a byte each."""

    rate = 16000

    def __init__(self, bits="8"):
        self.sample_rate, self.bits = self.rate, int(bits)

    def levels(self, most):
        return (2, self.bits)

    def encode(self, audio, levels):
        for level in levels:
            scale = 2 ** (level - 1) - 0.5
            codes = np.round(audio.numpy() * scale).clip(-scale, scale)
            yield qcodec.CodedFile(b"8b" + codes.astype(np.int8).tobytes() + bytes([level]), 3, codes.size * level)

    def decode(self, content):
        values = np.frombuffer(content[2:-1], np.int8).astype(np.float32) / (2 ** (content[-1] - 1) - 0.5)
        return torch.from_numpy(values)[None]


class Failing(EightBit):
    """One that takes no loud recording."""

    def encode(self, audio, levels):
        if audio.abs().max() > 0.5:
            raise ValueError("too loud")
        return super().encode(audio, levels)
