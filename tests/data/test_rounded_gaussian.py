import pytest
import torch

from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream
from qcodec.random_streams import BatchStreams
from qcodec.rate import effective_bits, empirical_entropy, gaussian_source


def test_targets_have_the_probabilities_and_the_entropy_of_a_rounded_normal_variable():
    target = RoundedGaussian(frames=20000).draw(BatchStreams(1, "cpu"))
    value, probability = gaussian_source(4)
    for level, p in zip(value.float(), probability, strict=True):
        assert (target == level).double().mean() == pytest.approx(p.item(), abs=0.003)
    codes = (target + 1.5).long()
    assert empirical_entropy(codes).item() == pytest.approx(57.04, abs=0.1)
    assert RoundedGaussian().entropy_bits() == pytest.approx(57.04, abs=0.01)


def test_the_bound_runs_from_the_variance_to_the_entropy():
    source = RoundedGaussian(features=12, levels=3)
    target = RoundedGaussian(12, 20000, 3).draw(BatchStreams(1, "cpu"))
    bits, distortion = source.rate_distortion()
    assert bits[0] == distortion[-1] == 0
    assert distortion[0].item() == pytest.approx(target.var().item(), rel=0.02)
    assert bits[-1].item() == source.entropy_bits()
    assert effective_bits([0.0], bits, distortion).item() == source.entropy_bits()


def test_the_known_rotation_alone_gives_the_published_mse_whatever_the_length_of_a_draw():
    references = RoundedGaussian().references()
    assert references["known rotation"] == 0.10408854484558105  # a change of draws would move it
    assert references["zero information"] == pytest.approx(0.8846, abs=1e-4)
    assert RoundedGaussian(frames=7).references() == references
    target, observation = SyntheticStream(RoundedGaussian(frames=20000)).draw(0)
    rotation = torch.linalg.lstsq(target[0].T, observation[0].T).solution.T
    quantized = ((observation[0] + 0.5).round().clamp(-1, 2) - 0.5).float()
    assert (rotation.T @ quantized - target[0]).square().mean().item() == pytest.approx(0.1044, abs=0.001)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"features": 0}, "source.features is 0: set it to 1 or more"),
        ({"frames": -1}, "source.frames is -1: set it to 1 or more"),
        ({"levels": 1}, "source.levels is 1: set it to 2 or more"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(setting, message):
    with pytest.raises(ValueError, match=message):
        RoundedGaussian(**setting)
