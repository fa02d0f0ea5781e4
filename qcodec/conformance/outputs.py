"""Questions on what a quantizer returns: shapes, codes, bits, and the same in evaluation whatever else happens."""

import math

import torch

from qcodec.conformance.question import Ask, BrokenError, Case, NotAskedError, unlike
from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.position import frames_from
from qcodec.quantizers.receptive_field import ReceptiveField


def sizes_of(case: Case, quantizer: Quantizer) -> tuple[int, ...]:
    """Return the numbers of symbols of each code of a frame."""
    sizes = quantizer.code_sizes(case.channels)
    if sizes is None:
        raise NotAskedError("`code_sizes` is None: its codes are written to no file")
    return sizes


def shapes(case: Case) -> str:
    """Outputs have the promised shapes and types."""
    quantizer, z = case.quantizer(), case.embedding()
    output = case.output(quantizer, z)
    number = len(quantizer.code_sizes(case.channels) or output.codes[0])
    promised = {"z_hat": tuple(z.shape), "z_q": tuple(z.shape), "codes": (4, number, 40), "bits": (4, 40)}
    for name, shape in promised.items():
        if tuple(getattr(output, name).shape) != shape:
            raise BrokenError(f"{name} is {tuple(getattr(output, name).shape)}", f"return {name} as {shape}")
    for name, loss in output.losses.items():
        if tuple(loss.shape) != (4,):
            raise BrokenError(f"loss {name!r} is {tuple(loss.shape)}", "return one value for each entry of the batch")
    if output.codes.dtype != torch.int64:
        raise BrokenError(f"codes are {output.codes.dtype}", "return them as int64")
    if output.z_q.requires_grad:
        raise BrokenError("z_q has a gradient", "return it detached")
    return ""


def decoding(case: Case) -> str:
    """In evaluation the decoder's input is what `decode` makes of the codes, bit for bit, also in bf16."""
    for dtype in (torch.float32, torch.bfloat16):
        quantizer = case.quantizer().eval()
        sizes_of(case, quantizer)
        output = case.output(quantizer, case.embedding(dtype))
        if found := unlike(quantizer.decode(output.codes).to(dtype), output.z_hat):
            raise BrokenError(f"{found} ({dtype})", "in evaluation return as z_hat what `decode(codes)` returns")
        if found := unlike(output.z_q, output.z_hat):
            raise BrokenError(f"z_q is not z_hat: {found} ({dtype})", "in evaluation return one tensor as both")
    return ""


def repeated(case: Case) -> str:
    """In evaluation the same embedding gives the same outputs, whatever the random state."""
    quantizer, z = case.quantizer().eval(), case.embedding()
    outputs = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            outputs.append(case.output(quantizer, z))
    for name in ("codes", "z_hat", "bits"):
        if found := unlike(getattr(outputs[0], name), getattr(outputs[1], name)):
            remedy = "draw and learn where `self.training` holds, nowhere else"
            raise BrokenError(f"{name} of two calls differ: {found}", remedy)
    return ""


def code_range(case: Case) -> str:
    """Codes lie in the range that `code_sizes` says; -1 is one that is not sent."""
    for train in (True, False):
        quantizer = case.quantizer().train(train)
        sizes = sizes_of(case, quantizer)
        codes = case.output(quantizer, case.embedding()).codes
        for index, size in enumerate(sizes):
            low, high = int(codes[:, index].min()), int(codes[:, index].max())
            if low < -1 or high >= size:
                remedy = f"return codes of 0 to {size - 1}, or say in `code_sizes` how many there are"
                raise BrokenError(f"code {index} of a frame takes values from {low} to {high} of {size}", remedy)
    return ""


