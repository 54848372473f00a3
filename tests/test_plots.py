"""Pictures: the curves of a fit, predictions, confusion."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule import Net
from chainrule.history import History
from chainrule.plots import (
    ConfusionDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    PredictionErrorDisplay,
    confusion_matrix,
    plot_history,
)
from chainrule.plots.canvas import new_figure, render

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


def test_loss_curves_return_themselves_with_axes_figure_and_lines(ax):
    display = LossCurveDisplay([4.0, 3.0], validation_loss=[3.0, 5.0])
    assert display.plot(ax) is display
    assert (display.ax_, display.figure_) == (ax, ax.figure)
    assert [line.get_ydata().tolist() for line in display.lines_] == [[4, 3], [3, 5]]
    assert display.best_epoch == 1


@pytest.mark.parametrize(("log_scale", "scale"), [(True, "log"), (False, "linear")])
def test_the_scale_can_be_chosen(ax, log_scale, scale):
    LossCurveDisplay.from_history(history([1.0, 0.5, 0.0]), ax=ax, log_scale=log_scale)
    assert ax.get_yscale() == scale
    assert ("log scale" in ax.get_ylabel()) == log_scale
    render(ax.figure, "png")  # a loss of 0 has no logarithm, and is left away


def test_the_mark_can_be_left_away(ax):
    LossCurveDisplay([2.0, 1.0]).plot(ax, mark_best=False)
    assert labels(ax) == ["training"]


@pytest.mark.parametrize(("losses", "best"), [([3.0, np.nan, 2.0, np.inf], 3), ([np.nan, np.nan], None)])
def test_losses_that_are_no_numbers_are_not_the_best(ax, losses, best):
    display = LossCurveDisplay.from_history(history(losses), ax=ax)
    assert display.best_epoch == best
    assert len(labels(ax)) == (1 if best is None else 2)


def test_loss_curve_of_an_estimator(ax):
    estimator = SimpleNamespace(loss_curve_=[3.0, 2.0, 1.0], validation_scores_=[0.5, 0.75, 0.625])
    assert LossCurveDisplay.from_estimator(estimator, ax=ax).best_epoch == 2
    assert labels(ax)[1] == "best epoch 2: validation score 0.75"
    with pytest.raises(ValueError, match="no loss_curve_"):
        LossCurveDisplay.from_estimator(SimpleNamespace())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": []}, "no completed epoch"),
        ({"loss": [[1.0]]}, r"loss must have one number for each epoch, \(epochs,\); got shape \(1, 1\)"),
        ({"loss": [1.0, 2.0], "validation_loss": [1.0]}, "validation_loss must be as long as loss, 2; got 1"),
    ],
)
def test_curves_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossCurveDisplay(**arguments)


@pytest.mark.parametrize("kind", ["predicted_vs_true", "residual_vs_predicted"])
def test_points_lie_where_predictions_and_truth_say(ax, kind):
    true, predicted = np.array([1.0, 2, 4, 7]), np.array([1.5, 2, 3, 8])
    display = PredictionErrorDisplay.from_predictions(true, predicted[:, np.newaxis], ax=ax, kind=kind, name="$x_1$")
    points = {"predicted_vs_true": (true, predicted), "residual_vs_predicted": (predicted, true - predicted)}[kind]
    np.testing.assert_array_equal(display.scatter_.get_offsets(), np.column_stack(points))
    assert display.r2 == pytest.approx(1 - 2.25 / 21)
    assert display.rmse == pytest.approx(0.75)
    assert labels(ax) == ["$R^2$ = 0.893, RMSE = 0.75", "exact"]
    assert ax.get_xlabel().endswith("value: $x_1$")
    assert not ax.xaxis.label.get_parse_math()


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    true, predicted = np.random.default_rng(0).normal(size=(2, 50))
    display = PredictionErrorDisplay(true, predicted)
    assert display.r2 == pytest.approx(metrics.r2_score(true, predicted))
    assert display.rmse == pytest.approx(metrics.root_mean_squared_error(true, predicted))
    labels = [["cat", "dog", "eel"][row % 3] for row in range(50)]
    taken = np.roll(labels, 4).tolist()
    for order in (None, ["eel", "cat", "dog"]):
        expected = metrics.confusion_matrix(labels, taken, labels=order)
        np.testing.assert_array_equal(confusion_matrix(labels, taken, order), expected)


def test_of_many_points_some_are_drawn(ax):
    true = np.arange(3000.0)
    display = PredictionErrorDisplay.from_predictions(true, true + 1, ax=ax)
    drawn = display.scatter_.get_offsets()
    assert len(np.unique(drawn[:, 0])) == 1000
    assert np.all(drawn[:, 1] == drawn[:, 0] + 1)
    assert ax.get_legend().get_title().get_text() == "1000 of 3000 rows drawn"
    again = display.plot(new_figure(2, 2).subplots(), subsample=None)
    assert len(again.scatter_.get_offsets()) == 3000


def test_predictions_of_nets_and_estimators(ax):
    net = Net([2, 3, 2], output="identity", seed=0)
    X = np.random.default_rng(0).random((5, 2))
    Y = net.predict(X) + 1
    display = PredictionErrorDisplay.from_net(net, X, Y, output=1, ax=ax)
    np.testing.assert_array_equal(display.y_pred, net.predict(X)[:, 1])
    np.testing.assert_array_equal(display.y_true, Y[:, 1])
    estimator = SimpleNamespace(predict=lambda X: X[:, 0])
    np.testing.assert_array_equal(PredictionErrorDisplay.from_estimator(estimator, X, Y[:, 0], ax=ax).y_pred, X[:, 0])
    with pytest.raises(ValueError, match="output must say which of the 2 outputs"):
        PredictionErrorDisplay.from_net(net, X, Y)
    with pytest.raises(ValueError, match="output must be from 0 to 1; got 2"):
        PredictionErrorDisplay.from_net(net, X, Y, output=2)


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([1.0, 2.0], [1.0], "as many rows; got 2 and 1"),
        ([], [], r"y_true must be one number for each row, \(rows,\); got shape \(0,\)"),
        ([1.0, np.nan], [1.0, 2.0], "y_true must be finite; row 1 is not"),
        ([1.0], [[1.0, 2.0]], r"y_pred must be one number for each row, \(rows,\); got shape \(1, 2\)"),
    ],
)
def test_predictions_that_cannot_be_drawn(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        PredictionErrorDisplay(true, predicted)


def test_options_of_the_picture_of_predictions_are_checked():
    assert np.isnan(PredictionErrorDisplay([0.1] * 3, [0.1, 0.1, 0.2]).r2)  # whose mean is not 0.1
    display = PredictionErrorDisplay([1.0], [1.0])
    with pytest.raises(ValueError, match="kind must be one of 'predicted_vs_true', 'residual_vs_predicted'; got 'x'"):
        display.plot(kind="x")
    with pytest.raises(ValueError, match="subsample must be at least 1, or None"):
        display.plot(subsample=0)


def test_cells_hold_counts_and_are_as_dark_as_their_shares(ax):
    true, predicted = ["b", "a", "a", "a", "a", "b"], ["b", "a", "b", "a", "a", "a"]
    display = ConfusionDisplay.from_predictions(true, predicted, ax=ax)
    assert display.confusion_matrix.tolist() == [[3, 1], [1, 1]]
    assert [text.get_text() for text in display.text_] == ["3", "1", "1", "1"]
    np.testing.assert_array_equal(display.im_.get_array(), [[0.75, 0.25], [0.5, 0.5]])
    assert [text.get_color() for text in display.text_] == ["white", "black", "black", "black"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert display.accuracy == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("normalize", "texts"),
    [
        ("true", ["75%", "25%", "0%", "0%"]),
        ("predicted", ["100%", "100%", "0%", "0%"]),
        ("all", ["75%", "25%", "0%", "0%"]),
    ],
)
def test_shares_in_place_of_counts(ax, normalize, texts):
    display = ConfusionDisplay([[3, 1], [0, 0]]).plot(ax, normalize=normalize, colorbar=True)
    assert [text.get_text() for text in display.text_] == texts


@pytest.mark.parametrize("module", ["sklearn.neural_network", "chainrule.estimators"])
def test_fitted_estimators_are_drawn(ax, module):
    pytest.importorskip("sklearn")
    MLPClassifier = importlib.import_module(module).MLPClassifier
    X = np.random.default_rng(0).normal(size=(60, 3))
    labels = np.array(["cat", "dog", "eel"])[np.argmax(X, axis=1)]
    classifier = MLPClassifier((4,), solver="sgd", max_iter=500, early_stopping=True, random_state=0)
    classifier.fit(X, labels)
    assert LossCurveDisplay.from_estimator(classifier, ax=ax).best_epoch == 1 + np.argmax(classifier.validation_scores_)
    display = ConfusionDisplay.from_estimator(classifier, X, labels, ax=new_figure(3, 3).subplots())
    assert display.accuracy == pytest.approx(classifier.score(X, labels))
    drawn = new_figure(3, 3).subplots()
    assert NetworkDisplay.from_estimator(classifier, ax=drawn).sizes == (3, 4, 3)
    assert {"cat", "dog", "eel"} <= {text.get_text() for text in drawn.texts}


def test_many_classes_have_neither_numbers_nor_all_names(ax):
    display = ConfusionDisplay(np.eye(100)).plot(ax)
    assert display.text_ == []
    assert len(ax.get_xticks()) == 34


@pytest.mark.parametrize("outputs", [1, 3])
def test_classes_of_nets(ax, outputs):
    softmax = {"output": "softmax", "loss": "cross_entropy"}
    net = Net([2, 3, outputs], seed=1, **({} if outputs == 1 else softmax))
    X = np.random.default_rng(0).normal(size=(40, 2)) * 9
    found = (net.predict(X)[:, 0] >= 0.5).astype(int) if outputs == 1 else np.argmax(net.predict(X), axis=1)
    Y = np.arange(40) % max(2, outputs)
    display = ConfusionDisplay.from_net(net, X, Y, ax=ax)
    np.testing.assert_array_equal(display.confusion_matrix, confusion_matrix(Y, found, range(max(2, outputs))))
    if outputs == 3:
        one_hot = ConfusionDisplay.from_net(net, X, np.eye(3)[Y], ax=ax, labels=["a", "b", "c"])
        np.testing.assert_array_equal(one_hot.confusion_matrix, display.confusion_matrix)


def test_classes_of_estimators_are_in_their_order(ax):
    estimator = SimpleNamespace(classes_=np.array(["x", "y", "z"]), predict=lambda X: np.array(["z", "x"]))
    display = ConfusionDisplay.from_estimator(estimator, None, ["z", "z"], ax=ax)
    assert display.labels == ["x", "y", "z"]
    assert display.confusion_matrix.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 0], [1]), "as many rows; got 2 and 1"),
        (([], []), "at least one row"),
        (([0, 3], [0, 1], [0, 1]), r"y_true has the label .*3.*, which is not one of labels, \[0, 1\]"),
        (([0], [0], [0, 0]), "labels must name each class once"),
        (([[0, 1]], [0]), r"y_true must be one label for each row"),
    ],
)
def test_labels_that_cannot_be_counted(arguments, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(*arguments)


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        ([[1, 2]], {}, r"must be square, \(classes, classes\); got shape \(1, 2\)"),
        ([[-1]], {}, "must hold counts"),
        ([[1]], {"labels": ["a", "b"]}, "labels must be as many as classes, 1; got 2"),
    ],
)
def test_matrices_that_are_none(matrix, options, message):
    with pytest.raises(ValueError, match=message):
        ConfusionDisplay(matrix, **options)


def test_unknown_normalization():
    with pytest.raises(ValueError, match="normalize must be one of None, 'true', 'predicted', 'all'; got 'x'"):
        ConfusionDisplay([[1]]).plot(normalize="x")


def test_the_wrong_kind_of_estimator(ax):
    regressor = SimpleNamespace(predict=lambda X: X)
    classifier = SimpleNamespace(predict=lambda X: X, classes_=np.array([0, 1]))
    with pytest.raises(ValueError, match="no classifier; got namespace"):
        ConfusionDisplay.from_estimator(regressor, [0, 1], [0, 1], ax=ax)
    with pytest.raises(ValueError, match="estimator is a classifier, of which ConfusionDisplay tells more"):
        PredictionErrorDisplay.from_estimator(classifier, [0, 1], [0, 1], ax=ax)
