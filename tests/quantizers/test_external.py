"""Quantizers of vector-quantize-pytorch behind the one interface."""

import sys

import pytest
import torch

from qcodec import VectorQuantizePytorch
from qcodec.quantizers.rebuild import build, settings_of

package = pytest.importorskip("vector_quantize_pytorch", reason="needs the package vector-quantize-pytorch")

PLAIN = {"codebook_size": 20, "rotation_trick": False}
CASES = {
    "VectorQuantize": ({"dim": 8, **PLAIN}, (20,)),
    "VectorQuantize heads": ({"dim": 8, "heads": 2, "codebook_dim": 4, "separate_codebook_per_head": True, **PLAIN},
                             (20, 20)),
    "ResidualVQ": ({"dim": 8, "num_quantizers": 3, **PLAIN}, (20, 20, 20)),
    "ResidualVQ one": ({"dim": 8, "num_quantizers": 1, **PLAIN}, (20,)),
    "GroupedResidualVQ": ({"dim": 8, "groups": 2, "num_quantizers": 2, **PLAIN}, (20,) * 4),
    "FSQ": ({"levels": [8, 5, 5], "dim": 8}, (200,)),
    "ResidualFSQ": ({"levels": [8, 5, 5], "dim": 8, "num_quantizers": 2}, (200, 200)),
    "LFQ": ({"dim": 8, "codebook_size": 64}, (64,)),
    "LFQ books": ({"dim": 8, "codebook_size": 16, "num_codebooks": 2}, (16, 16)),
    "SimVQ": ({"dim": 8, **PLAIN}, (20,)),
    "ResidualLFQ": ({"dim": 8, "codebook_size": 64, "num_quantizers": 2}, None),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    arguments, sizes = CASES[request.param]
    return VectorQuantizePytorch(request.param.split()[0], arguments), sizes


def embedding(dtype=torch.float32):
    return torch.randn(3, 8, 40, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoding_the_codes_gives_the_decoder_input_of_evaluation_bit_for_bit(case, dtype):
    quantizer, sizes = case
    output = quantizer.eval()(embedding(dtype))
    assert torch.equal(quantizer.decode(output.codes).to(dtype), output.z_hat)
    assert output.z_hat.shape == (3, 8, 40)
    assert quantizer.code_sizes(8) == sizes
    if sizes is not None:
        assert output.codes.shape == (3, len(sizes), 40)
        assert (output.codes.amax((0, 2)) < torch.tensor(sizes)).all()
        torch.testing.assert_close(output.bits, torch.tensor(sizes).log2().sum().expand(3, 40))


def test_training_is_the_packages_own_gradients_and_losses_included(case):
    quantizer, _ = case
    twin = quantizer.rebuild()
    twin.load_state_dict(quantizer.state_dict())
    one, other = embedding().requires_grad_(), embedding().requires_grad_()
    output = quantizer(one)
    expected, _, *loss = twin.module(other.transpose(1, 2))
    assert torch.equal(output.z_hat, expected.transpose(1, 2))
    total, theirs = output.z_hat.square().sum(), expected.square().sum()
    if loss:
        torch.testing.assert_close(output.losses["auxiliary"], loss[0].sum().expand(3))
        total, theirs = total + output.losses["auxiliary"][0], theirs + loss[0].sum()
    total.backward()
    theirs.backward()
    assert torch.equal(one.grad, other.grad)
    assert one.grad.abs().sum() > 0


def test_seeds_are_built_apart_and_settings_and_state_make_the_same_quantizer_again(case):
    quantizer, _ = case
    twin = build(settings_of(quantizer))
    twin.load_state_dict(quantizer.state_dict())
    z = embedding()
    assert torch.equal(quantizer.eval()(z).z_hat, twin.eval()(z).z_hat)
    torch.manual_seed(1)
    first = quantizer.rebuild().state_dict()
    torch.manual_seed(1)
    again = quantizer.rebuild().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    drawn = [name for name, value in first.items() if value.is_floating_point()]
    assert not drawn or any(not torch.equal(first[name], quantizer.state_dict()[name]) for name in drawn)


def test_frames_are_coded_one_by_one_and_a_rate_dial_and_wrong_shapes_are_refused(case):
    quantizer, sizes = case
    z = embedding()
    quantizer.eval()
    if sizes is not None:
        assert quantizer.receptive_field.left == quantizer.receptive_field.right == 0
        assert torch.equal(quantizer(z).codes[..., 20:21], quantizer(z[..., 20:21]).codes)
    with pytest.raises(ValueError, match=r"level=2\.0 has no meaning"):
        quantizer(z, level=2.0)
    with pytest.raises(ValueError, match=r"\(8, 40\)"):
        quantizer(z[0])


def test_dropout_of_codebooks_sends_less_in_training():
    torch.manual_seed(0)
    quantizer = VectorQuantizePytorch("ResidualVQ", {"dim": 8, "num_quantizers": 4, "quantize_dropout": True, **PLAIN})
    bits = torch.stack([quantizer(embedding()).bits.mean() for _ in range(8)])
    assert bits.min() < bits.max()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("VQ", {}, "VQ is not there in vector-quantize-pytorch: choose one of .*FSQ"),
        ("RandomProjectionQuantizer", {}, "RandomProjectionQuantizer cannot decode its codes"),
        ("HierarchicalVQ", {}, "HierarchicalVQ has codes of several rates"),
        ("FSQ", {"levels": [8, 5], "channel_first": True}, r"\['channel_first'\] change the layout of FSQ"),
    ],
)
def test_a_class_that_cannot_serve_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        VectorQuantizePytorch(name, arguments)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(ImportError, match=r"pip install 'qcodec\[zoo\]'"):
        VectorQuantizePytorch("FSQ", {"levels": [8, 5]})
