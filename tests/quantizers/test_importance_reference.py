"""Variable bitrate held against the paper's equations, written once more in float64 and in torch's own words."""

import math

import pytest
import torch
from torch.nn import functional as F

from qcodec import ImportanceMask, residual_vq

C, D, STAGES, K, DIM = 6, 12, 4, 32, 3
WEIGHTS = {"commitment": 0.25, "codebook": 1.0, "rate": 2.0}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quantizer_of(**settings):
    """Make a quantizer whose untrained network tells frames apart, and none of whose parameters is 0 or 1."""
    torch.manual_seed(0)
    quantizer = residual_vq(D, STAGES, K, DIM, ImportanceMask(C, (5, 4), **settings))
    with torch.no_grad():
        for name, value in quantizer.named_parameters():
            value.add_(0.1 * torch.randn(value.shape) * (not name.endswith("weight_v")))
        quantizer.allocator.subnet[-1].weight_g.fill_(10.0)
    return quantizer


def reference_importance(weights, features):
    x, layers = features, sorted({int(name.split(".")[1]) for name in weights if name.startswith("subnet.")})
    for layer in layers:
        if (alpha := weights.get(f"subnet.{layer}.alpha")) is not None:
            x = x + (1 / alpha) * (alpha * x).sin() ** 2
        else:
            v, g, b = (weights[f"subnet.{layer}.{name}"] for name in ("weight_v", "weight_g", "bias"))
            x = F.conv1d(x, g * v / v.flatten(1).norm(dim=1).view(-1, 1, 1), b, padding=1)
    return 1 / (1 + (-x.squeeze(1)).exp())


def reference_mask(s, stages, a):
    masks = []
    for k in range(stages):
        x = s - k
        soft = ((a * (x + 0.5)).cosh() / (a * (x - 0.5)).cosh()).log() / (2 * a) + 0.5
        masks.append(soft + ((x >= 0).double() - soft).detach())
    return torch.stack(masks, 1)


def reference_stage(weights, i, residual):
    def conv(x, name):
        v, g = weights[f"quantizers.{i}.{name}.weight_v"], weights[f"quantizers.{i}.{name}.weight_g"]
        return F.conv1d(x, g * v / v.flatten(1).norm(dim=1).view(-1, 1, 1), weights[f"quantizers.{i}.{name}.bias"])

    book, e = weights[f"quantizers.{i}.codebook.weight"], conv(residual, "in_proj")
    cosine = torch.einsum("bdt,kd->bkt", e / e.norm(dim=1, keepdim=True), book / book.norm(dim=1, keepdim=True))
    codes = cosine.argmax(1)
    c = book[codes].transpose(1, 2)
    frame_losses = ((e - c.detach()) ** 2).mean(1), ((c - e.detach()) ** 2).mean(1)
    return conv(e + (c - e).detach(), "out_proj"), codes, frame_losses


def reference_quantizer(weights, z, features, levels, full, a):
    """Give z_hat, codes, bits and the three losses, averaged over the batch as the paper does."""
    ruled = len(z) - full
    own = {name.removeprefix("allocator."): value for name, value in weights.items()}
    p = reference_importance(own, features)[:ruled]
    mask = torch.cat([reference_mask(p * levels[:, None] * STAGES, STAGES, a), torch.ones(full, STAGES, z.shape[2])])
    residual, z_hat, commitment, codebook, codes = z, 0.0, 0.0, 0.0, []
    for i in range(STAGES):
        quantized, code, (commit, book) = reference_stage(weights, i, residual)
        m = mask[:, i]
        z_hat, residual = z_hat + quantized * m[:, None], residual - quantized
        commitment, codebook = commitment + (commit * m.detach()).mean(), codebook + (book * m.detach()).mean()
        codes.append(code.masked_fill(m == 0, -1))
    bits = mask.sum(1) * math.log2(K) + torch.tensor([math.log2(STAGES)] * ruled + [0.0] * full)[:, None]
    return z_hat, torch.stack(codes, 1), bits, {"commitment": commitment, "codebook": codebook, "rate": p.mean()}


@pytest.mark.parametrize(("alpha", "detach_input"), [(2.0, False), (2.0, True), (4.0, False)])
def test_a_training_step_is_that_of_the_papers_equations(alpha, detach_input):
    quantizer = quantizer_of(sharpness=alpha, detach_input=detach_input)
    z, features, g = (draw(6, n, 25, seed=i).requires_grad_() for i, n in enumerate((D, C, D)))
    torch.manual_seed(5)
    output = quantizer(z, features=features)
    loss = (output.z_hat * g.detach()).mean() + sum(w * output.losses[n].mean() for n, w in WEIGHTS.items())
    loss.backward()

    torch.manual_seed(5)
    levels = (0.125 + 5.875 * torch.rand(5)).double()  # of 6 clips floor(6 / 4) = 1 gets every stage
    weights = {name: p.detach().double().requires_grad_() for name, p in quantizer.named_parameters()}
    z2, features2 = z.detach().double().requires_grad_(), features.detach().double().requires_grad_()
    shown = features2.detach() if detach_input else features2
    z_hat, codes, bits, losses = reference_quantizer(weights, z2, shown, levels, 1, alpha)
    ((z_hat * g.detach()).mean() + sum(w * losses[name] for name, w in WEIGHTS.items())).backward()

    assert torch.equal(output.codes, codes)
    torch.testing.assert_close(output.z_hat.double(), z_hat, rtol=0, atol=1e-5)
    torch.testing.assert_close(output.bits.double(), bits.double())
    for name, value in losses.items():
        torch.testing.assert_close(output.losses[name].mean().double(), value, rtol=1e-5, atol=0)
    assert (features.grad is None) == detach_input
    if not detach_input:
        torch.testing.assert_close(features.grad.double(), features2.grad, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(z.grad.double(), z2.grad, rtol=1e-3, atol=1e-7)
    for name, p in quantizer.named_parameters():
        torch.testing.assert_close(p.grad.double(), weights[name].grad, rtol=2e-3, atol=1e-6, msg=name)
