"""Delay and length of decoded audio against its reference, taken out before anything is measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate

Signal = NDArray[np.float64]
_SURE = 0.3  # correlation from which a delay is believed; less is what noise gives


@dataclass(frozen=True)
class Aligned:
    """Two signals ``(n,)`` of one length, and by how many samples the second came late; less than 0 for early."""

    reference: Signal
    decoded: Signal
    delay: int


def align(reference: Signal, decoded: Signal, most: int) -> Aligned:
    """Shift decoded audio by the delay at which it correlates best with its reference, and cut both to one length.

    A delay is whole samples. It is believed where the correlation there is 0.3 or more and higher than without; else
    the signals stay as they are, which only their lengths may change.

    Args:
        reference: ``(n,)`` what was encoded.
        decoded: ``(m,)`` what came back.
        most: Largest delay that is looked for, in samples.

    Example:
        >>> x = np.random.default_rng(0).standard_normal(1000)
        >>> align(x, np.concatenate([np.zeros(8), x]), most=100).delay
        8
    """
    delay = _delay(reference, decoded, most)
    first, second = (reference[max(-delay, 0) :], decoded[max(delay, 0) :])
    length = min(len(first), len(second))
    return Aligned(first[:length], second[:length], delay)


def _delay(reference: Signal, decoded: Signal, most: int) -> int:
    norm = float(np.linalg.norm(reference) * np.linalg.norm(decoded))
    if not norm > 0 or not np.isfinite(norm):
        return 0
    products = correlate(decoded, reference, mode="full", method="fft") / norm
    zero = len(reference) - 1  # the place of no delay
    near = products[max(zero - most, 0) : zero + most + 1]
    best = int(np.argmax(near)) + max(zero - most, 0) - zero
    sure = products[zero + best] >= _SURE and products[zero + best] > products[zero] + 1e-9
    return best if sure else 0
