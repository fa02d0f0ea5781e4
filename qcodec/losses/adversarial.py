"""Least-squares adversarial training of a codec, with feature matching."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FeatureMaps = Sequence[Sequence[Tensor]]


@final
class Adversary(nn.Module):
    """A discriminator with the losses of both sides (arXiv 2306.06546, section 3.4; arXiv 1611.04076).

    Of each discriminator ``k`` the last feature map ``d_k`` is its verdict, the others ``f_kj`` are features:

    * discriminator loss ``sum_k mean d_k(fake)^2 + mean (1 - d_k(real))^2``,
    * adversarial loss ``sum_k mean (1 - d_k(fake))^2``,
    * feature matching ``sum_kj mean |f_kj(fake) - f_kj(real)|``.

    Args:
        discriminator: Returns for audio ``(B, 1, L)`` a list of feature maps for each of its discriminators, as
            ``qcodec.codecs.dac.discriminator.DacDiscriminator`` does.
        clip: Largest norm of the gradient of all the discriminator's weights; longer ones are brought to it.
        starts_at: Update at which it takes part. Until then it does not learn and its losses are zero: for codecs that
            are trained already, whose discriminator was not kept.

    Raises:
        ValueError: For a norm that is not above zero, or a negative number of updates.

    Example:
        >>> class OneLayer(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = nn.Conv1d(1, 1, 3)
        ...     def forward(self, x):
        ...         return [[x, self.layer(x)]]
        >>> adversary, fake, real = Adversary(OneLayer()), torch.zeros(2, 1, 8), torch.ones(2, 1, 8)
        >>> adversary.discriminator_loss(fake, real).shape
        torch.Size([])
        >>> adversary.generator_losses(fake, real)["feature_matching"]
        tensor(1.)
    """

    def __init__(self, discriminator: nn.Module, clip: float = 10.0, starts_at: int = 0) -> None:
        super().__init__()
        if not clip > 0:
            raise ValueError(f"clip={clip}: a norm of 0 would stop the discriminator's training")
        if starts_at < 0:
            raise ValueError(f"starts_at={starts_at} is no number of updates: give 0 or more")
        self.discriminator, self.clip, self.starts_at = discriminator, float(clip), starts_at

    def discriminator_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compute the discriminator's loss, a scalar; no gradient reaches either signal.

        Raises:
            ValueError: Where ``fake`` and ``real`` are not both ``(B, 1, L)``.
        """
        _check(fake, real)
        verdicts_fake = [maps[-1].float() for maps in self._maps(fake.detach())]
        verdicts_real = [maps[-1].float() for maps in self._maps(real.detach())]
        of_fake = [verdict.square().mean() for verdict in verdicts_fake]
        of_real = [(1 - verdict).square().mean() for verdict in verdicts_real]
        return torch.stack(of_fake + of_real).sum()

    def generator_losses(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Compute the codec's losses, scalars named ``adversarial`` and ``feature_matching``.

        The gradient reaches ``fake`` alone: the discriminator's weights get none, which spares a third of the work.

        Raises:
            ValueError: Where ``fake`` and ``real`` are not both ``(B, 1, L)``.
        """
        _check(fake, real)
        with torch.no_grad():
            maps_real = self._maps(real)
        with _frozen(self.discriminator):
            maps_fake = self._maps(fake)
        adversarial = [(1 - maps[-1].float()).square().mean() for maps in maps_fake]
        pairs = [
            pair
            for ours, theirs in zip(maps_fake, maps_real, strict=True)
            for pair in zip(ours[:-1], theirs[:-1], strict=True)
        ]
        matching = [F.l1_loss(ours.float(), theirs.float()) for ours, theirs in pairs]
        return {
            "adversarial": torch.stack(adversarial).sum(),
            "feature_matching": torch.stack(matching).sum() if matching else fake.new_zeros(()),
        }

    def _maps(self, audio: Tensor) -> FeatureMaps:
        maps: FeatureMaps = self.discriminator(audio.float())
        return maps


def _check(fake: Tensor, real: Tensor) -> None:
    if fake.shape != real.shape or fake.dim() != 3 or fake.shape[1] != 1:
        raise ValueError(
            f"an Adversary compares two signals of one shape (B, 1, L), not {tuple(fake.shape)} and "
            f"{tuple(real.shape)}: give channels as clips of their own"
        )


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Exclude the weights of a module from gradients."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
