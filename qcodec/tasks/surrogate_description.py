"""What a run of surrogate codecs states of itself: its metrics, and the theory of its data."""

from qcodec.data.source import SyntheticSource
from qcodec.runs.schema import Bound, Metric, RunDescription

METRICS = (
    Metric("mse", "Training MSE per value", "training MSE", better="lower", distortion=True),
    Metric("hard_mse", "MSE of the hard quantizer", "hard MSE", better="lower", distortion=True),
    Metric("ma_e", "Mean absolute embedding", "MA-E"),
    Metric("entropy_bits", "Entropy of the codes", "entropy", "bits per frame", "lower"),
    Metric("bits_per_frame", "Capacity of the codes", "capacity", "bits per frame", "lower", drawn=False),
    Metric("effective_bits", "Effective bits", "effective bits", "bits per frame", "higher", drawn=False),
)
RANK = ("hard_mse", "mse")


def describe_run(source: SyntheticSource | None) -> RunDescription:
    """Return what a run on the data of ``source`` states of itself; without theory where the source is not known."""
    if source is None:
        return RunDescription("surrogate", METRICS, RANK)
    limits = source.rate_distortion()
    bound = None if limits is None else Bound(*(tuple(values.tolist()) for values in limits))
    return RunDescription("surrogate", METRICS, RANK, bound, dict(source.references()))
