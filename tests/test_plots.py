"""The picture of a fit: curves, scale, mark of the best epoch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from chainrule.history import History
from chainrule.plots import plot_history

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    return Figure().subplots()


def history(loss, validation_loss=None) -> History:
    validation = None if validation_loss is None else np.array(validation_loss)
    return History(loss=np.array(loss), validation_loss=validation, epochs=len(loss))


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_curves_axes_and_best_epoch_of_the_validation_loss(ax):
    assert plot_history(history([4.0, 3, 2, 1], [5.0, 3, 2.5, 4]), ax) is ax
    training, validation = ax.get_lines()[:2]
    assert training.get_xdata().tolist() == [1, 2, 3, 4]
    assert training.get_ydata().tolist() == [4, 3, 2, 1]
    assert validation.get_ydata().tolist() == [5, 3, 2.5, 4]
    assert labels(ax) == ["training", "validation", "best epoch 3: 2.5"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_best_epoch_of_the_training_loss_without_validation(ax):
    plot_history(history([4.0, 1, 2]), ax)
    assert labels(ax) == ["training", "best epoch 2: 1"]


@pytest.mark.parametrize(("last", "scale"), [(0.01, "log"), (0.5, "linear"), (0.0, "linear"), (-1.0, "linear")])
def test_logarithmic_scale_where_the_losses_span_decades(ax, last, scale):
    plot_history(history([1.0, last]), ax)
    assert ax.get_yscale() == scale


def test_history_draws_itself(ax):
    assert history([1.0]).plot(ax) is ax
    assert len(ax.get_lines()[0].get_marker()) > 0  # a curve of one epoch would be invisible


def test_nothing_to_draw(ax):
    with pytest.raises(ValueError, match="no completed epoch"):
        plot_history(History(), ax)


def test_new_figure_by_default():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    drawn = plot_history(history([2.0, 1.0]))
    assert drawn.figure.number in pyplot.get_fignums()
    pyplot.close(drawn.figure)


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, chainrule.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
