"""Metrics of decoded audio: reference values, the right order, and a delay that changes nothing."""

import importlib.util

import numpy as np
import pytest
from evaluation_signals import voice

from qcodec.evaluation.alignment import align
from qcodec.evaluation.quality import METRICS, NotMeasuredError, QualityMetric, quality

RATE = 16000
BY_NAME = {metric.name: metric for metric in METRICS}
HIGH = "visqol_audio"  # for 32 kHz and more
PACKAGES = {"pesq_nb": "pesq", "pesq_wb": "pesq", "zimtohrli": "zimtohrli"}  # that not every machine has
ALONE = {"dnsmos": "ovrl_mos", "plcmos": "plcmos"}  # what is heard without its reference, by a network made of speech
ABSENT = {name for name, package in PACKAGES.items() if importlib.util.find_spec(package) is None}


def noisy(signal, decibels, seed=1):
    noise = np.random.default_rng(seed).standard_normal(signal.shape)
    return signal + noise * np.sqrt(np.mean(signal**2)) * 10 ** (-decibels / 20)


@pytest.fixture(scope="module")
def degraded():
    """Return what every metric gives for a voice and noise of 40, 25 and 10 dB."""
    clean = voice()[None]
    return [quality(clean, clean if db is None else noisy(clean, db), RATE).values for db in (None, 40, 25, 10)]


def test_equal_signals_have_each_metrics_best_value(degraded):
    best = {
        "log_wmse": 73.6827,
        "mel": 0,
        "stft": 0,
        "si_sdr": 100,
        "pesq_nb": 4.5486,
        "pesq_wb": 4.6439,
        "stoi": 1,
        "zimtohrli": 5,
    }
    for name in ABSENT:
        del best[name]
    for name, value in best.items():
        assert degraded[0][name] == pytest.approx(value, abs=2e-4), name
    assert degraded[0]["visqol_speech"] > 3.5
    clean = voice(rate=48000)[None]
    assert quality(clean, clean, 48000, [BY_NAME[HIGH]]).values[HIGH] == pytest.approx(4.732, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != HIGH and name not in ALONE])
def test_more_noise_is_worse_in_the_direction_that_the_metric_declares(degraded, name):
    if name in ABSENT:
        found = quality(voice()[None], voice()[None], RATE, [BY_NAME[name]])
        assert found.notes == {name: f"needs {PACKAGES[name]}: pip install 'qcodec[metrics]'"}
        return
    values = [each[name] for each in degraded]
    assert sorted(values, reverse=BY_NAME[name].better == "higher") == values
    assert values[0] != values[-1]


@pytest.mark.parametrize(("name", "key"), ALONE.items())
def test_a_metric_without_a_reference_is_the_packages_own_and_the_same_each_time(name, key):
    heard, rate = voice(1.5), 48000
    values = [
        quality(first[None], heard[None], RATE, [BY_NAME[name]]).values[name] for first in (heard, noisy(heard, 20))
    ]
    module = importlib.import_module(f"speechmos.{name}")
    np.random.seed(0)  # PLCMOS draws a listener
    assert values == [pytest.approx(module.run(heard.astype(np.float32), sr=RATE, return_df=False)[key], rel=1e-5)] * 2
    assert 1 < quality(voice(1.5, rate)[None], voice(1.5, rate)[None], rate, [BY_NAME[name]]).values[name] < 5


def test_log_wmse_knows_silence():
    silence = np.zeros((1, RATE))
    found = quality(silence, silence + 1e-3 * voice(1.0)[None], RATE, [BY_NAME["log_wmse"], BY_NAME["si_sdr"]])
    assert np.isfinite(found.values["log_wmse"])
    assert "si_sdr" in found.notes


