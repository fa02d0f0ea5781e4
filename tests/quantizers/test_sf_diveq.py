"""SF-DiVeQ: the curve, the authors' package, and what has no file."""

import pytest
import torch

from qcodec import DacCodec, LearnedCodebook, SFDiVeQ
from qcodec.bitstream.bitstream import Bitstream
from qcodec.quantizers import sf_diveq
from qcodec.quantizers.sf_diveq import nearest_on_curve


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows(z):
    """Bring ``(B, D, T)`` to ``(B T, D)``."""
    return z.transpose(1, 2).flatten(0, 1)


@pytest.fixture
def both():
    """Make the authors' quantizer and ours, with the same points."""
    package = pytest.importorskip("diveq", reason="needs the package diveq")
    theirs = package.SFDIVEQ(20, 4, noise_var=0.3, skip_iters=0, avg_iters=0, allow_warning=False)
    ours = SFDiVeQ(LearnedCodebook(20, 4, "euclidean"), variance=0.3**2)  # its variance is a standard deviation
    with torch.no_grad():
        theirs.codebook.copy_(draw(20, 4, seed=1))
        ours.codebook.weight.copy_(draw(20, 4, seed=1))
    return theirs, ours


def test_training_is_that_of_its_authors_package(both, monkeypatch):
    theirs, ours = both
    position, noise = torch.rand(19, 1), [draw(2, 4, 30, seed=seed) for seed in (2, 3)]
    monkeypatch.setattr(torch, "rand", lambda *shape, **kwargs: position.reshape(shape))
    monkeypatch.setattr(sf_diveq, "normal_like", iter_of(noise))
    drawn = iter_of([0.3 * rows(each) for each in noise])
    monkeypatch.setattr(torch.distributions.normal.Normal, "sample", lambda self, shape: drawn())
    monkeypatch.setattr(theirs, "_generate_dithered_codebook", lambda device: dithered(theirs.codebook, position))
    z, g = draw(2, 4, 30), draw(2, 4, 30, seed=4)
    one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
    output = ours(one)
    expected, indices, _ = theirs(rows(other))
    assert torch.equal(output.codes.flatten(), indices)
    torch.testing.assert_close(rows(output.z_hat), expected)
    (output.z_hat * g).sum().backward()
    (expected * rows(g)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.codebook.weight.grad, theirs.codebook.grad, rtol=1e-4, atol=1e-5)


def iter_of(values):
    rest = iter(values)
    return lambda *_: next(rest)


def dithered(codebook, position):
    points = codebook.detach()
    return (1 - position) * points[:-1] + position * points[1:], position


def test_evaluation_is_never_further_than_its_authors_package_which_looks_beside_the_nearest_point(both):
    theirs, ours = both
    z = draw(4, 4, 500)
    found, (expected, _, _) = ours.eval()(z).z_hat, theirs.inference(rows(z))
    one, other = ((rows(z) - each).norm(dim=1) for each in (rows(found), expected))
    assert (one <= other + 1e-5).all()
    same = (one - other).abs() < 1e-5
    assert 0.3 < same.float().mean() < 1
    torch.testing.assert_close(rows(found)[same], expected[same], rtol=1e-3, atol=1e-3)


def test_the_nearest_point_of_the_curve_is_that_of_a_fine_search_along_it():
    z, points = draw(2, 3, 40).double(), draw(6, 3, seed=1).double()
    codes, found = nearest_on_curve(z, points)
    share = torch.linspace(0, 1, 2001).double()[:, None, None]
    fine = (points[:-1] * (1 - share) + points[1:] * share).flatten(0, 1)
    distance, index = torch.cdist(rows(z), fine).min(1)
    torch.testing.assert_close((rows(z) - rows(found)).norm(dim=1), distance, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rows(found), fine[index], rtol=0, atol=5e-3)
    assert codes.max() == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_on_points_and_where_two_points_are_one(dtype):
    quantizer = SFDiVeQ(LearnedCodebook(4, 2, "euclidean"), variance=0.0)
    with torch.no_grad():
        quantizer.codebook.weight.copy_(torch.tensor([[0.0, 0], [1, 1], [1, 1], [2, 0]]))
    z = torch.tensor([[[0.0, 1, 1, 2, 3], [0.0, 1, 1, 0, 3]]], dtype=dtype, requires_grad=True)
    quantizer(z).z_hat.float().square().sum().backward()
    assert z.grad.isfinite().all()
    assert quantizer.codebook.weight.grad.isfinite().all()
    assert quantizer.eval()(z).z_hat.isfinite().all()


def test_its_bits_count_the_position_and_its_codes_are_refused_by_decode_and_by_files_in_a_line():
    quantizer = SFDiVeQ(LearnedCodebook(17, 16, "euclidean"))
    assert quantizer(draw(1, 16, 5)).bits.unique().item() == 4 + 32
    with pytest.raises(ValueError, match="codes of SFDiVeQ do not determine what is decoded"):
        quantizer.decode(torch.zeros(1, 1, 5, dtype=torch.int64))
    codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    with pytest.raises(ValueError, match=r"SFDiVeQ do not determine what is decoded .*: it has no file"):
        Bitstream(codec)


def test_a_bad_setting_is_named_with_its_remedy():
    with pytest.raises(ValueError, match="variance=-1 is no variance"):
        SFDiVeQ(LearnedCodebook(4, 2, "euclidean"), variance=-1)
    with pytest.raises(ValueError, match="metric 'cosine' is none of points on a curve"):
        SFDiVeQ(LearnedCodebook(4, 2))
    with pytest.raises(ValueError, match="built for dim=2, not for an embedding"):
        SFDiVeQ(LearnedCodebook(4, 2, "euclidean"))(draw(1, 3, 5))
