"""What a run of an audio codec states of itself."""

from collections.abc import Sequence
from dataclasses import replace

from qcodec.runs.schema import Metric, RunDescription

HELD_OUT = (  # of the means of scalars, those that validation measures too
    Metric("mel", "Mel loss", "mel loss", better="lower"),
    Metric("mse", "MSE of the waveform", "MSE per sample", better="lower"),
    Metric("waveform", "Distance of the waveform", "mean absolute difference", better="lower"),
)
TRAINING = (
    Metric("grad_norm", "Norm of the gradient before clipping", "gradient norm"),
    Metric("encoder_gain", "Gain of the encoder's gradient", "encoder gain"),
    Metric("skipped_updates", "Updates left out, as their gradient was not finite", "share of updates", better="lower"),
    Metric("discriminator", "Loss of the discriminator", "discriminator loss"),
    Metric("discriminator_grad_norm", "Norm of the discriminator's gradient before clipping", "gradient norm"),
)


def describe(window: Sequence[Metric]) -> RunDescription:
    """Return the description of a run, of the metrics of its window and those that every run has."""
    measured = [*HELD_OUT, *window]
    pairs = [(each, replace(each, name=f"val_{each.name}", title=f"{each.title}, held out")) for each in measured]
    metrics = [*(each for pair in pairs for each in pair), *TRAINING]
    diverged = Metric("diverged_at", "Divergence", "update", drawn=False)
    return RunDescription("audio", (*metrics, diverged), rank=("val_mel", "mel"))
