"""What the estimators offer beyond scikit-learn's: solvers, losses, activations, dropout, weights, callbacks."""

import os
import signal
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.special import xlogy
from sklearn import neural_network
from sklearn.datasets import load_iris, make_regression

from chainrule import SGD, DivergenceError, Huber
from chainrule._core import permutation
from chainrule.estimators import MLPClassifier, MLPRegressor

X_iris, y_iris = load_iris(return_X_y=True)
X_iris = (X_iris - X_iris.mean(axis=0)) / X_iris.std(axis=0)
X_reg, Y_reg = make_regression(n_samples=80, n_features=6, n_targets=2, random_state=0)
Y_reg = Y_reg / Y_reg.std(axis=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adamw", "nadam", "rmsprop", "adagrad", "rprop", SGD(lr=0.1, momentum=0.9)])
def test_more_solvers_learn(solver):
    model = MLPClassifier(solver=solver, learning_rate_init=0.02, random_state=0).fit(X_iris, y_iris)
    assert model.score(X_iris, y_iris) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["absolute_error", "huber", Huber(0.5), "quantile(0.5)", "log_cosh"])
def test_more_losses_learn(loss):
    model = MLPRegressor(loss=loss, learning_rate_init=0.01, max_iter=300, random_state=0)
    assert model.fit(X_reg, Y_reg[:, 0]).score(X_reg, Y_reg[:, 0]) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_quantiles_are_several_outputs():
    model = MLPRegressor(loss="quantile(0.1, 0.9)", learning_rate_init=0.01, random_state=0).fit(X_reg, Y_reg[:, 0])
    low, high = model.predict(X_reg).T
    assert np.mean(low < high) > 0.95
    with pytest.raises(ValueError, match="one output for each target"):
        model.fit(X_reg, Y_reg[:, 0], X_val=X_reg, y_val=Y_reg[:, 0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_each_layer_has_its_activation():
    model = MLPClassifier((8, 6), ["gelu", "logistic"], solver="lbfgs", max_iter=500).fit(X_iris, y_iris)
    assert model.net_.config.activations == ("gelu", "sigmoid", "softmax")
    with pytest.raises(ValueError, match="2 hidden layers"):
        MLPClassifier((8, 6), ["gelu"]).fit(X_iris, y_iris)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_dropout_changes_training_and_not_predictions():
    losses = [MLPClassifier(dropout=share, max_iter=30, random_state=0).fit(X_iris, y_iris) for share in (0, 0.5)]
    assert losses[0].loss_ < losses[1].loss_
    np.testing.assert_array_equal(losses[1].predict_proba(X_iris), losses[1].predict_proba(X_iris))
    with pytest.raises(ValueError, match="dropout must be 0 with solver='lbfgs'"):
        MLPClassifier(dropout=0.5, solver="lbfgs").fit(X_iris, y_iris)


def test_class_weight_is_a_sample_weight():
    settings = {"solver": "lbfgs", "max_iter": 2000, "random_state": 0, "alpha": 1.0}
    balanced = MLPClassifier(class_weight="balanced", **settings).fit(X_iris[:110], y_iris[:110])
    by_hand = MLPClassifier(**settings).fit(
        X_iris[:110], y_iris[:110], sample_weight=np.repeat([110 / 150, 110 / 150, 110 / 30], [50, 50, 10])
    )
    np.testing.assert_allclose(balanced.coefs_[0], by_hand.coefs_[0], rtol=1e-6)


def test_validation_data_of_ones_own_stop_the_fit():
    model = MLPClassifier(learning_rate_init=0.05, max_iter=1000, random_state=0)
    model.fit(X_iris[::2], y_iris[::2], X_val=X_iris[1::2], y_val=y_iris[1::2])
    assert model.n_iter_ == len(model.validation_scores_) < 1000
    assert model.score(X_iris[1::2], y_iris[1::2]) == model.best_validation_score_
    with pytest.raises(ValueError, match="together"):
        model.fit(X_iris, y_iris, X_val=X_iris)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callback_sees_epochs_and_stops(solver):
    seen = []
    model = MLPClassifier(solver=solver, callback=lambda state: seen.append(state.loss) or len(seen) == 4)
    model.fit(X_iris, y_iris)
    assert len(seen) == model.n_iter_ == 4
    assert seen[-1] < seen[0]


class TestEpochsPerCall:
    """Where nobody looks on, the core runs as many epochs a call as are certain to follow."""

    RULES = (
        {},
        {"max_iter": 200, "tol": 1e-2, "n_iter_no_change": 2},
        {"max_iter": 100, "tol": 1.0, "n_iter_no_change": 1},
        {"max_iter": 70, "tol": 0.0, "n_iter_no_change": np.inf},
        {"max_iter": 300, "solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 3},
        {"max_iter": 40, "solver": "sgd", "learning_rate": "invscaling", "momentum": 0.8},
        {"max_iter": 1},
    )
    RECORD = ("n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "_no_improvement_count", "validation_scores_")

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    @pytest.mark.parametrize("settings", RULES)
    def test_change_nothing(self, settings):
        model = MLPClassifier((8,), random_state=0, **settings).fit(X_iris, y_iris)
        watched = MLPClassifier((8,), random_state=0, callback=lambda state: False, **settings).fit(X_iris, y_iris)
        assert [getattr(model, name) for name in self.RECORD] == [getattr(watched, name) for name in self.RECORD]
        assert (model.net_.parameters == watched.net_.parameters).all()

    def test_count_before_a_divergence(self):
        model = MLPRegressor(
            hidden_layer_sizes=(8,), solver="sgd", momentum=0.0, learning_rate_init=0.9, random_state=0, max_iter=500
        )
        with pytest.raises(DivergenceError):
            model.fit(100 * X_reg, 100 * Y_reg)
        assert model.n_iter_ == len(model.loss_curve_)
        assert model.loss_curve_[-1:] == [model.loss_] * min(1, model.n_iter_)

    @pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
    def test_count_before_an_interrupt(self):
        model = MLPRegressor(hidden_layer_sizes=(8,), random_state=0, max_iter=10**6, tol=0.0, n_iter_no_change=10**6)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.warns(UserWarning, match="interrupted by user"):
            model.fit(X_reg, Y_reg)
        assert 0 < model.n_iter_ < 10**6
        assert model.n_iter_ == len(model.loss_curve_) == model.net_.epochs_trained
        assert model.t_ == model.n_iter_ * len(X_reg)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("targets", [1, 2])
class TestPoissonLossOfWeightedMinibatches:
    """Each minibatch's deviance is a mean by its own weights, of which the net's loss leaves a part out."""

    def data(self, targets):
        numbers = np.random.default_rng(0)
        X = numbers.standard_normal((103, 4))
        y = numbers.poisson(np.exp(X[:, :targets])).astype(float)
        return X, y[:, 0] if targets == 1 else y, numbers.uniform(0.1, 3, 103)

    def test_is_that_of_scikit_learn(self, targets):
        X, y, weights = self.data(targets)
        settings = {"loss": "poisson", "hidden_layer_sizes": (5,), "batch_size": 10, "max_iter": 30, "shuffle": False}
        ours, theirs = (
            kind(random_state=0, **settings).fit(X, y, sample_weight=weights)
            for kind in (MLPRegressor, neural_network.MLPRegressor)
        )
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)

    def test_follows_the_order_of_the_rows(self, targets):
        X, y, weights = self.data(targets)
        settings = {"solver": "sgd", "learning_rate_init": 1e-200, "alpha": 0.0, "batch_size": 10, "max_iter": 3}
        model = MLPRegressor(loss="poisson", random_state=0, **settings).fit(X, y, sample_weight=weights)
        P = model.predict(X)
        deviances = (xlogy(y, y / P) - y + P).reshape(103, -1).sum(axis=1)
        for epoch, loss in enumerate(model.loss_curve_):
            order = permutation(model.net_.seed, epoch, 103)
            batches = [order[start : start + 10] for start in range(0, 103, 10)]
            means = [np.average(deviances[rows], weights=weights[rows]) for rows in batches]
            np.testing.assert_allclose(loss, np.average(means, weights=[len(rows) for rows in batches]), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_class_weights_are_those_of_all_classes():
    """A chunk, or validation data, may have some of them."""
    zeros = y_iris[:100] == 0
    X, y = X_iris[:100], y_iris[:100]
    settings = {"hidden_layer_sizes": (4,), "learning_rate_init": 0.01, "max_iter": 3, "random_state": 0}
    weighed = MLPClassifier(class_weight={1: 10.0}, **settings).fit(X, y)
    by_hand = MLPClassifier(**settings).fit(X, y, sample_weight=np.where(zeros, 1.0, 10.0))
    for rows in (zeros, ~zeros):
        weighed.partial_fit(X[rows], y[rows])
        by_hand.partial_fit(X[rows], y[rows], sample_weight=np.where(zeros, 1.0, 10.0)[rows])
    np.testing.assert_array_equal(weighed.net_.parameters, by_hand.net_.parameters)
    weighed.fit(X, y, X_val=X[zeros], y_val=y[zeros])
    with pytest.raises(ValueError, match="not for partial_fit, which sees a part"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="class_weight must be 'balanced' or None where a row has several labels"):
        weighed.fit(X, np.c_[y, 1 - y, y])
