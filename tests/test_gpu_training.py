"""What training an audio codec costs on a GPU, where there is one."""

import dac
import pytest
import torch
from audio_runs import LOSSES, batch, fit, make_codec, make_task
from lightning import Callback
from torch import nn

from qcodec import CodebookDropout, DacCodec, Identity
from qcodec.callbacks.compile import Compile

pytestmark = pytest.mark.gpu


def trained(callbacks, precision):
    task = make_task()
    fit(task, updates=6, callbacks=callbacks, accelerator="gpu", devices=1, precision=precision)
    return nn.utils.parameters_to_vector(task.codec.parameters()).detach().cpu()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("precision", "allowed"), [("32-true", 0.1), ("bf16-mixed", 0.7)])
def test_compiled_layers_train_as_they_do_alone(precision, allowed):
    start = nn.utils.parameters_to_vector(make_codec().parameters()).detach()
    eager, compiled = trained([], precision), trained([Compile()], precision)
    assert (compiled - eager).norm() / (eager - start).norm() < allowed


class ForbidWaiting(Callback):
    """Makes waiting for the GPU an error, once an update has warmed up what needs to."""

    def __init__(self):
        self.updates = 0

    def on_train_batch_start(self, trainer, task, inputs, index):
        if index >= 3:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer, task, outputs, inputs, index):
        self.updates += torch.cuda.get_sync_debug_mode() == 2
        torch.cuda.set_sync_debug_mode("default")

    def on_exception(self, trainer, task, exception):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("compiled", [False, True])
def test_an_update_that_is_not_logged_waits_for_nothing(compiled):
    watch = ForbidWaiting()
    task = make_task(LOSSES, make_codec(allocator=CodebookDropout(0.5)))
    callbacks = [Compile(), watch] if compiled else [watch]
    fit(task, updates=5, callbacks=callbacks, accelerator="gpu", devices=1, log_every_n_steps=100)
    assert watch.updates == 2


@pytest.mark.parametrize("mixed", [False, True])
def test_less_memory_is_held_than_by_the_published_layers(mixed):
    audio = batch(0, clips=8, samples=8192).cuda()

    def held(codec, encode, decode):
        for _ in range(4):  # the published activation is compiled in its first calls
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
                decoded = decode(encode(audio))
            decoded.float().square().mean().backward()
            codec.zero_grad()
        return torch.cuda.max_memory_allocated() - before

    stock = dac.DAC(32, [2, 4, 8], None, 128, [8, 4, 2]).cuda()
    ours = DacCodec(Identity(), 32, (2, 4, 8), decoder_dim=128).cuda()
    published = held(stock, stock.encoder, stock.decoder)
    assert held(ours, lambda x: ours.embed(x).z, ours.synthesize) < 0.9 * published
