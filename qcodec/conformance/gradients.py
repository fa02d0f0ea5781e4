"""Questions on training: gradients at every place, and a forward pass that no precision changes."""

import copy

import torch
from torch import Tensor

from qcodec.conformance.question import Ask, BrokenError, Case, NotAskedError, unlike
from qcodec.quantizers.base import QuantizerOutput
from qcodec.random_streams import BatchStreams, drawing_from


def _loss(output: QuantizerOutput) -> Tensor:
    losses = [loss.float().sum() for loss in output.losses.values()]
    return output.z_hat.float().square().sum() + torch.stack([*losses, torch.zeros(())]).sum()


def at_ties(case: Case) -> str:
    """Gradients reach the embedding and are finite, between two levels and on one, also in bf16."""
    for dtype in (torch.float32, torch.bfloat16):
        z = case.embedding(dtype).requires_grad_()
        output = case.output(case.quantizer(), z)
        if not output.z_hat.requires_grad:
            remedy = "pass a gradient by an estimator, such as `qcodec.STE`"
            raise BrokenError(f"z_hat has no gradient in training ({dtype})", remedy)
        (gradient,) = torch.autograd.grad(_loss(output), z, allow_unused=True)
        if gradient is None or not gradient.any():
            raise BrokenError(f"the gradient is zero ({dtype})", "pass one by an estimator, such as `qcodec.STE`")
        if not gradient.isfinite().all():
            raise BrokenError(f"a gradient is not finite ({dtype})", "mind square roots and quotients at zero")
    return ""


def at_zero_error(case: Case) -> str:
    """Gradients are finite where the embedding is a quantized value already."""
    quantizer = case.quantizer()
    z = case.output(quantizer, case.embedding()).z_q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.output(quantizer, z).z_hat.sum(), z, allow_unused=True)
    if gradient is not None and not gradient.isfinite().all():
        raise BrokenError("a gradient is not finite", "add a small number where the error's magnitude is a divisor")
    return ""


def gain(case: Case) -> str:
    """The gradient passes to the embedding with a finite gain."""
    z = case.embedding().requires_grad_()
    output = case.output(case.quantizer(), z)
    if not output.z_hat.requires_grad:
        raise BrokenError("z_hat has no gradient in training", "pass one by an estimator, such as `qcodec.STE`")
    gradient = torch.randn(output.z_hat.shape, generator=torch.Generator().manual_seed(1))
    gradient[0] = 0  # it has a frame of zeros, at which a normalization is infinitely steep
    (passed,) = torch.autograd.grad(output.z_hat, z, gradient, allow_unused=True)
    ratio = 0.0 if passed is None else (passed.norm() / gradient.norm()).item()
    if not 1e-3 < ratio < 1e3:
        remedy = "STE has a gain of 1; much less starves the encoder, much more makes it diverge"
        raise BrokenError(f"the norm of the gradient is multiplied by {ratio:.3g}", remedy)
    return f"the norm of a random gradient is multiplied by {ratio:.3g} (STE: 1)"


def every_weight(case: Case) -> str:
    """Every weight gets a gradient from the decoder's input or from a loss."""
    quantizer = case.quantizer()
    weights = dict(quantizer.named_parameters())
    if not weights:
        raise NotAskedError("it has no weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(8):  # an allocator may leave out a stage in one call
            torch.autograd.backward(_loss(case.output(quantizer, case.embedding().requires_grad_())))
    for name, weight in weights.items():
        if weight.requires_grad and (weight.grad is None or not weight.grad.any()):
            remedy = "attach it to z_hat or to a loss such as `codebook`, or keep it as a buffer"
            raise BrokenError(f"{name} gets none in 8 calls", remedy)
        if weight.grad is not None and not weight.grad.isfinite().all():
            raise BrokenError(f"the gradient of {name} is not finite", "mind square roots and quotients at zero")
    return ""


def exactness(case: Case) -> str:
    """Training shows the decoder the quantized value where `exact` says so, and rounding does not change that."""
    outputs = {}
    for dtype in (torch.float32, torch.bfloat16):
        quantizer = case.quantizer()
        outputs[dtype] = case.output(quantizer, case.embedding(dtype).requires_grad_())
        found = unlike(outputs[dtype].z_hat, outputs[dtype].z_q)
        if quantizer.exact and found and dtype == torch.float32:
            raise BrokenError(found, "return z_q with a gradient, as `qcodec.STE` does, or leave `exact` False")
    wide, half = (outputs[dtype] for dtype in outputs)
    error = (wide.z_hat - wide.z_q).abs().max().item()
    if error > 1e-4 * wide.z_q.abs().max().item():
        return "its training shows the decoder something else"
    if found := unlike(half.z_hat, half.z_q):
        remedy = "write z_q + (z - z.detach()) instead of z + (z_q - z).detach(), whose sum is rounded"
        raise BrokenError(f"in bf16 z_hat is not z_q, though it is in float32: {found}", remedy)
    return ""


def independence(case: Case) -> str:
    """Entries of a batch train apart where `entries_independent` says so."""
    quantizer = case.quantizer()
    if not quantizer.entries_independent:
        raise NotAskedError("`entries_independent` is False: each seed gets a quantizer of its own")
    if list(quantizer.parameters()):
        raise BrokenError("it has weights, which the seeds would share", "leave `entries_independent` False")
    z = case.embedding().requires_grad_()
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    twin, state = copy.deepcopy(quantizer), torch.get_rng_state()
    streams, own = BatchStreams(len(z), "cpu"), BatchStreams(1, "cpu")
    streams.start(range(len(z)))
    own.start([0])
    with drawing_from(streams):
        whole = quantizer(z)
    (together,) = torch.autograd.grad((whole.z_hat * weights).sum(), z)
    with drawing_from(own):
        first = twin(z[:1])
    (alone,) = torch.autograd.grad((first.z_hat * weights[:1]).sum(), z)
    same = torch.allclose(together[:1], alone[:1], rtol=1e-5, atol=1e-6)
    if not same or not torch.allclose(whole.z_hat[:1], first.z_hat, rtol=1e-6, atol=1e-6):
        raise BrokenError("one entry depends on the others", "leave `entries_independent` False")
    if not torch.equal(whole.codes[:1], first.codes):
        raise BrokenError("the codes of one entry depend on the others", "leave `entries_independent` False")
    if not torch.equal(torch.get_rng_state(), state):
        raise BrokenError("it draws from torch's generator", "draw from `qcodec.random_streams`")
    return ""


QUESTIONS: tuple[Ask, ...] = (at_ties, at_zero_error, gain, every_weight, exactness, independence)
