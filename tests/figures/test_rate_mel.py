import numpy as np
import pytest
from figures_read import texts
from matplotlib.figure import Figure

from qcodec.figures.rate_mel import rate_mel


@pytest.mark.parametrize("models", [1, 11, 25])
def test_any_number_of_models_is_drawn_with_every_name_inside_the_figure(models: int) -> None:
    curves = {f"model {index}": (np.array([1.0, 2.0]), np.array([3.0, 2.0 + index / 50])) for index in range(models)}
    figure = rate_mel(curves, title="T")
    for name in curves:
        assert any(text.startswith(f"{name}  ") for text in texts(figure))
    for text in figure.axes[0].texts:
        assert isinstance(figure, Figure)
        assert 0 <= text.get_window_extent().y0 < figure.bbox.height


def test_a_figure_of_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="no model to draw in the figure 'T'"):
        rate_mel({}, title="T")
