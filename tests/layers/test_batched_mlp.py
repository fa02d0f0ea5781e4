import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from qcodec.kernels.batched_mlp import kernel
from qcodec.layers.batched_mlp import BatchedMLP

SMALL = {"widths": (5, 5, 3), "skip": (True, False), "activation": (True, True)}
ENCODER = {"widths": (30, 30, 30, 15), "skip": (True, True, False), "activation": (True, True, False)}
DECODER = {"widths": (60, 30, 30, 30), "skip": (False, True, False), "activation": (True, True, True)}
VARIANTS = [(position, slope) for position in ("before", "after") for slope in ("shared", "channel")]


def build(layers: dict, seeds=(0,), position="before", slope="shared") -> BatchedMLP:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return BatchedMLP(len(seeds), **layers, skip_position=position, slope=slope, generators=generators)


def signal(mlp: BatchedMLP, frames: int) -> Tensor:
    return torch.randn(mlp.members, mlp.layers.widths[0], frames, generator=torch.Generator().manual_seed(9))


def outcome(mlp: BatchedMLP, x: Tensor) -> list[Tensor]:
    """Output, gradient of the input and gradients of the parameters, for an arbitrary gradient of the output."""
    x = x.clone().requires_grad_()
    y = mlp(x)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).to(y)
    return [y.detach(), *torch.autograd.grad(y, [x, *mlp.parameters()], weight)]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCODEC_KERNELS", "0")


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("QCODEC_KERNELS", raising=False)
    if kernel(build(SMALL).layers) is None:
        pytest.skip("no C++ compiler that builds the kernel")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def assert_kernel_equals_plain_path(monkeypatch: pytest.MonkeyPatch, mlp: BatchedMLP, frames: int) -> None:
    """Compare in numbers so coarse that no sum is rounded: no value then falls on the other side of a PReLU's kink."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.copy_((parameter * 16).round() / 16)
        for slope in mlp.slopes:
            slope.copy_(torch.tensor([0.25, 0.5, 1.0])[torch.randint(3, slope.shape, generator=generator)])
    x = (signal(mlp, frames) * 4).round() / 4
    assert kernel(mlp.layers) is not None
    fast = outcome(mlp, x)
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    reference = outcome(mlp, x)
    assert torch.equal(fast[0], reference[0])
    for got, expected in zip(fast[1:], reference[1:], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("layers", [SMALL, ENCODER, DECODER])
@pytest.mark.parametrize(("position", "slope"), VARIANTS)
def test_a_member_equals_a_composition_of_linear_and_prelu_modules_drawn_from_its_seed(layers, position, slope) -> None:
    mlp = build(layers, (3, 4), position, slope).double()
    x = signal(mlp, 11).double()
    got = mlp(x)
    for member, seed in enumerate((3, 4)):
        h = x[member].T
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            linears = [nn.Linear(a, b) for a, b in zip(layers["widths"], layers["widths"][1:], strict=False)]
        for linear, skip, active in zip(linears, layers["skip"], layers["activation"], strict=True):
            prelu = nn.PReLU(linear.out_features if slope == "channel" else 1) if active else nn.Identity()
            u = linear.double()(h)
            skipped = h if skip else torch.zeros_like(u)
            h = prelu.double()(u + skipped) if position == "before" else prelu.double()(u) + skipped
        torch.testing.assert_close(got[member], h.T, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("position", "slope"), VARIANTS)
def test_the_gradients_agree_with_finite_differences(position, slope) -> None:
    mlp = build(SMALL, (0, 1), position, slope).double()
    x = signal(mlp, 3).double().requires_grad_()
    names, values = zip(*mlp.named_parameters(), strict=True)

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(mlp, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *values))


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize("layers", [ENCODER, DECODER])
@pytest.mark.parametrize(("position", "slope"), VARIANTS)
@pytest.mark.parametrize(("members", "frames"), [(1, 1), (2, 7), (3, 2001)])
def test_the_kernel_gives_the_values_and_gradients_of_the_plain_path(
    monkeypatch, layers, position, slope, members, frames
) -> None:
    mlp = build(layers, range(members), position, slope)
    assert_kernel_equals_plain_path(monkeypatch, mlp, frames)


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize(
    "layers",
    [
        {"widths": (1, 1), "skip": (True,), "activation": (True,)},
        {"widths": (7, 64, 64, 13), "skip": (False, True, False), "activation": (False, True, False)},
        {"widths": (17, 2, 33, 33, 5), "skip": (False, False, True, False), "activation": (True, False, False, True)},
    ],
)
def test_the_kernel_agrees_with_the_plain_path_for_unusual_stacks(monkeypatch, layers) -> None:
    mlp = build(layers, range(50), "after", "channel")
    assert_kernel_equals_plain_path(monkeypatch, mlp, 130)


@pytest.mark.usefixtures("with_kernels")
def test_the_kernel_takes_tensors_that_are_not_contiguous_and_frozen_parameters() -> None:
    mlp = build(ENCODER, (0, 1))
    x = signal(mlp, 40)
    expected = outcome(mlp, x)
    strided = x.mT.contiguous().mT.requires_grad_()
    mlp.flat.requires_grad_(False)
    y = mlp(strided)
    assert torch.equal(y, expected[0])
    y.sum().backward()  # its gradient is an expanded scalar
    assert mlp.flat.grad is None
    assert strided.grad is not None
    assert torch.equal(mlp(strided[..., ::2]), y[..., ::2])


@pytest.mark.usefixtures("with_kernels")
def test_a_member_of_a_group_equals_the_member_alone_bit_by_bit() -> None:
    group = outcome(mlp := build(ENCODER, (6, 7, 8)), x := signal(mlp, 700))
    weight = torch.randn(group[0].shape, generator=torch.Generator().manual_seed(5))
    for member, seed in enumerate((6, 7, 8)):
        alone = build(ENCODER, (seed,))
        own = x[member : member + 1].clone().requires_grad_()
        y = alone(own)
        results = [y, *torch.autograd.grad(y, [own, *alone.parameters()], weight[member : member + 1])]
        assert all(torch.equal(a[0], b[member]) for a, b in zip(results, group, strict=True))


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize("members", [1, 5])
def test_the_results_do_not_depend_on_the_number_of_threads(members) -> None:
    mlp = build(DECODER, range(members))
    x = signal(mlp, 2000)
    torch.set_num_threads(1)
    one = outcome(mlp, x)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert all(torch.equal(a, b) for a, b in zip(one, outcome(mlp, x), strict=True))


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_member_that_diverged_stays_visible_and_leaves_the_others_untouched(bad) -> None:
    mlp = build(DECODER, (0, 1, 2))
    x = signal(mlp, 300)
    healthy = outcome(mlp, x)
    with torch.no_grad():
        mlp.weights[1][1] *= bad
    diverged = outcome(mlp, x)
    assert not diverged[0][1].isfinite().any()
    assert not diverged[2][1].isfinite().all()
    for before, after in zip(healthy, diverged, strict=True):
        assert torch.equal(before[[0, 2]], after[[0, 2]])


@pytest.mark.usefixtures("with_kernels")
def test_a_frame_that_is_not_a_number_spoils_only_its_own_output() -> None:
    mlp = build(ENCODER)
    x = signal(mlp, 300)
    expected = mlp(x)
    x[:, 3, 17] = float("nan")
    y = mlp(x)
    assert y[..., 17].isnan().all()
    others = torch.arange(300) != 17
    assert torch.equal(y[..., others], expected[..., others])


@pytest.mark.usefixtures("with_kernels")
def test_without_gradients_the_values_are_the_same_and_nothing_is_recorded() -> None:
    mlp = build(ENCODER, (0, 1))
    x = signal(mlp, 64)
    expected = mlp(x)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y = mlp(x)
        assert torch.equal(y, expected)
        assert not y.requires_grad


@pytest.mark.usefixtures("with_kernels")
def test_a_penalty_on_the_gradient_can_be_differentiated_as_in_the_plain_path(monkeypatch) -> None:
    def penalty_gradients(mlp: BatchedMLP, x: Tensor) -> list[Tensor]:
        (gradient,) = torch.autograd.grad(mlp(x).square().sum(), x, create_graph=True)
        return list(torch.autograd.grad(gradient.square().sum(), mlp.parameters()))

    x = signal(build(SMALL), 40).mT.contiguous().mT.requires_grad_()
    got = penalty_gradients(build(SMALL), x)
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    for a, b in zip(got, penalty_gradients(build(SMALL), x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * b.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floating_types_keep_their_type(dtype) -> None:
    mlp = build(ENCODER).to(dtype)
    assert mlp(signal(mlp, 9).to(dtype)).dtype == dtype


@pytest.mark.parametrize("setting", ["0", "1"])
def test_a_signal_without_frames_gives_none(monkeypatch, setting) -> None:
    monkeypatch.setenv("QCODEC_KERNELS", setting)
    mlp = build(ENCODER, (0, 1))
    assert mlp(torch.empty(2, 30, 0)).shape == (2, 15, 0)


@pytest.mark.parametrize("shape", [(30, 8), (1, 29, 8), (2, 30, 8)])
def test_a_signal_of_a_wrong_shape_is_named(shape) -> None:
    with pytest.raises(ValueError, match=rf"\(1, 30, T\), not \({', '.join(map(str, shape))}\)"):
        build(ENCODER)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skip": (True, True, True)}, "from 30 to 15"),
        ({"skip": (True,)}, "4 widths need 3"),
        ({"widths": (0, 0, 0, 0)}, "1 or more"),
    ],
)
def test_a_mlp_that_cannot_be_built_says_why(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        build(ENCODER | change)


def test_a_state_dict_a_deepcopy_and_a_pickle_give_the_same_mlp_back() -> None:
    mlp = build(ENCODER, (0, 1), "after", "channel")
    x = signal(mlp, 20)
    expected = mlp(x)
    other = build(ENCODER, (8, 9), "after", "channel")
    other.load_state_dict(mlp.state_dict())
    for again in (other, copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
        assert torch.equal(again(x), expected)


def test_weights_biases_and_slopes_are_views_of_all_parameters() -> None:
    mlp = build(ENCODER, (0, 1))
    assert [tuple(weight.shape) for weight in mlp.weights] == [(2, 30, 30), (2, 30, 30), (2, 15, 30)]
    assert [tuple(bias.shape) for bias in mlp.biases] == [(2, 30), (2, 30), (2, 15)]
    assert [tuple(slope.shape) for slope in mlp.slopes] == [(2, 1), (2, 1), (2, 0)]
    with torch.no_grad():
        for number, view in enumerate([*mlp.weights, *mlp.biases, *mlp.slopes]):
            view.fill_(number)
    assert torch.equal(mlp.flat.unique(), torch.arange(8.0))
    assert [name for name, _ in mlp.named_parameters()] == ["flat"]
