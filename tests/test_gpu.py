"""The same numbers on a GPU, where there is one."""

import io

import pytest
import torch
from audio_runs import Noise, fit, make_task
from lightning import Trainer

from qcodec import (
    AnnealedDither,
    DacCodec,
    DetachedNoiseApproximation,
    Identity,
    ImportanceMask,
    ModifiedSTE,
    NoiseApproximation,
    ScalarQuantizer,
    SurrogateCodec,
    residual_vq,
)
from qcodec.audio.reading import recording_of
from qcodec.bitstream.bitstream import Bitstream
from qcodec.bitstream.decoder import Decoder
from qcodec.bitstream.encoder import Encoder
from qcodec.codecs.without_tf32 import without_tf32
from qcodec.data.rounded_gaussian import RoundedGaussian
from qcodec.data.stream import SyntheticStream
from qcodec.data.synthetic import SyntheticBits
from qcodec.losses.weights import LossWeights
from qcodec.schedules import Cosine
from qcodec.tasks.surrogate import SurrogateTask
from qcodec.tasks.system import System

pytestmark = pytest.mark.gpu


def test_the_codec_and_its_gradients_agree_with_those_of_the_cpu():
    x = torch.randn(2, 30, 500)
    results = []
    for device in ("cpu", "cuda"):
        codec = SurrogateCodec(members=2).to(device)
        codec.synthesize(codec.embed(x.to(device)).z).square().mean().backward()
        results.append([parameter.grad.cpu() for parameter in codec.parameters()])
    for cpu, gpu in zip(*results, strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-3, atol=1e-6)


def test_data_drawn_on_the_gpu_has_the_same_statistics_and_repeats():
    stream = SyntheticStream(RoundedGaussian(), device="cuda")
    target, observation = stream.draw(0)
    assert target.is_cuda
    assert torch.equal(target, stream.draw(0)[0])
    assert target.var().item() == pytest.approx(0.8846, abs=0.02)
    assert observation.norm().item() == pytest.approx(target.norm().item(), rel=1e-4)


SYSTEMS = {
    "none": lambda: System(Identity()),
    "sq_ste_cl": lambda: System(ScalarQuantizer(), LossWeights(commitment=0.1)),
    "sq_mste": lambda: System(ScalarQuantizer(estimator=ModifiedSTE())),
    "na": lambda: System(ScalarQuantizer(estimator=NoiseApproximation())),
    "na_det_cl": lambda: System(ScalarQuantizer(estimator=DetachedNoiseApproximation()), LossWeights(commitment=0.1)),
    "narrow": lambda: System(AnnealedDither(ScalarQuantizer(), 0.3, 100), embedding=12, schedule=Cosine(1e-3, 200)),
}


def fitted(names, seeds, updates, capture=True, **data):
    """Train on the GPU; gives the task and its trainer."""
    task = SurrogateTask({name: SYSTEMS[name]() for name in names}, seeds=seeds)
    if not capture:
        task._can_capture = lambda joint_update: False
    trainer = Trainer(
        accelerator="gpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(task, SyntheticBits(updates_per_epoch=updates, **data))
    return task, trainer


def test_a_fit_on_the_gpu_learns_from_a_captured_update():
    _, trainer = fitted(SYSTEMS, seeds=2, updates=1000)
    assert trainer.optimizers[0]._graph is not None
    assert trainer.global_step == 1000
    assert all(trainer.logged_metrics[f"hard_mse/{name}"] < 0.8 for name in SYSTEMS if name != "narrow")


@pytest.mark.parametrize("rotation", ["fixed", "redrawn"])
def test_captured_updates_are_those_made_one_by_one(rotation):
    captured, trainer = fitted(SYSTEMS, 2, 200, rotation=rotation)
    assert trainer.optimizers[0]._graph is not None
    plain, trainer = fitted(SYSTEMS, 2, 200, capture=False, rotation=rotation)
    assert trainer.optimizers[0]._graph is None
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(captured.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_a_member_trains_on_the_gpu_beside_others_as_it_does_alone(name):
    together, _ = fitted(SYSTEMS, 2, 200)
    alone, _ = fitted([name], 1, 200)
    for several, one in zip(together.systems[name].parameters(), alone.systems[name].parameters(), strict=True):
        torch.testing.assert_close(several[:1], one, rtol=1e-3, atol=1e-4)


def test_fifty_members_take_less_than_400_mb_each():
    torch.cuda.reset_peak_memory_stats()
    fitted(SYSTEMS, 8, 20)
    assert torch.cuda.max_memory_allocated() / (8 * len(SYSTEMS)) < 400e6


def test_variable_bitrate_on_the_gpu_decodes_its_own_codes_and_learns():
    quantizer = residual_vq(16, 4, 64, 4, ImportanceMask(16, (8,))).cuda()
    z = torch.randn(8, 16, 50, device="cuda", requires_grad=True)
    output = quantizer(z, features=z)
    (output.z_hat.square().mean() + output.losses["rate"].mean()).backward()
    assert all(p.grad.isfinite().all() for p in quantizer.allocator.parameters())
    output = quantizer.eval()(z, features=z, level=0.7)
    assert output.bits.is_cuda
    assert torch.equal(quantizer.decode(output.codes), output.z_hat)


@pytest.mark.parametrize(("precision", "allowed"), [("32-true", 4e-4), ("bf16-mixed", 7e-4)])
def test_an_audio_codec_trains_on_the_gpu_as_on_the_cpu_and_leaves_out_what_is_not_finite(precision, allowed):
    tasks = [make_task() for _ in range(2)]
    for task, accelerator in zip(tasks, ("cpu", "gpu"), strict=True):
        fit(task, updates=4, data=Noise(spoil=(2,)), accelerator=accelerator, devices=1, precision=precision)
    for cpu, gpu in zip(*(task.codec.parameters() for task in tasks), strict=True):
        torch.testing.assert_close(gpu.cpu(), cpu, rtol=0, atol=allowed)  # of three steps of 1e-4 each


def test_a_file_written_on_the_gpu_decodes_on_both_to_the_models_own_forward():
    torch.manual_seed(0)
    quantizer = residual_vq(16, 4, 64, 4, allocator=ImportanceMask(16, widths=(8,)))
    codec, audio = (
        DacCodec(quantizer, encoder_dim=4, encoder_rates=(4, 5), decoder_dim=8).eval(),
        0.1 * torch.randn(2, 9001),
    )
    on_gpu, file = Bitstream(codec.cuda()), io.BytesIO()
    Encoder(on_gpu).encode(recording_of(audio, 16000), file)
    with without_tf32():
        expected = codec(audio[:, None].cuda()).audio[:, 0].detach().cpu()
    for stream in (on_gpu, Bitstream(codec.cpu())):
        file.seek(0)
        found = torch.cat(list(Decoder(stream).decode(file).blocks), 1)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
