"""What a run of surrogate codecs states of itself: its metrics, and the theory of its data."""

from typing import Any

from torch import Tensor

from qcodec.data.synthetic import SyntheticSource
from qcodec.rate import rate_distortion_curve
from qcodec.runs.schema import Bound, Metric, RunDescription

METRICS = (
    Metric("mse", "Training MSE per value", "training MSE", better="lower", distortion=True),
    Metric("hard_mse", "MSE of the hard quantizer", "hard MSE", better="lower", distortion=True),
    Metric("ma_e", "Mean absolute embedding", "MA-E"),
    Metric("entropy_bits", "Entropy of the codes", "bits per frame", better="lower"),
    Metric("bits_per_frame", "Bits per frame", "bits per frame", better="lower", drawn=False),
    Metric("effective_bits", "Effective bits", "bits per frame", better="higher", drawn=False),
)
RANK = ("hard_mse", "mse")


def describe_run(source: Any) -> RunDescription:
    """Return what a run on the data of ``source`` states of itself; without theory where the source is no known one."""
    if not isinstance(source, SyntheticSource):
        return RunDescription("surrogate", METRICS, RANK)
    bits, distortion = rate_distortion(source)
    references = {"zero information": float(distortion[0]), "known rotation": source.no_learning_mse()}
    bound = Bound(tuple(bits.tolist()), tuple(distortion.tolist()))
    return RunDescription("surrogate", METRICS, RANK, bound, references)


def rate_distortion(source: SyntheticSource) -> tuple[Tensor, Tensor]:
    """Return R(D) of a source: bits per frame, rising, and squared error per value."""
    rate, distortion = rate_distortion_curve(source.levels)
    return source.features * rate, distortion
