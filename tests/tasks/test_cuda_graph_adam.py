"""A captured update, on a CPU with a stand-in for the CUDA graph; the real one is in ``test_gpu.py``."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from surrogate_runs import SYSTEMS, fit, make
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qcodec import AnnealedDither, ModifiedSTE, ScalarQuantizer
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream
from qcodec.random_streams import BatchStreams
from qcodec.tasks import cuda_graph_adam
from qcodec.tasks.joint_update import JointUpdate
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System

NAMES = ["none", "sq_ste_cl", "sq_mste", "na", "na_det_cl", "narrow"]


class Graph:
    """Captures without effect on parameters and state, and replays into the memory of the first result."""

    made: list["Graph"]

    def __init__(self, function, generators, stream):
        assert len(generators) == len(set(generators)) > 0
        self.function, self.result, self.replays = function, None, 0
        self.made.append(self)

    def replay(self):
        self.replays += 1
        result = self.function()
        self.result = result.clone() if self.result is None else self.result.copy_(result)
        return self.result


class Uncapturable:
    def __init__(self, function, generators, stream):
        raise RuntimeError("operation not permitted when stream is capturing\nand a long trace")


class Captured(SurrogateTask):
    def _can_capture(self, joint_update):
        return joint_update.capturable


def make_captured(names, **settings):
    return Captured({name: SYSTEMS[name]() for name in names}, **settings)


class OneDevice(TorchDispatchMode):
    """Refuses operations that move values from one device to another."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        values = tree_leaves((args, kwargs, result))
        assert {value.device.type for value in values if isinstance(value, torch.Tensor)} <= {"meta"}, func
        return result


@pytest.fixture(autouse=True)
def cuda(monkeypatch):
    """Streams that are not there, and a graph that runs on the CPU."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda other: nullcontext())
    monkeypatch.setattr(cuda_graph_adam, "CudaGraph", Graph)
    monkeypatch.setattr(Graph, "made", [], raising=False)


def assert_same(task, other):
    for key, value in task.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rotation", ["fixed", "redrawn"])
def test_captured_updates_are_those_made_one_by_one_with_every_schedule(rotation):
    plain, replayed = make(NAMES, seeds=2), make_captured(NAMES, seeds=2)
    expected = fit(plain, epochs=2, rotation=rotation).logged_metrics
    trainer = fit(replayed, epochs=2, rotation=rotation)
    assert [graph.replays for graph in Graph.made] == [24 - 3]
    assert trainer.global_step == 24
    assert_same(plain, replayed)
    for name, value in expected.items():
        torch.testing.assert_close(trainer.logged_metrics[name], value, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_a_run_goes_on_from_captured_to_plain_updates_and_back(tmp_path):
    whole = make(NAMES)
    fit(whole, epochs=3)
    for first, second in ((make, make_captured), (make_captured, make)):
        fit(first(NAMES), epochs=2).save_checkpoint(tmp_path / "half.ckpt")
        resumed = second(NAMES)
        fit(resumed, epochs=3, checkpoint=tmp_path / "half.ckpt")
        assert_same(whole, resumed)


def test_updates_that_cannot_be_captured_are_made_one_by_one_and_this_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(cuda_graph_adam, "CudaGraph", Uncapturable)
    plain, refused = make(NAMES), make_captured(NAMES)
    fit(plain)
    with caplog.at_level(logging.WARNING, cuda_graph_adam.__name__):
        fit(refused)
    (said,) = [each.getMessage() for each in caplog.records if each.name == cuda_graph_adam.__name__]
    assert said.endswith("they cannot be captured as a CUDA graph: operation not permitted when stream is capturing")
    assert_same(plain, refused)


@pytest.mark.parametrize("name", [*NAMES, "sq_mste_dithered"])
def test_an_update_stays_on_its_device_and_waits_for_no_value(monkeypatch, name):
    """On a device that holds no values: reading one raises an error there, as it would during a capture."""
    monkeypatch.setattr(
        BatchStreams, "_draw", lambda self, kind, shape, dtype: torch.empty(shape, dtype=dtype, device=self.device)
    )
    systems = {name: SYSTEMS[name]() for name in NAMES}
    systems["sq_mste_dithered"] = System(AnnealedDither(ScalarQuantizer(estimator=ModifiedSTE("channel")), 0.3, 10))
    task = SurrogateTask({name: systems[name]}, seeds=2).to("meta")
    stream = SyntheticStream(RoundedGaussian(frames=64), device="meta")
    joint_update = JointUpdate(stream, task.seeds, dict(task.systems.items()))
    assert joint_update.capturable
    with OneDevice():
        stats = task._backward(joint_update)
    assert stats.shape == (2, 1, 2)
    assert all(parameter.grad is not None for parameter in task.parameters())


@pytest.mark.parametrize("name", ["dithered", "learned"])
def test_a_quantizer_that_promises_nothing_is_not_captured(name):
    fit(make_captured([name, "none"]))
    assert not Graph.made
