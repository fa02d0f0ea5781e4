import csv
import math
from dataclasses import replace

import pytest
import torch
from audio_files import write_noise
from audio_runs import LOSSES, Noise, Peak, adversary, batch, fit, make_codec, make_task, weights
from lightning import Trainer
from lightning.pytorch.plugins import MixedPrecision

from qcodec import (
    STE,
    AllCodebooks,
    AnnealedDither,
    EMACodebook,
    Identity,
    KMeansStart,
    NoiseApproximation,
    ScalarQuantizer,
    VectorQuantizer,
)
from qcodec.callbacks.metrics_csv import MetricsCSV
from qcodec.codecs.dac.codec import DacCodec
from qcodec.data.audio import AudioFolder
from qcodec.functional import gradient_gain
from qcodec.losses.spectral import MelLoss
from qcodec.losses.weights import LossWeights
from qcodec.runs.schema import read_description, write_description
from qcodec.schedules import Constant, Exponential
from qcodec.tasks.audio import AudioTask


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()))


def plain_loop(codec, updates, clip=1000.0):
    """Yield what each update of a textbook loop measures."""
    adam, mel = torch.optim.AdamW(codec.parameters(), 1e-4, (0.8, 0.99)), MelLoss(16000)
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, 0.999996)
    for update in range(updates):
        audio = batch(update)
        output = codec(audio)
        output.z.retain_grad()
        output.quantized.z_hat.retain_grad()
        losses = {name: loss.mean() for name, loss in output.quantized.losses.items()}
        losses["mel"] = mel(output.audio, audio)
        adam.zero_grad()
        (15 * losses["mel"] + losses["codebook"] + 0.25 * losses["commitment"]).backward()
        losses["grad_norm"] = torch.nn.utils.clip_grad_norm_(codec.parameters(), clip)
        losses["mse"] = (output.audio - audio).square().mean()
        losses["waveform"] = (output.audio - audio).abs().mean()
        losses["ma_e"], losses["ma_e_projected"] = output.z.abs().mean(), output.quantized.latents.abs().mean()
        gain = gradient_gain(output.z.grad, output.quantized.z_hat.grad).mean()
        adam.step()
        schedule.step()
        yield {name: value.item() for name, value in losses.items()} | {"gain": gain.item()}


def test_training_is_the_textbook_loop_and_logs_its_means(tmp_path):
    task, plain = (make_task(codec=make_codec(allocator=AllCodebooks()), clip=2.0) for _ in range(2))
    history = list(plain_loop(plain.codec, 8, clip=2.0))
    assert max(update["grad_norm"] for update in history) > 2
    fit(task, updates=8, logger=MetricsCSV(tmp_path))
    for ours, theirs in zip(task.codec.parameters(), plain.codec.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    logged = [row for row in rows(tmp_path) if row["mel"]]
    assert [row["step"] for row in logged] == ["4", "8"]
    for name in ("mel", "waveform", "mse", "codebook", "commitment", "grad_norm", "ma_e", "ma_e_projected"):
        expected = sum(update[name] for update in history[4:]) / 4
        assert float(logged[1][name]) == pytest.approx(expected, rel=1e-4), name
    assert float(logged[1]["encoder_gain"]) == pytest.approx(history[7]["gain"], rel=1e-4)
    assert float(logged[1]["kbps"]) == pytest.approx(3 * 5 * 1600 / 1000)
    assert 0 < float(logged[1]["codebook_usage"]) <= 1
    assert 0 < float(logged[1]["codebook_entropy_bits"]) <= 5
    assert float(logged[1]["skipped_updates"]) == 0


def test_validation_measures_the_hard_quantizer_with_every_codebook(tmp_path):
    task = make_task()
    fit(task, updates=5, logger=MetricsCSV(tmp_path))
    (row,) = (row for row in rows(tmp_path) if row["val_mel"])
    task.eval()
    with torch.no_grad():
        mel = [task.mel(task.codec(batch(number)).audio, batch(number)).item() for number in (1000, 1001)]
    assert row["step"] == "5"
    assert float(row["val_mel"]) == pytest.approx(sum(mel) / 2)
    assert float(row["val_kbps"]) == pytest.approx(24.0)
    assert {"val_mse", "val_ma_e", "val_ma_e_projected", "val_codebook_usage", "val_commitment"} <= set(row)


@pytest.mark.parametrize("against", [None, adversary])
@pytest.mark.parametrize("stop", [5, 7])
def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path, stop, against):
    """At the end of an epoch and within one, also within the stretch of updates that one row sums up."""
    settings = {"losses": LOSSES, "metrics": [Peak()]}
    if against is not None:
        settings["losses"] = LossWeights(mel=15.0, codebook=1.0, adversarial=1.0, feature_matching=2.0)

    def make():
        return make_task(**settings, adversary=against() if against else None)

    whole, resumed = make(), make()
    trainer = fit(whole, logger=MetricsCSV(tmp_path / "whole"))
    fit(make(), updates=stop, logger=MetricsCSV(tmp_path / "parts")).save_checkpoint(tmp_path / "half.ckpt")
    again = fit(resumed, logger=MetricsCSV(tmp_path / "parts"), checkpoint=tmp_path / "half.ckpt")
    assert trainer.global_step == again.global_step == 10
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value), name
    for ours, theirs in zip(again.optimizers, trainer.optimizers, strict=True):
        for state, other in zip(ours.state.values(), theirs.state.values(), strict=True):
            assert all(torch.equal(state[name], other[name]) for name in other)
    assert rows(tmp_path / "parts")[-1] == rows(tmp_path / "whole")[-1]
    assert [row["step"] for row in rows(tmp_path / "parts")] == [row["step"] for row in rows(tmp_path / "whole")]


