"""Training as compiled code. Most tests take the way there with a backend that compiles nothing, in less time."""

import csv

import pytest
import torch
from audio_runs import LOSSES, adversary, batch, fit, make_task
from lightning import LightningModule
from torch import nn

from qcodec import AllCodebooks, CodebookDropout, DacCodec, ImportanceMask, residual_vq
from qcodec.callbacks.compile import Compile
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.codecs.dac.weights import export_dac, load_dac
from qcodec.losses.weights import LossWeights


@pytest.fixture(autouse=True, scope="module")
def _from_the_start():
    """Forget what other tests compiled; those here share it."""
    torch.compiler.reset()


def alike():
    """Give what only traces, in seconds."""
    return Compile(backend="eager")


def small(allocator=None, losses=LOSSES, **settings):
    torch.manual_seed(0)
    quantizer = residual_vq(8, 3, 16, 4, CodebookDropout(0.5) if allocator is None else allocator)
    return make_task(losses, DacCodec(quantizer, 4, (3,), decoder_dim=4), **settings)


def apart(task, other, start):
    """Give how far the weights of two runs are apart, as a share of how far the second came."""
    ours, theirs, begin = (nn.utils.parameters_to_vector(t.codec.parameters()).detach() for t in (task, other, start))
    return ((ours - theirs).norm() / (theirs - begin).norm()).item()


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize(("precision", "backend"), [("32-true", "aot_eager"), ("bf16-mixed", "eager")])
def test_a_compiled_run_ends_as_one_that_is_not(precision, backend, tmp_path):
    """With validation in between, whose batches are as they are without."""
    eager, compiled = small(), small()
    callback = Compile(backend=backend)
    for task, callbacks, folder in ((eager, [], "eager"), (compiled, [callback], "compiled")):
        fit(task, updates=8, precision=precision, callbacks=callbacks, logger=MetricsCSV(tmp_path / folder))
    assert apart(compiled, eager, small()) < (1e-2 if precision == "32-true" else 0.1)
    ours, theirs = (rows(tmp_path / folder) for folder in ("compiled", "eager"))
    assert len(ours) == len(theirs) > 2
    for row, other in zip(ours, theirs, strict=True):
        for name in row:
            assert float(row[name] or 0) == pytest.approx(float(other[name] or 0), rel=2e-2), name


def test_compiled_code_is_one_graph_and_is_used_in_training_alone(monkeypatch):
    calls, modes = [], []

    def backend(graph, inputs):
        def run(*args):
            calls.append(graph)
            modes.append(torch.is_grad_enabled())
            return graph(*args)

        return run

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: compile_(f, backend=backend, fullgraph=True))
    fit(small(), updates=5, callbacks=[Compile()], num_sanity_val_steps=1)
    used = calls[1:]  # the first is of the trial
    assert all(modes)
    assert len(used) == 5 * 2
    assert len({id(graph) for graph in used}) == 2


def test_the_codec_is_its_own_again_after_a_fit_and_after_an_error(monkeypatch):
    task, own = small(), small()
    fit(task, updates=1, callbacks=[alike()])
    assert vars(task.codec).keys() == vars(own.codec).keys()
    assert list(task.state_dict()) == list(own.state_dict())
    monkeypatch.setattr(task, "_losses", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(task, updates=1, callbacks=[alike()])
    assert vars(task.codec).keys() == vars(own.codec).keys()


@pytest.mark.parametrize("first", [[], [alike()]])
def test_a_checkpoint_goes_on_with_and_without(first, tmp_path):
    begun, resumed, whole = small(), small(), small()
    fit(begun, updates=2, callbacks=first).save_checkpoint(tmp_path / "half.ckpt")
    fit(resumed, updates=4, callbacks=[] if first else [alike()], checkpoint=tmp_path / "half.ckpt")
    fit(whole, updates=4)
    assert apart(resumed, whole, small()) < 1e-2


def test_a_codec_that_was_trained_compiled_is_exported(tmp_path):
    task = small(AllCodebooks())
    fit(task, updates=1, callbacks=[alike()])
    export_dac(task.codec, tmp_path / "model.pth")
    loaded = load_dac(tmp_path / "model.pth").eval()
    assert torch.equal(loaded(batch(0)).audio, task.codec.eval()(batch(0)).audio)


def test_with_an_adversary_and_importance_it_trains_alike():
    losses = LossWeights(mel=15.0, rate=2.0, codebook=1.0, adversarial=1.0, feature_matching=2.0)

    def make():
        against = adversary()  # which seeds
        return small(ImportanceMask(8, (4,), full_share=0.4), losses, adversary=against)

    eager, compiled = make(), make()
    fit(eager, updates=3)
    fit(compiled, updates=3, callbacks=[alike()])
    assert apart(compiled, eager, make()) < 1e-2


def test_another_task_and_a_backend_that_does_not_work_are_told():
    class Other(LightningModule):
        pass

    with pytest.raises(ValueError, match="Other has no Codec as `codec`: leave Compile out"):
        Compile().on_train_start(None, Other())
    with pytest.raises(ValueError, match=r"backend='nonsense' does not work on cpu: .*leave the callback out"):
        fit(small(), updates=1, callbacks=[Compile(backend="nonsense")])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_really_compiled_code_trains_alike(precision):
    eager, compiled = small(), small()
    fit(eager, updates=4, precision=precision)
    fit(compiled, updates=4, precision=precision, callbacks=[Compile()])
    assert apart(compiled, eager, small()) < (1e-2 if precision == "32-true" else 0.5)
