import numpy as np
import pytest
from matplotlib.figure import Figure

from qcodec.figures.spectrogram import draw_spectrogram, spectrogram_figure


def drawn(audio, sample_rate=16000):
    return draw_spectrogram(Figure().add_subplot(), audio, sample_rate)


def test_a_spectrogram_shows_a_tone_at_its_frequency():
    time = np.arange(8000) / 16000
    image = drawn(np.sin(2 * np.pi * 1000 * time)).get_array()
    assert (image.argmax(axis=0) == 1000 // (16000 // 512)).all()


def test_power_is_that_of_the_fourier_transform_of_each_windowed_frame():
    audio = np.random.default_rng(0).standard_normal(4096)
    image = drawn(audio).get_array()
    window = np.hanning(513)[:-1]
    middle = 10 * np.log10(np.abs(np.fft.rfft(audio[2048 - 256 : 2048 + 256] * window)) ** 2)
    np.testing.assert_allclose(image[:, list(np.isclose(image, middle[:, None]).all(0)).index(True)], middle)


@pytest.mark.parametrize("samples", [1, 100, 511])
def test_a_clip_shorter_than_a_window_and_silence_are_drawn(samples):
    image = drawn(np.zeros(samples))
    assert np.isfinite(image.get_array()).all()
    assert image.get_extent() == [0, samples / 16000, 0, 8]


def test_a_figure_has_a_panel_for_each_clip_on_one_scale():
    figure = spectrogram_figure({"original": np.ones(4000), "decoded": np.zeros(100)}, sample_rate=16000)
    images = [axes.images[0] for axes in figure.axes[:2]]
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["original", "decoded"]
    assert images[0].get_clim() == images[1].get_clim()
    assert images[0].get_clim()[1] == images[0].get_array().max()
    assert images[0].get_extent()[1] == pytest.approx(0.25)


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="there is no clip to draw"):
        spectrogram_figure({}, sample_rate=16000)
