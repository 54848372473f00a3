"""Random estimators: copies of every kind are the same and go on the same, and numbers are scikit-learn's."""

from __future__ import annotations

import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("sklearn")

import sklearn.base
import sklearn.neural_network
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from chainrule import DivergenceError
from chainrule.estimators import MLPClassifier, MLPRegressor
from strategies import SEEDS, assert_same_bits, contiguous, layouts, share_of_examples

PEER_PARAMETERS = set(sklearn.neural_network.MLPRegressor().get_params()) & set(
    sklearn.neural_network.MLPClassifier().get_params()
)


@st.composite
def estimators(draw, solvers=("adam", "sgd", "lbfgs", "nadam", "adamw", "rmsprop", "adagrad"), exact=False):
    """A random estimator, not yet fitted."""
    hidden = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=2)))
    solver = draw(st.sampled_from(solvers))
    arguments = {
        "hidden_layer_sizes": hidden if draw(st.booleans()) or exact else list(hidden),
        "activation": draw(st.sampled_from(["identity", "logistic", "tanh"] if exact else ["relu", "tanh", "silu"])),
        "solver": solver,
        "alpha": draw(st.sampled_from([0.0, 1e-4, 0.1])),
        "learning_rate": draw(st.sampled_from(["constant", "invscaling", "adaptive"])),
        "learning_rate_init": draw(st.floats(1e-3, 0.05)),
        "max_iter": draw(st.integers(1, 8)),
        "random_state": draw(SEEDS),
        "momentum": draw(st.sampled_from([0.0, 0.9])),
        "nesterovs_momentum": draw(st.booleans()),
        "tol": draw(st.sampled_from([0.0, 1e-4, 0.05])),
        "n_iter_no_change": draw(st.integers(1, 10)),
    }
    if not exact:
        arguments |= {
            "batch_size": draw(st.sampled_from(["auto", 1, 7, 1000])),
            "early_stopping": solver != "lbfgs" and draw(st.booleans()),
            "validation_fraction": 0.3,
            "warm_start": draw(st.booleans()),
            "shuffle": draw(st.booleans()),
            "dropout": 0.0 if solver == "lbfgs" else draw(st.sampled_from([0.0, 0.3])),
        }
    return draw(st.sampled_from([MLPClassifier, MLPRegressor]))(**arguments)


@st.composite
def problems(draw, model, dtypes=("float32", "float64", "int16", "float16", ">f8")):
    """Inputs, targets and weights (or None) for an estimator."""
    random, rows = np.random.default_rng(draw(SEEDS)), draw(st.integers(12, 40))
    X = (3 * random.standard_normal((rows, draw(st.integers(1, 6))))).astype(draw(st.sampled_from(dtypes)))
    w = random.uniform(0.5, 2, rows) if draw(st.booleans()) else None
    if isinstance(model, MLPRegressor):
        return X, random.standard_normal((rows, draw(st.integers(1, 3)))), w
    classes, labels = draw(st.integers(2, 4)), np.array(["b", "a", "d", "ç"], object)
    y = np.arange(rows) % classes  # so that each has enough rows to be held out
    random.shuffle(y)
    kind = draw(st.sampled_from(["numbers", "text", "indicators"]))
    return X, np.eye(classes, dtype=int)[y] if kind == "indicators" else labels[y] if kind == "text" else y * 3 - 1, w


@st.composite
def estimation(draw, **arguments):
    """An estimator, and data for it."""
    model = draw(estimators(**arguments))
    return model, draw(problems(model))


