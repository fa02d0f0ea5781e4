import math

import numpy as np
import pytest
import torch
from lightning import Callback, LightningDataModule, Trainer
from surrogate_runs import SYSTEMS, fit, make

from qcodec import STE, Identity, ScalarQuantizer
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream
from qcodec.data.synthetic import SyntheticBits
from qcodec.functional import nearest_level
from qcodec.losses.weights import LossWeights
from qcodec.random_streams import BatchStreams
from qcodec.runs.read import read_run
from qcodec.runs.schema import write_description
from qcodec.schedules import Constant, Cosine, Linear
from qcodec.tasks.joint_update import pass_together
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System


class History(Callback):
    """Every epoch's logged means."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_end(self, trainer, task):
        self.epochs.append((task.sums[0] / task.updates).tolist())


def member(task, name, index):
    system = task.systems[name]
    own = system.quantizers[index if len(system.quantizers) > 1 else 0].parameters()
    return [*(parameter[index] for parameter in system.codec.parameters()), *own]


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_a_member_trains_beside_others_exactly_as_it_does_alone(name):
    together, alone = make(SYSTEMS, seeds=3), make([name], seeds=1, seed=2)
    fit(together)
    fit(alone)
    for several, one in zip(member(together, name, 2), member(alone, name, 0), strict=True):
        torch.testing.assert_close(several, one, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["none", "sq_ste_cl", "sq_mste", "na"])
def test_the_result_does_not_depend_on_the_path_that_computes_it(monkeypatch, name):
    """Compiled or plain, alone or in a group: 200 updates end alike."""
    group = [name, *(other for other in ("none", "sq_mste") if other != name)]
    reference = make([name])
    fit(reference, updates=200, frames=200)
    grouped = make(group, seeds=2)
    fit(grouped, updates=200, frames=200)
    monkeypatch.setenv("QCODEC_KERNELS", "0")
    plain = make([name])
    fit(plain, updates=200, frames=200)
    for other in (grouped, plain):
        for ours, theirs in zip(member(other, name, 0), member(reference, name, 0), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_number_of_threads_changes_nothing():
    one, two = make(SYSTEMS), make(SYSTEMS)
    fit(one, updates=4, frames=300)
    torch.set_num_threads(2)
    try:
        fit(two, updates=4, frames=300)
    finally:
        torch.set_num_threads(1)
    for key, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[key], value), key


def test_training_is_the_textbook_loop():
    """Against nn.Linear and nn.PReLU, autograd through the formula, and torch's plain Adam."""
    task = make(["sq_mste"], seed=4)
    codec = task.systems["sq_mste"].codec
    copies = [
        [t[0].detach().double().clone().requires_grad_() for t in views]
        for part in (codec.encoder, codec.decoder)
        for views in (part.weights, part.biases, part.slopes)
    ]
    parts = [tensor for views in copies for tensor in views]

    def stack(weights, biases, slopes, h, skips, active):
        for w, b, slope, skip, activation in zip(weights, biases, slopes, skips, active, strict=True):
            u = w @ h + b[:, None] + (h if skip else 0)
            h = torch.where(u > 0, u, slope * u) if activation else u
        return h

    adam = torch.optim.Adam(parts, lr=1e-4)
    stream = SyntheticStream(RoundedGaussian(frames=64), seed=4)
    for update in range(30):
        target, observation = (t[0].double() for t in stream.draw(update))
        z = stack(*copies[:3], observation, (True, True, False), (True, True, False))
        error = nearest_level(z.detach(), 4)[1] - z
        z_hat = z + error.detach() * error.std() / error.std().detach()
        decoded = stack(*copies[3:], z_hat, (False, True, False), (True, True, True))
        adam.zero_grad()
        (decoded - target).square().mean().backward()
        adam.step()
    fit(task, updates=30)
    ours = [
        view[0].double()
        for part in (codec.encoder, codec.decoder)
        for views in (part.weights, part.biases, part.slopes)
        for view in views
    ]
    for fast, plain in zip(ours, parts, strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=2e-5)


