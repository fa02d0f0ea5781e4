import pytest
import torch
from audio_runs import batch, make_codec
from torch import nn
from torchmetrics import MeanMetric
from torchmetrics.audio import ScaleInvariantSignalDistortionRatio

from qcodec.metrics.base import CodecMetric
from qcodec.metrics.window import MetricWindow
from qcodec.runs.schema import Metric


class Distortion(CodecMetric):
    """A metric of the library inside one of a codec, with a constant of its own."""

    descriptions = (Metric("si_sdr", "SI-SDR", "dB", better="higher"),)

    def __init__(self):
        super().__init__()
        self.ratio = ScaleInvariantSignalDistortionRatio()
        self.scale = nn.Buffer(torch.ones(1))

    def update(self, output, audio):
        self.ratio.update(output.audio * self.scale, audio)

    def compute(self):
        return self.ratio.compute()


class Twofold(CodecMetric):
    """Computes what it was told to."""

    descriptions = (Metric("low", "Lowest", "low"), Metric("high", "Highest", "high"))

    def __init__(self, values):
        super().__init__()
        self.values, self.mean = values, MeanMetric()

    def update(self, output, audio):
        assert not torch.is_grad_enabled()

    def compute(self):
        return self.values


def test_a_window_sums_metrics_and_scalars_and_begins_anew():
    codec, window = make_codec(), MetricWindow([Distortion()], ["mel"])
    expected = ScaleInvariantSignalDistortionRatio()
    for number in (0, 1):
        output = codec(batch(number))
        window.update(output, batch(number), {"mel": torch.tensor(float(number))})
        expected.update(output.audio.detach(), batch(number))
    assert window.compute() == {"mel": torch.tensor(0.5), "si_sdr": expected.compute()}
    window.update(codec(batch(1)), batch(1), {"mel": torch.tensor(9.0)})
    assert window.compute()["mel"] == 9


def test_two_windows_of_one_metric_sum_apart():
    metric = Distortion()
    first, second = MetricWindow([metric], ["mel"]), MetricWindow([metric], ["mel"])
    first.update(make_codec()(batch(0)), batch(0), {"mel": torch.tensor(1.0)})
    states = [window.metrics[0].ratio.total.item() for window in (first, second)]
    assert states == [3, 0]
    assert metric.ratio.total == 0


def test_a_persistent_window_is_carried_on_by_its_state_and_another_leaves_none():
    codec = make_codec().eval()
    begun, resumed = (MetricWindow([Distortion()], ["mel"], persistent=True) for _ in range(2))
    begun.update(codec(batch(0)), batch(0), {"mel": torch.tensor(1.0)})
    resumed.load_state_dict(begun.state_dict())
    for window in (begun, resumed):
        window.update(codec(batch(1)), batch(1), {"mel": torch.tensor(2.0)})
    assert begun.compute() == resumed.compute()
    assert list(MetricWindow([Distortion()], ["mel"]).state_dict()) == ["metrics.0.scale"]


def test_the_empty_state_has_no_sums_but_what_is_constant():
    window = MetricWindow([Distortion()], ["mel"], persistent=True)
    new = window.state_dict(prefix="window.")
    window.update(make_codec()(batch(0)), batch(0), {"mel": torch.tensor(1.0)})
    empty = window.empty_state("window.")
    assert empty.keys() == new.keys()
    assert all(torch.equal(empty[name], new[name]) for name in new)
    assert window.metrics[0].ratio.total == 3


@pytest.mark.parametrize(
    ("low", "high", "computed"), [(None, None, "one value"), ("low", "hgih", "low, hgih"), ("low", None, None)]
)
def test_a_name_may_be_left_out_but_not_made_up(low, high, computed):
    one = torch.tensor(1.0)
    values = {name: one for name in (low, high) if name} or one
    window = MetricWindow([Twofold(values)], ["mel"])
    window.update(make_codec()(batch(0)), batch(0), {"mel": one})
    if computed is None:
        assert window.compute() == {"mel": one, "low": one}
    else:
        with pytest.raises(ValueError, match=f"Twofold describes low, high but computes {computed}: name the same"):
            window.compute()


def test_a_name_that_comes_twice_is_an_error():
    for metrics, names in (([Distortion(), Distortion()], []), ([Distortion()], ["si_sdr"])):
        with pytest.raises(ValueError, match="two metrics are called 'si_sdr': give each a name of its own"):
            MetricWindow(metrics, names)