def test_a_checkpoint_holds_the_codec_by_name_and_no_settings(tmp_path):
    task = make_task()
    fit(task, updates=1).save_checkpoint(tmp_path / "one.ckpt")
    content = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert "hyper_parameters" not in content
    state = {name.removeprefix("codec."): v for name, v in content["state_dict"].items() if name.startswith("codec.")}
    make_codec().load_state_dict(state)


def test_a_batch_that_is_not_finite_leaves_the_weights_as_they_are_and_is_counted(tmp_path):
    task, before = make_task(), []

    class Spoilt(Noise):
        def on_before_batch_transfer(self, audio, dataloader_idx):
            before.append(weights(task.codec))
            return audio

    fit(task, updates=4, data=Spoilt(spoil=(1,)), logger=MetricsCSV(tmp_path))
    assert all(torch.equal(before[2][name], value) for name, value in before[1].items())
    assert not any(torch.equal(before[3][name], value) for name, value in before[2].items() if "weight_v" in name)
    assert all(parameter.isfinite().all() for parameter in task.codec.parameters())
    (row,) = (row for row in rows(tmp_path) if row["mel"])
    assert float(row["skipped_updates"]) == 0.25
    assert math.isnan(float(row["mel"]))


def test_one_loss_has_one_weight():
    with pytest.raises(ValueError, match=r"others names 'mel', .* give losses\.mel instead"):
        LossWeights(mel=15.0, others={"mel": 1.0})


def test_scaled_gradients_are_refused():
    scaled = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
    with pytest.raises(ValueError, match=r"scales the gradients .* give bf16-mixed"):
        fit(make_task(), updates=1, plugins=[scaled])


def test_in_mixed_precision_the_quantizer_works_in_full(tmp_path):
    task, seen = make_task(), {}

    def look(module, inputs, output):
        seen["encoder"] = inputs[0].dtype
        seen["projected"] = output.latents.dtype

    task.codec.quantizer.register_forward_hook(look)
    reference = make_task()
    fit(task, updates=4, precision="bf16-mixed", logger=MetricsCSV(tmp_path / "mixed"))
    fit(reference, updates=4, logger=MetricsCSV(tmp_path / "full"))
    assert seen == {"encoder": torch.bfloat16, "projected": torch.float32}
    assert {parameter.dtype for parameter in task.parameters()} == {torch.float32}
    for name in ("mel", "codebook", "ma_e"):
        mixed, full = (float(rows(tmp_path / run)[0][name]) for run in ("mixed", "full"))
        assert mixed == pytest.approx(full, rel=0.05)


def test_the_adversary_waits_for_its_update(tmp_path):
    with_it = LossWeights(mel=15.0, codebook=1.0, commitment=0.25, adversarial=1.0, feature_matching=2.0)
    late = make_task(with_it, adversary=adversary(starts_at=4))
    alone, at_once = make_task(), make_task(with_it, adversary=adversary())
    fit(alone, updates=4)
    fit(late, updates=4, logger=MetricsCSV(tmp_path))
    fit(at_once, updates=4)
    assert all(map(torch.equal, late.codec.parameters(), alone.codec.parameters()))
    assert all(map(torch.equal, late.adversary.parameters(), adversary().parameters()))
    assert not any(map(torch.equal, at_once.adversary.parameters(), adversary().parameters()))
    assert not all(map(torch.equal, at_once.codec.parameters(), alone.codec.parameters()))
    fit(make_task(with_it, adversary=adversary(starts_at=4)), updates=8, logger=MetricsCSV(tmp_path / "on"))
    first, second = (row for row in rows(tmp_path / "on") if row["mel"])
    assert (first["discriminator"], float(first["adversarial"])) == ("", 0.0)
    assert float(second["discriminator"]) > 0
    assert float(second["adversarial"]) > 0