def test_a_member_that_blows_up_is_recorded_and_does_not_touch_the_others():
    names = ["sq_ste_cl", "sq_mste"]
    with_it, without = make([*names, "none"], seeds=2), make(names, seeds=2)
    with torch.no_grad():
        for weight in with_it.systems["none"].codec.encoder.weights:
            weight[1] *= 1e30
    trainer = fit(with_it)
    fit(without)
    assert with_it.diverged_at[2].tolist() == [math.inf, 1]
    assert trainer.logged_metrics["diverged_at/none"] == 1
    assert trainer.logged_metrics["diverged_at/sq_mste"].isnan()
    for name in names:
        assert with_it.diverged_at[names.index(name)].tolist() == [math.inf, math.inf]
        for index in range(2):
            assert all(map(torch.equal, member(with_it, name, index), member(without, name, index)))


def test_divergence_is_dated_with_the_first_update_beyond_the_limit():
    task = make(["sq_ste_cl"], divergence_ma_e=1e-9)
    fit(task)
    assert task.diverged_at.item() == 1


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path, stop_after):
    names = ["sq_mste", "na", "narrow"]
    whole = make(names, seeds=2)
    logged = fit(whole, epochs=3).logged_metrics
    fit(make(names, seeds=2), epochs=stop_after).save_checkpoint(tmp_path / "half.ckpt")
    resumed = make(names, seeds=2)
    trainer = fit(resumed, epochs=3, checkpoint=tmp_path / "half.ckpt")
    assert trainer.global_step == 36
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert {k: v.item() for k, v in trainer.logged_metrics.items() if not v.isnan()} == {
        k: v.item() for k, v in logged.items() if not v.isnan()
    }


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize("updates", [13, 15, 17, 22, 24])
def test_a_run_that_crashed_anywhere_resumes_exactly(tmp_path, updates):
    """Within a block of five updates, at its end, and at the end of an epoch."""
    names = ["sq_mste", "na"]

    class Crashing(SurrogateTask):
        def _average_gradients(self):
            if self.trainer.global_step == updates:
                raise InterruptionError

        def on_train_epoch_end(self):
            super().on_train_epoch_end()
            self._average_gradients()

    whole, expected, got = make(names), History(), History()
    logged = fit(whole, epochs=3, callbacks=[expected]).logged_metrics

    class Saving(Callback):
        def on_exception(self, trainer, task, exception):
            trainer.save_checkpoint(tmp_path / "crash.ckpt")

    with pytest.raises(InterruptionError):
        fit(Crashing({name: SYSTEMS[name]() for name in names}), epochs=3, callbacks=[Saving()])
    resumed = make(names)
    trainer = fit(resumed, epochs=3, checkpoint=tmp_path / "crash.ckpt", callbacks=[got])
    assert trainer.global_step == 36
    torch.testing.assert_close(torch.tensor(got.epochs), torch.tensor(expected.epochs[-len(got.epochs) :]))
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))
    assert trainer.logged_metrics["hard_mse/na"] == logged["hard_mse/na"]


def test_a_schedule_sets_the_rate_of_its_own_system_only():
    task = make(["narrow", "sq_mste"], schedule=Constant(5e-4))
    trainer = fit(task, updates=11)
    rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
    assert rates == pytest.approx([Cosine(1e-3, updates=20).value(10), 5e-4])


def test_a_schedule_of_several_cycles_begins_anew_and_stays_at_its_end():
    once, twice = (Cosine(1e-3, updates=20, warmup=5, final=1e-5, cycles=cycles) for cycles in (1, 2))
    cycle = [once.value(update) for update in range(20)]
    assert [twice.value(update) for update in range(45)] == [*cycle, *cycle, *[1e-5] * 5]