def bits(case: Case) -> str:
    """Bits are those of the codes that are sent, and of telling how many that is."""
    for train in (True, False):
        quantizer = case.quantizer().train(train)
        sizes = torch.tensor(sizes_of(case, quantizer))
        output = case.output(quantizer, case.embedding())
        expected = ((output.codes >= 0) * sizes.double().log2()[:, None]).sum(1).float()
        side = torch.zeros_like(expected)
        if quantizer.allocator is not None and quantizer.allocator.per_frame:
            side += math.log2(len(sizes))
        told = output.bits.float()
        least, most = expected * (1 - 1e-5), (expected + side) * (1 + 1e-5)
        wrong = ((told < least) | (told > most)).nonzero()
        if len(wrong):
            entry, frame = wrong[0].tolist()
            raise BrokenError(
                f"a frame of {expected[entry, frame]:.6g} bits (and {side[entry, frame]:.3g} for its number of codes) "
                f"says {told[entry, frame]:.6g}",
                "sum log2 of `code_sizes` over the codes that are sent",
            )
        if train:  # where some clips may have full depth, of which nothing is told
            continue
        if bool((told - expected - side).abs().max() > 1e-3):
            raise BrokenError("the bits of the number of codes are missing", "return `side_bits` of the allocation")
    return ""


def leading(case: Case) -> str:
    """What is sent of a frame is a number of leading codes, one or more."""
    quantizer = case.quantizer().eval()
    sizes_of(case, quantizer)
    sent = (case.output(quantizer, case.embedding()).codes >= 0).long()
    if not bool((sent[:, 0] == 1).all()) or bool((sent.diff(dim=1) > 0).any()):
        raise BrokenError("a code is sent after one that is not", "mask codes with -1 from some stage on, never before")
    return ""


def apart(case: Case) -> str:
    """In evaluation the entries of a batch are treated apart, as on two ranks."""
    z, quantizer = case.embedding(), case.quantizer().eval()
    whole = case.output(quantizer, z)
    parts = [case.output(quantizer, z[:1]), case.output(quantizer, z[1:])]
    for name in ("codes", "z_hat", "bits", "z_q"):
        together = torch.cat([getattr(part, name) for part in parts])
        if not torch.allclose(together.double(), getattr(whole, name).double(), rtol=1.3e-6, atol=1e-5):
            found = unlike(together, getattr(whole, name))
            raise BrokenError(f"{name} of one entry depends on the others: {found}", "compute no statistic over dim 0")
    for name, loss in whole.losses.items():
        if not torch.allclose(torch.cat([part.losses[name] for part in parts]), loss, rtol=1.3e-6, atol=1e-5):
            raise BrokenError(f"loss {name!r} of one entry depends on the others", "take its mean over all dims but 0")
    return ""


def deployment(case: Case) -> str:
    """What `deployed` returns acts as the quantizer does in evaluation."""
    z, quantizer = case.embedding(), case.quantizer()
    case.output(quantizer, z)
    quantizer.eval()
    deployed = quantizer.deployed()
    if found := unlike(case.output(deployed, z).z_hat, case.output(quantizer, z).z_hat):
        raise BrokenError(found, "return from `deployed` what acts in evaluation")
    if deployed.deployed() is not deployed or quantizer.decoder_identity().keys() != deployed.decoder_identity().keys():
        raise BrokenError("what is deployed is deployed as something else", "return from `deployed` the innermost part")
    return ""


def receptive_field(case: Case) -> str:
    """Frames beyond the receptive field that it states do not matter."""
    z, quantizer = case.embedding(), case.quantizer().eval()
    field = quantizer.receptive_field
    if field is None:
        raise NotAskedError("`receptive_field` is None: recordings are encoded whole")
    if quantizer.allocator is not None:
        beside = quantizer.allocator.receptive_field
        if beside is None:
            raise NotAskedError("`receptive_field` of its allocator is None: recordings are encoded whole")
        field = ReceptiveField(max(field.left, beside.left), max(field.right, beside.right))
    first, last = max(20 - field.left, 0), 21 + field.right
    whole = case.output(quantizer, z).codes[..., 20]
    with frames_from(first):
        part = case.output(quantizer, z[..., first:last]).codes[..., 20 - first]
    if not torch.equal(whole, part):
        said = f"{field.left} frames before and {field.right} after"
        raise BrokenError(f"the codes of a frame depend on more than {said}", "state more, or return None")
    return ""


QUESTIONS: tuple[Ask, ...] = (
    shapes, decoding, repeated, code_range, bits, leading, apart, deployment, receptive_field,
)  # fmt: skip
