"""A codec's quantizer is trained while its encoder and decoder stay as they are."""

import pytest
import torch
from audio_runs import LOSSES, adversary, fit, make_codec, make_task, weights
from lightning import LightningModule, Trainer

from qcodec import (
    DacCodec,
    EMACodebook,
    ModifiedSTE,
    ResidualVQ,
    ScalarQuantizer,
    VectorQuantizer,
    export_dac,
    residual_vq,
)
from qcodec.callbacks.quantizer_alone import TrainQuantizerAlone
from qcodec.losses.weights import LossWeights


def parts(state):
    """Return the weights of encoder and decoder, and those of the quantizer."""
    codec = {name: value for name, value in state.items() if name.startswith("codec.")}
    inside = {name: value for name, value in codec.items() if name.startswith("codec.quantizer.")}
    return {name: value for name, value in codec.items() if name not in inside}, inside


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("against", [False, True])
def test_encoder_and_decoder_stay_bit_for_bit_and_the_quantizer_learns(against):
    losses = LossWeights(mel=15.0, codebook=1.0, commitment=0.25, adversarial=1.0, feature_matching=2.0)
    task = make_task(losses, adversary=adversary()) if against else make_task()
    before = parts(weights(task))
    fit(task, updates=6, callbacks=[TrainQuantizerAlone()])
    after = parts(weights(task))
    assert same(before[0], after[0])
    assert not same(before[1], after[1])
    assert all(parameter.grad is None for name, parameter in task.codec.encoder.named_parameters())


def test_the_weights_come_from_a_trained_codec_with_another_quantizer(tmp_path):
    torch.manual_seed(5)
    trained = DacCodec(residual_vq(16, 2, 8, 4), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    export_dac(trained, tmp_path / "trained.pth")
    task = make_task()
    fit(task, updates=2, callbacks=[TrainQuantizerAlone(str(tmp_path / "trained.pth"))])
    for name, value in trained.state_dict().items():
        if not name.startswith("quantizer."):
            assert torch.equal(task.codec.state_dict()[name], value), name


def test_a_codebook_that_learns_by_what_it_sees_needs_no_gradient():
    codec = make_codec()
    codec.quantizer = ResidualVQ([VectorQuantizer(EMACodebook(8, 16), ModifiedSTE())])
    task = make_task(LossWeights(mel=15.0), codec)
    before = parts(weights(task))
    trainer = fit(task, updates=4, callbacks=[TrainQuantizerAlone()])
    after = parts(weights(task))
    assert trainer.global_step == 4
    assert same(before[0], after[0])
    assert not same(before[1], after[1])


def test_a_resumed_run_ends_as_one_that_was_not_stopped(tmp_path):
    whole, first, second = make_task(), make_task(), make_task()
    fit(whole, updates=6, callbacks=[TrainQuantizerAlone()])
    trainer = fit(first, updates=3, callbacks=[TrainQuantizerAlone()])
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    lost = TrainQuantizerAlone(str(tmp_path / "gone.pth"))  # no longer needed
    fit(second, updates=6, checkpoint=tmp_path / "half.ckpt", callbacks=[lost])
    assert same(weights(whole), weights(second))


def test_what_does_not_fit_is_refused_before_any_update(tmp_path):
    wide = DacCodec(residual_vq(16, 2, 8, 4), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=16)
    export_dac(wide, tmp_path / "wide.pth")
    with pytest.raises(ValueError, match=r"do not fit this codec: decoder\.model\.0\.bias is \(16,\) there and \(8,\)"):
        fit(make_task(), callbacks=[TrainQuantizerAlone(str(tmp_path / "wide.pth"))])
    codec = make_codec()
    codec.quantizer = ScalarQuantizer()
    with pytest.raises(ValueError, match="ScalarQuantizer has nothing to train: leave TrainQuantizerAlone out"):
        fit(make_task(LOSSES, codec), callbacks=[TrainQuantizerAlone()])
    with pytest.raises(ValueError, match="has no AudioCodec as `codec`: leave TrainQuantizerAlone out"):
        TrainQuantizerAlone().setup(Trainer(logger=False, accelerator="cpu"), LightningModule(), "fit")