@pytest.mark.parametrize("shift", [8, -8, 300])
def test_a_delay_is_found_and_changes_nothing(shift):
    clean = voice()[None]
    late = np.pad(clean, ((0, 0), (shift, 0))) if shift > 0 else clean[:, -shift:]
    found = quality(clean, late, RATE, [BY_NAME[name] for name in ("mel", "si_sdr", "stoi")])
    assert found.delay == shift
    assert found.values["si_sdr"] == pytest.approx(100)
    assert found.values["mel"] == pytest.approx(0, abs=1e-9)


def test_the_delay_of_the_stock_codec_hides_its_quality_where_it_is_not_taken_out():
    clean = voice()
    early = noisy(clean, 13)[8:]
    length = len(early)
    assert BY_NAME["si_sdr"](clean[:length], early, RATE) < 3
    assert quality(clean[None], early[None], RATE, [BY_NAME["si_sdr"]]).values["si_sdr"] == pytest.approx(13, abs=0.3)


def test_noise_and_silence_have_no_delay():
    random = np.random.default_rng(0)
    assert align(random.standard_normal(5000), random.standard_normal(5000), 500).delay == 0
    assert align(np.zeros(500), np.ones(400), 50).delay == 0


def test_si_sdr_is_that_of_the_formula_and_ignores_scale():
    clean, other = voice(), noisy(voice(), 7)
    clean, other = clean - clean.mean(), other - other.mean()
    target = clean * np.dot(clean, other) / np.dot(clean, clean)
    expected = 20 * np.log10(np.linalg.norm(target) / np.linalg.norm(target - other))
    assert BY_NAME["si_sdr"](clean, 3 * other, RATE) == pytest.approx(expected)


def test_the_stft_distance_is_that_of_another_implementation():
    clean, other = voice(), noisy(voice(), 20)
    total = 0.0
    for size, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        spectra = []
        for signal in (clean, other):
            padded = np.pad(signal, size // 2, mode="reflect")
            shape = np.zeros(size)
            shape[(size - window) // 2 : (size + window) // 2] = np.hanning(window + 1)[:-1]
            frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
            spectra.append(np.maximum(np.abs(np.fft.rfft(frames * shape)), np.sqrt(1e-7)))
        first, second = spectra
        total += np.linalg.norm(first - second) / np.linalg.norm(first) + np.abs(np.log(first / second)).mean()
    assert BY_NAME["stft"](clean, other, RATE) == pytest.approx(total / 3)


@pytest.mark.parametrize(
    ("name", "seconds", "rate", "reason"),
    [
        ("visqol_audio", 2, 16000, "is for 32000 Hz or more"),
        ("pesq_wb", 2, 8000, "is for 16000 Hz or more"),
        ("stoi", 0.2, 16000, "needs 0.5 s or more"),
        ("visqol_speech", 0.5, 16000, "needs 1 s or more"),
    ],
)
def test_a_metric_that_does_not_apply_is_an_empty_cell_with_its_reason(name, seconds, rate, reason):
    clean = voice(seconds, rate)[None]
    found = quality(clean, clean, rate, [BY_NAME["si_sdr"], BY_NAME[name]])
    assert found.notes == {name: reason}
    assert list(found.values) == ["si_sdr"]


def test_a_metric_that_fails_ends_nothing():
    class Failing(QualityMetric):
        name, better = "failing", "lower"

        def measure(self, reference, decoded, rate):
            raise RuntimeError("of no use")

    clean = voice(0.5)[None]
    assert quality(clean, clean, RATE, [Failing()]).notes == {"failing": "RuntimeError: of no use"}
    with pytest.raises(NotMeasuredError, match="no numbers"):
        BY_NAME["mel"](clean[0], clean[0] * np.nan, RATE)


def test_channels_are_measured_apart_and_averaged():
    clean = np.stack([voice(seed=0), voice(seed=2)])
    other = np.stack([noisy(clean[0], 20), noisy(clean[1], 10)])
    found = quality(clean, other, RATE, [BY_NAME["si_sdr"]]).values["si_sdr"]
    assert found == pytest.approx(np.mean([BY_NAME["si_sdr"](*pair, RATE) for pair in zip(clean, other, strict=True)]))
