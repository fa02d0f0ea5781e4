import numpy as np
import pytest

from qcodec.figures.final_values import final_values

REFERENCES = {"zero information": 0.88, "known rotation": 0.1}


def test_every_seed_of_every_system_has_a_dot_and_the_best_system_comes_first() -> None:
    last = {"worse": np.array([0.1, 0.2, np.nan]), "better": np.array([1e-9, 0.02, 0.03])}
    figure = final_values(last, "MSE", title="T", references=REFERENCES)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["better", "worse"]
    dots = [line for line in axes.lines if line.get_marker() in ("o", ">")]
    assert sum(len(np.asarray(line.get_xdata())) for line in dots) == 6
    beyond = [float(x) for line in dots if line.get_marker() == ">" for x in np.asarray(line.get_xdata())]
    assert beyond == [axes.get_xlim()[1]]
    with pytest.raises(ValueError, match="no system"):
        final_values({}, "MSE", title="T")