def fitted(model, X, y, w, method="fit"):
    """Fit, and return the estimator; what warns of few epochs or many rows is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Got `batch_size` less than 1|A column-vector y was passed")
        try:
            return getattr(model, method)(X, y, sample_weight=w)
        except DivergenceError:
            assume(False)


def answers(model, X):
    """All that an estimator says of rows, and its record."""
    answers = [model.predict(X), *model.coefs_, *model.intercepts_, model.loss_]
    answers += [model.loss_curve_] if hasattr(model, "loss_curve_") else []
    return answers + ([model.predict_proba(X)] if isinstance(model, MLPClassifier) else [])


def assert_same_answers(models, X):
    for one, other in zip(*(answers(model, X) for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def fitted_attributes(model):
    return {name: value for name, value in vars(model).items() if name.endswith("_") and not name.startswith("_")}


@share_of_examples(2)
@given(estimation())
def test_clones_are_unfitted_and_fit_to_the_same(estimation):
    model, problem = estimation
    fitted(model.set_params(warm_start=False), *problem)
    clone = sklearn.base.clone(model)
    assert clone.get_params() == model.get_params()
    assert not fitted_attributes(clone)
    assert_same_answers([fitted(clone, *problem), model], problem[0])


def through_a_file(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.safetensors")
        return type(model).load(Path(folder) / "model.safetensors")


WAYS = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "file": through_a_file}


@pytest.mark.parametrize("way", WAYS)
@share_of_examples(2)
@given(estimation())
def test_a_fitted_estimator_comes_back_and_goes_on(way, estimation):
    model, (X, y, w) = estimation
    copy = WAYS[way](fitted(model, X, y, w))
    assert {name: str(value) for name, value in copy.get_params().items()} == {
        name: str(value) for name, value in model.get_params().items()
    }
    assert fitted_attributes(copy).keys() == fitted_attributes(model).keys()
    assert_same_answers([copy, model], X)
    can_go_on = model.solver != "lbfgs" and not model.early_stopping
    pair = [fitted(each, X, y, w, "partial_fit" if can_go_on else "fit") for each in (copy, model)]
    assert_same_answers(pair, X)


@share_of_examples(2)
@given(estimation(), st.data())
def test_estimators_take_any_layout_and_give_the_bits_of_a_plain_copy(estimation, draws):
    model, (X, y, w) = estimation
    assume(y.dtype != object)
    laid_out = [None if array is None else draws.draw(layouts(array)) for array in (X, y, w)]
    assume(isinstance(model, MLPRegressor) or len(np.unique(laid_out[1], axis=0)) == len(np.unique(y, axis=0)))
    plain = [contiguous(array) for array in laid_out]
    models = [fitted(sklearn.base.clone(model), *arrays) for arrays in (laid_out, plain)]
    for name in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(model, name):
            outputs = [getattr(each, name)(arrays[0]) for each, arrays in zip(models, (laid_out, plain), strict=True)]
            np.testing.assert_array_equal(*outputs)
    scores = [each.score(*laid_out[:2], sample_weight=laid_out[2]) for each in models]
    assert scores[0] == scores[1]
    assert_same_bits([models[0].net_.parameters], [models[1].net_.parameters])


@share_of_examples(0.5)
@given(estimation(), st.data())
def test_weights_of_the_users_are_read_in_any_layout(estimation, draws):
    model, problem = estimation
    fitted(model, *problem)
    given_weights = [draws.draw(layouts(2 * weights)) for weights in model.coefs_]
    model.coefs_[:] = given_weights
    model.predict(problem[0])
    assert_same_bits(model.net_.weights, map(contiguous, given_weights))


@share_of_examples(4)
@given(estimation(solvers=("adam", "sgd", "lbfgs"), exact=True))
def test_full_batches_give_scikit_learns_numbers(estimation):
    model, (X, y, _) = estimation
    # Where outputs are several, the objective that scikit-learn gives L-BFGS is not that of the gradient, but a share.
    assume(model.solver != "lbfgs" or isinstance(model, MLPClassifier) or y.shape[1] == 1)
    # Adam's epsilon joins a mean of squares that scikit-learn has not corrected for its start.
    model.set_params(batch_size=len(X), epsilon=1e-15)
    X = X.astype(np.float64)
    fitted(model, X, y, None)
    # Inputs moved by a rounding show how far that may carry, which is far where L-BFGS meets flat objectives.
    peer, moved = (peer_of(model, inputs, y) for inputs in (X, X * (1 + 1e-14)))
    rounding = max(np.abs(one - other).max() for one, other in zip(weights_of(peer), weights_of(moved), strict=True))
    assume(rounding < 1e-4 and moved.n_iter_ == peer.n_iter_)
    assert model.n_iter_ == peer.n_iter_
    for ours, theirs in zip(weights_of(model), weights_of(peer), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 + 100 * rounding)
    assert model.loss_ == pytest.approx(peer.loss_, rel=1e-5, abs=1e-6 + 100 * rounding)


def peer_of(model, X, y):
    """scikit-learn's estimator with the same parameters, fitted."""
    arguments = {name: value for name, value in model.get_params().items() if name in PEER_PARAMETERS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(sklearn.neural_network, type(model).__name__)(**arguments).fit(X, y)


def weights_of(model):
    return [*model.coefs_, *model.intercepts_]
