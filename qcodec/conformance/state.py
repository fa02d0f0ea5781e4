"""Questions on what a quantizer is made of: seeds, copies, files, and its rate allocator."""

import pickle
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from qcodec.conformance.outputs import sizes_of
from qcodec.conformance.question import Ask, BrokenError, Case, NotAskedError, unlike
from qcodec.quantizers.base import Quantizer
from qcodec.quantizers.rebuild import build, settings_of


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield weights, buffers (those that no file keeps too) and tensors that are plain attributes."""
    for prefix, each in module.named_modules():
        own = [*each.named_parameters(recurse=False), *each.named_buffers(recurse=False), *vars(each).items()]
        for name, value in own:
            if isinstance(value, Tensor):
                yield f"{prefix}.{name}".lstrip("."), value


def seeds(case: Case) -> str:
    """Each seed's quantizer is built anew: nothing is shared, and equal seeds start alike."""
    built = []
    for seed in (1, 2, 1):
        with torch.random.fork_rng(devices=[]):
            origin = case.quantizer()
            torch.manual_seed(seed)
            built.append(dict(_tensors(origin.rebuild())))
    first, second, again = built
    same = []
    for name, value in first.items():
        if value.numel() and name in second and value.data_ptr() == second[name].data_ptr():
            raise BrokenError(
                f"{name} of two seeds is one tensor", "make it in the constructor, not once for the class"
            )
        if name in again and (found := unlike(value, again[name])):
            raise BrokenError(f"{name} of one seed differs: {found}", "draw from torch's generator, nothing else")
        drawn = isinstance(value, nn.Parameter) and value.numel() > 7 and bool(value.std() > 0)
        same += [name] if drawn and name in second and not unlike(value, second[name]) else []
    return f"but every seed starts with the same {', '.join(same)}" if same else ""


def state(case: Case) -> str:
    """What it learned and drew is all in its `state_dict`, and its settings build it anew."""
    quantizer, z = case.quantizer(), case.embedding()
    case.output(quantizer, z)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            built = build(settings_of(quantizer), [type(module).__module__ for module in quantizer.modules()])
    except ValueError as error:
        raise BrokenError(str(error), "take plain data and parts in the constructor, no *args") from error
    return _alike(case, quantizer, "settings and `state_dict`", built)


def pickling(case: Case) -> str:
    """It survives pickling, as processes and sweeps need it."""
    quantizer = case.quantizer()
    case.output(quantizer, case.embedding())
    try:
        twin = pickle.loads(pickle.dumps(quantizer))
    except Exception as error:  # a user's class can fail in any way
        raise BrokenError(f"{type(error).__name__}: {error}", "keep no lambdas, files or generators") from error
    return _alike(case, quantizer, "a pickle", twin)


def _alike(case: Case, quantizer: Quantizer, how: str, twin: Quantizer) -> str:
    z = case.embedding()
    expected = case.output(quantizer.eval(), z)
    twin.load_state_dict(quantizer.state_dict())
    found = case.output(twin.eval(), z)
    for name in ("codes", "z_hat"):
        if differs := unlike(getattr(found, name), getattr(expected, name)):
            remedy = "keep what is drawn or learned as parameters and buffers, none with persistent=False"
            raise BrokenError(f"{name} of one made from {how} differ: {differs}", remedy)
    return ""


def rates(case: Case) -> str:
    """A lower level of its rate allocator takes fewer bits, and its codes decode as well."""
    z, quantizer = case.embedding(), case.quantizer().eval()
    allocator = quantizer.allocator
    if allocator is None:
        raise NotAskedError("it has one rate")
    levels = allocator.levels(len(sizes_of(case, quantizer)), 4)
    if len(levels) < 2:
        raise NotAskedError("its allocator names no levels")
    if list(levels) != sorted(levels):
        raise BrokenError(f"levels are {list(levels)}", "return them from the lowest rate to the highest")
    low, high = (case.output(quantizer, z, level=level) for level in (levels[0], levels[-1]))
    if not low.bits.mean() < high.bits.mean():
        found = f"{low.bits.mean():.4g} bits a frame at level {levels[0]:g}, {high.bits.mean():.4g} at {levels[-1]:g}"
        raise BrokenError(found, "send fewer stages at lower levels")
    if found := unlike(quantizer.decode(low.codes), low.z_hat):
        raise BrokenError(f"at level {levels[0]:g} {found}", "leave stages that are not sent out of z_hat")
    return f"{low.bits.mean():.4g} to {high.bits.mean():.4g} bits a frame"


def decisions(case: Case) -> str:
    """What its rate allocator decides once gives the depth at every level."""
    z, quantizer = case.embedding(), case.quantizer().eval()
    allocator = quantizer.allocator
    if allocator is None:
        raise NotAskedError("it has one rate")
    count = len(sizes_of(case, quantizer))
    asked = (*allocator.levels(count, 4), None)
    decided = allocator.decisions(z, count, case.features_of(z), asked)
    for level in asked:
        sent = (case.output(quantizer, z, level=level).codes >= 0).sum(1)
        if not torch.equal(allocator.depth(decided, count, level, asked), sent):
            raise BrokenError(f"at level {level} the depth is another than in `forward`", "use one rule for both")
    return ""


QUESTIONS: tuple[Ask, ...] = (seeds, state, pickling, rates, decisions)
