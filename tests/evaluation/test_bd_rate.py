"""Bjontegaard deltas equal those of another implementation, and refuse curves that say nothing."""

import csv

import bjontegaard
import numpy as np
import pytest

from qcodec.cli import main
from qcodec.evaluation.bd_rate import bd_quality, bd_rate

RATES = np.array([2.0, 4.0, 9.0, 16.0, 33.0])


def curves(recordings=6, gain=0.25, noise=0.05):
    """Return rates and qualities of a reference, and of a codec that is better by ``gain`` at equal rate."""
    random = np.random.default_rng(0)
    rates = RATES * np.exp(0.1 * random.standard_normal((recordings, 1)))
    level = random.standard_normal((recordings, 1))
    first = 1.5 * np.log(rates) + level
    second = 1.5 * np.log(rates * 1.1) + gain + level + noise * random.standard_normal((recordings, 1))
    return (rates, first), (rates * 1.05, second)


@pytest.mark.parametrize("interpolation", ["pchip", "akima"])
def test_deltas_are_those_of_another_implementation(interpolation):
    reference, other = curves()
    means = [each.mean(0) for pair in (reference, other) for each in pair]
    rate = bd_rate(reference, other, interpolation=interpolation, samples=50)
    quality = bd_quality(reference, other, interpolation=interpolation, samples=50)
    assert 100 * rate.value == pytest.approx(bjontegaard.bd_rate(*means, method=interpolation), rel=1e-3)
    assert quality.value == pytest.approx(bjontegaard.bd_psnr(*means, method=interpolation), rel=1e-3)


def test_a_codec_of_equal_quality_at_four_fifths_of_the_rate_saves_a_fifth():
    (rates, quality), _ = curves()
    delta = bd_rate((rates, quality), (0.8 * rates, quality), samples=20)
    np.testing.assert_allclose([delta.value, delta.low, delta.high], -0.2, atol=1e-9)
    assert delta.recordings == 6
    lower = bd_rate((rates, -quality), (0.8 * rates, -quality), better="lower", samples=20)
    assert lower.value == pytest.approx(-0.2)


def test_the_interval_holds_the_value_and_shrinks_with_more_recordings():
    def width(recordings):
        delta = bd_quality(*curves(recordings, noise=0.5), samples=300)
        assert delta.low < delta.value < delta.high
        return delta.high - delta.low

    assert width(200) < width(10) / 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rates, quality: (rates[:, :3], quality[:, :3]), "four rates or more"),
        (lambda rates, quality: (rates, -quality), "quality does not rise with rate"),
        (lambda rates, quality: (rates, quality + 100), "the curves share 0% of their range, less than 25%"),
        (lambda rates, quality: (rates[:2], quality[:2]), "of the same recordings"),
    ],
)
def test_curves_that_say_nothing_are_refused(change, told):
    reference, other = curves()
    with pytest.raises(ValueError, match=told):
        bd_rate(reference, change(*other), samples=10)


def test_the_command_compares_the_models_of_a_table(tmp_path, capsys):
    with (tmp_path / "evaluation.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "file", "level", "kbps", "mel", "stoi"])
        for name, (rates, quality) in zip(("ours", "theirs"), curves(), strict=True):
            for number, (x, y) in enumerate(zip(rates, quality, strict=True)):
                for level, (kbps, value) in enumerate(zip(x, y, strict=True)):
                    writer.writerow([name, f"{number}.wav", level, kbps, 9 - value, "" if number else 0.5 + value / 20])
    assert main(["bdrate", "evaluation.csv", "ours"]) == 0
    mel, stoi = capsys.readouterr().out.splitlines()
    assert mel.startswith("theirs against ours, mel: BD-rate -0.")
    assert "6 recordings), BD-metric -0." in mel
    assert "1 recordings" in stoi
    assert main(["bdrate", "evaluation.csv", "nobody"]) == 1
    assert "there are ours, theirs" in capsys.readouterr().err