def test_a_codec_and_its_discriminator_train_as_two_textbook_loops():
    against, codec = adversary(), make_codec(allocator=AllCodebooks())
    task = make_task(
        LossWeights(mel=15.0, adversarial=1.0, feature_matching=2.0),
        make_codec(allocator=AllCodebooks()),
        adversary=adversary(clip=0.01),
    )
    fit(task, updates=3)
    mel = MelLoss(16000)
    first, second = (torch.optim.AdamW(part.parameters(), 1e-4, (0.8, 0.99)) for part in (codec, against))
    for update in range(3):
        audio = batch(update)
        for adam in (first, second):
            adam.param_groups[0]["lr"] = 1e-4 * 0.999996**update
        decoded = codec(audio).audio
        verdicts = [against.discriminator(x)[0][-1] for x in (decoded.detach(), audio)]
        second.zero_grad()
        (verdicts[0].square().mean() + (1 - verdicts[1]).square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(against.parameters(), 0.01)
        second.step()
        (fake,), (real,) = against.discriminator(decoded), against.discriminator(audio)
        first.zero_grad()
        wrong, apart = (1 - fake[-1]).square().mean(), (fake[0] - real[0].detach()).abs().mean()
        (15 * mel(decoded, audio) + wrong + 2 * apart).backward()
        first.step()
    for ours, theirs in ((task.codec, codec), (task.adversary, against)):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_the_seed_decides_which_codebooks_are_dropped():
    same, other = make_task(seed=0), make_task(seed=1)
    reference = make_task()
    for task in (same, other, reference):
        torch.manual_seed(torch.seed())  # whatever the global stream is
        fit(task, updates=2)
    assert all(map(torch.equal, same.parameters(), reference.parameters()))
    assert not all(map(torch.equal, other.parameters(), reference.parameters()))


def test_a_codec_without_codebooks_trains_and_logs_what_there_is(tmp_path):
    torch.manual_seed(0)
    codec = DacCodec(Identity(), encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    fit(make_task(LossWeights(waveform=1.0), codec), updates=4, logger=MetricsCSV(tmp_path))
    (row,) = (row for row in rows(tmp_path) if row["mel"])
    assert float(row["encoder_gain"]) == pytest.approx(1.0)
    assert not {"codebook_usage", "ma_e_projected", "commitment"} & set(row)


def test_a_metric_of_ones_own_is_measured_in_training_and_in_validation(tmp_path):
    task = make_task(codec=make_codec(allocator=AllCodebooks()), metrics=[Peak()])
    first = make_codec(allocator=AllCodebooks())(batch(0)).audio.abs().amax(-1).mean().item()
    fit(task, updates=4, logger=MetricsCSV(tmp_path), log_every_n_steps=1, data=Noise(epoch=4))
    logged = rows(tmp_path)
    assert float(logged[0]["peak"]) == pytest.approx(first, rel=1e-5)
    task.eval()
    with torch.no_grad():
        held_out = [task.codec(batch(number)).audio.abs().amax(-1).mean().item() for number in (1000, 1001)]
    (row,) = (row for row in logged if row["val_mel"])
    assert float(row["val_peak"]) == pytest.approx(sum(held_out) / 2, rel=1e-5)


def test_a_run_states_every_metric_that_it_draws(tmp_path):
    task = make_task(metrics=[Peak()])
    described = task.describe(Noise())
    assert (described.kind, described.rank) == ("audio", ("val_mel", "mel"))
    by_name = {metric.name: metric for metric in described.metrics}
    assert len(by_name) == len(described.metrics)
    assert by_name["val_mel"].title == "Mel loss, held out"
    assert (by_name["peak"].title, by_name["val_peak"].better) == ("Peak of the decoded audio", "lower")
    assert not by_name["diverged_at"].drawn
    fit(task, updates=5, logger=MetricsCSV(tmp_path))
    losses = {f"{split}{name}" for name in LOSSES.by_name() for split in ("", "val_")} - {"mel", "waveform"}
    assert set(rows(tmp_path)[0]) - {"epoch", "step"} - losses <= set(by_name)
    write_description(tmp_path, described)
    assert read_description(tmp_path).metrics == described.metrics


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AudioTask(make_codec(), {}), "losses is a dict: give a LossWeights object"),
        (lambda: AudioTask(DacCodec, LOSSES), r"codec is the class DacCodec: give an object, DacCodec\(\.\.\.\)"),
        (lambda: make_task(schedule=1e-4), "schedule is a float: give a Schedule object"),
        (lambda: make_task(adversary=torch.nn.Identity()), "adversary is an Identity: give an Adversary object"),
        (lambda: make_task(metrics=[Peak(), Peak]), r"metrics\[1\] is the class Peak: give an object, Peak\(\.\.\.\)"),
    ],
)
def test_what_is_no_object_of_its_class_is_named_with_its_remedy(build, message):
    with pytest.raises(TypeError, match=message):
        build()


