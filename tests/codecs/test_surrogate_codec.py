import pytest
import torch

from qcodec import ScalarQuantizer, SurrogateCodec
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream


def test_a_zero_loss_solution_exists_within_the_network():
    """Identity skips, the rotation's transpose in the encoder's last layer, slopes of one."""
    target, observation = SyntheticStream(RoundedGaussian(frames=500)).draw(0)
    rotation = torch.linalg.lstsq(target[0].T.double(), observation[0].T.double()).solution.T.float()
    codec = SurrogateCodec()
    with torch.no_grad():
        for stack in (codec.encoder, codec.decoder):
            stack.flat.zero_()
            for slope in stack.slopes:
                slope.fill_(1.0)
        codec.encoder.weights[2].copy_(rotation.T[None])
        codec.decoder.weights[0].copy_(torch.eye(30)[None])
        codec.decoder.weights[2].copy_(torch.eye(30)[None])
    z = codec.embed(observation).z
    decoded = codec.synthesize(ScalarQuantizer().eval()(z).z_hat)
    assert torch.equal(decoded, target)


def test_a_member_is_initialised_by_its_seed_alone():
    both, second = SurrogateCodec(members=2, seeds=[3, 8]), SurrogateCodec(seeds=[8])
    for pair, one in zip(both.parameters(), second.parameters(), strict=True):
        assert torch.equal(pair[1:], one)


@pytest.mark.parametrize("embedding", [12, 30, 60])
def test_the_embedding_may_be_narrower_or_wider_than_the_signal(embedding):
    codec = SurrogateCodec(members=2, embedding=embedding)
    embedded = codec.embed(torch.randn(2, 30, 50))
    z, features = embedded.z, embedded.features
    assert z.shape == features.shape == (2, embedding, 50)
    assert codec.synthesize(z).shape == (2, 30, 50)


def test_every_frame_is_coded_apart():
    codec, x = SurrogateCodec(), torch.randn(1, 30, 50)
    torch.testing.assert_close(codec.embed(x).z[..., 7:8], codec.embed(x[..., 7:8]).z)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"members": 0}, "members=0"), ({"members": 2, "seeds": [1]}, "1 seeds for 2 members: give one seed per member")],
)
def test_a_bad_setting_is_named(setting, message):
    with pytest.raises(ValueError, match=message):
        SurrogateCodec(**setting)