def test_logged_means_and_held_out_measures_are_those_of_the_members():
    task = make(["sq_mste", "none"], seeds=2)
    logged = fit(task).logged_metrics
    stream = SyntheticStream(RoundedGaussian(frames=64), split="val")
    squares = []
    task.eval()
    for index in range(2):
        target, observation = stream.draw(index, seeds=(0, 1))
        output = pass_together([task.systems["sq_mste"]], observation, BatchStreams(2, "cpu"))
        (quantized,) = output.outputs
        squares.append((output.decoded - target).square().mean())
        assert torch.equal(quantized.z_hat, quantized.z_q)
    assert logged["hard_mse/sq_mste"].item() == pytest.approx(torch.stack(squares).mean().item())
    assert logged["bits_per_frame/sq_mste"] == 60
    assert logged["bits_per_frame/none"] == 960
    assert 0 < logged["mse/sq_mste"] < 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"systems": {}}, "there is no system to train"),
        ({"systems": {"a/b": System(Identity())}}, "the system name 'a/b' holds"),
        ({"systems": {"a": System(Identity())}, "seeds": 0}, "seeds=0 trains nothing"),
        ({"systems": {"float": System(Identity())}}, "a system cannot be named 'float'"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(settings, message):
    with pytest.raises(ValueError, match=message):
        SurrogateTask(**settings)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ({}, r"systems\['a'\] is a dict: give a System object"),
        (System, r"systems\['a'\] is the class System: give an object, System\(...\)"),
        (System(Identity), r"systems\['a'\].quantizer is the class Identity: give an object, Identity\(...\)"),
        (System(Identity(), {"commitment": 0.1}), r"systems\['a'\].losses is a dict: give a LossWeights object"),
    ],
)
def test_a_dict_or_a_class_in_place_of_an_object_is_told(system, message):
    with pytest.raises(TypeError, match=message):
        SurrogateTask({"a": system})


def test_a_run_states_the_theory_of_its_data():
    stated = make(["none"], features=7).describe(SyntheticBits(RoundedGaussian(features=7, levels=2)))
    assert stated.kind == "surrogate"
    assert (stated.bound.bits[0], stated.bound.bits[-1]) == (0, pytest.approx(7))
    assert (stated.bound.distortion[0], stated.bound.distortion[-1]) == (pytest.approx(0.25), 0)
    observed = SyntheticStream(RoundedGaussian(features=7, levels=2), split="val").draw(0)[1]
    known = (nearest_level(observed, 2)[1] - observed).square().mean().item()
    assert stated.references == {
        "zero information": pytest.approx(0.25),
        "known rotation": pytest.approx(known, rel=0.1),
    }


def test_a_run_states_what_each_of_its_metrics_is(tmp_path):
    task = make(["none", "sq_mste"])
    logger = MetricsCSV(tmp_path)
    data = SyntheticBits(RoundedGaussian(frames=64), updates_per_epoch=4, held_out_draws=2)
    Trainer(
        max_epochs=1, accelerator="cpu", logger=logger, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(task, data)  # fmt: skip
    write_description(tmp_path, task.describe(data))
    run = read_run(tmp_path)
    assert {metric.name for metric in run.description.metrics} == run.metrics.keys() - {"diverged_at"}
    hard, bits = (run.metrics[name]["sq_mste"].last for name in ("hard_mse", "effective_bits"))
    bound = run.description.bound
    expected = np.interp(hard, bound.distortion[::-1], bound.bits[::-1])
    np.testing.assert_allclose(bits, expected, rtol=1e-6)


def test_of_data_without_a_source_nothing_is_known():
    stated = make(["none"]).describe(LightningDataModule())
    assert (stated.bound, stated.references, stated.rank) == (None, {}, ("hard_mse", "mse"))


def test_data_of_another_width_is_named():
    with pytest.raises(ValueError, match="the data has 20 features a frame and the task 30"):
        fit(make(["none"]), features=20)


def test_a_weight_for_a_loss_that_the_quantizer_lacks_is_named():
    with pytest.raises(ValueError, match=r"the weight of 'codebook' is 1\.0, but the losses there are: commitment"):
        fit(SurrogateTask({"a": System(ScalarQuantizer(estimator=STE()), LossWeights(codebook=1.0))}))


@pytest.mark.parametrize(
    ("make_schedule", "message"),
    [
        (lambda: Constant(0.0), "rate=0.0 is no value of a schedule"),
        (lambda: Linear(1.0, math.inf, 5), "rate=inf is no value of a schedule"),
        (lambda: Linear(1.0, 2.0, 0), "updates=0 leaves no time to get to final"),
        (lambda: Cosine(1e-3, updates=10, warmup=10), "warmup=10 leaves no update to decay in"),
        (lambda: Cosine(1e-3, updates=10, cycles=0), "cycles=0 makes no schedule"),
        (lambda: Cosine(1e-3, updates=10, final=1.0), "final=1.0 is no rate to end at"),
    ],
)
def test_a_bad_schedule_is_named(make_schedule, message):
    with pytest.raises(ValueError, match=message):
        make_schedule()