def test_a_metric_of_a_name_that_is_taken_is_named():
    for name in ("mel", "kbps", "encoder_gain"):
        metric = Peak()
        metric.descriptions = (replace(Peak.descriptions[0], name=name),)
        with pytest.raises(ValueError, match=f"two metrics are called '{name}'"):
            make_task(metrics=[metric])


def test_predictions_are_audio_and_codes():
    task = make_task().eval()
    prediction = task.predict_step(batch(0), 0)
    assert torch.equal(task.codec(batch(0)).audio, prediction["audio"])
    assert prediction["codes"].shape == (3, 3, 110)


def test_the_rate_shrinks_by_one_factor_an_update():
    trainer = fit(make_task(schedule=Exponential(1e-3, decay=0.9)), updates=3)
    assert [group["lr"] for group in trainer.optimizers[0].param_groups] == pytest.approx([1e-3 * 0.9**2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 0.0}, r"clip=0\.0: a norm of 0 would stop all training"),
        (
            {"losses": LossWeights(mel=1.0, adversarial=1.0)},
            r"the weight of 'adversarial' is 1\.0, but the losses there",
        ),
        ({"losses": LossWeights()}, "every weight in `losses` is zero, which trains nothing"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(settings, message):
    with pytest.raises(ValueError, match=message):
        fit(make_task(**settings), updates=1)


@pytest.mark.parametrize("decay", [0.0, 1.1])
def test_a_decay_that_is_none_is_named(decay):
    with pytest.raises(ValueError, match=f"decay={decay} is no factor to shrink by"):
        Exponential(decay=decay)


def test_a_constant_schedule_and_an_estimator_are_free_to_choose():
    fit(make_task(codec=make_codec(estimator=STE()), schedule=Constant(1e-3)), updates=1)


def test_data_of_another_rate_than_the_codecs_are_refused(tmp_path):
    for name in "ab":
        write_noise(tmp_path / f"{name}.wav", seconds=3, sample_rate=44100)
    data = AudioFolder(str(tmp_path), sample_rate=44100, workers=0)
    trainer = Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(
        ValueError, match=r"served at 44100 Hz and the codec is for 16000 Hz: set .*sample_rate to 16000"
    ):
        trainer.fit(AudioTask(make_codec(), LOSSES), data)


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("against", [False, True])
def test_a_batch_in_parts_trains_as_the_whole_batch_does(tmp_path, parts, against):
    """Three clips a batch, so that two parts differ in size and of five some are empty."""
    ended = []
    for number in (1, parts):
        further = {"adversary": adversary()} if against else {}
        losses = replace(LOSSES, adversarial=1.0, feature_matching=2.0) if against else LOSSES
        codec = make_codec(NoiseApproximation())
        task = make_task(losses, codec, clip=2.0, micro_batches=number, **further)
        fit(task, updates=4, logger=MetricsCSV(tmp_path / str(number)))
        ended.append((task, rows(tmp_path / str(number))))
    (whole, one), (split, other) = ended
    for ours, theirs in zip(split.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert other[0].keys() == one[0].keys()
    for name, value in one[0].items():
        if value:
            assert float(other[0][name]) == pytest.approx(float(value), rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("start", [lambda codebook: codebook, KMeansStart])
def test_a_codebook_observes_each_part_once_also_where_the_discriminator_looks_first(start):
    ended = []
    for further in ({}, {"adversary": adversary()}):
        torch.manual_seed(0)
        quantizer = VectorQuantizer(start(EMACodebook(16, 16, decay=0.5)))
        codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
        task = make_task(LossWeights(mel=15.0, commitment=0.25), codec, micro_batches=3, **further)
        fit(task, updates=3)
        ended.append(task.codec.state_dict())
    for name, value in ended[0].items():
        torch.testing.assert_close(ended[1][name], value, msg=name)


def test_what_follows_a_schedule_counts_an_update_once_whatever_the_number_of_parts():
    quantizer = AnnealedDither(ScalarQuantizer(), std=0.3, updates=10)
    codec = DacCodec(quantizer, encoder_dim=4, encoder_rates=(2, 5), decoder_dim=8)
    task = make_task(LossWeights(mel=15.0, commitment=0.25), codec, micro_batches=3)
    fit(task, updates=2)
    assert task.codec.quantizer.done == 2


def test_no_part_is_refused():
    with pytest.raises(ValueError, match="micro_batches=0 leaves nothing to compute: give 1 or more"):
        make_task(micro_batches=0)


@pytest.mark.parametrize(("served", "told"), [(torch.zeros(2, 1000), r"the data are \(2, 1000\)"), ("x", "are str")])
def test_what_is_no_audio_is_refused(served, told):
    task = make_task()
    for step in (task.training_step, task.validation_step):
        with pytest.raises(ValueError, match=told):
            step(served, 0)
