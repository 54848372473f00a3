"""The estimators beside scikit-learn's: where the order of rows cannot differ, neither do the numbers."""

import contextlib
import signal
import subprocess
import sys
import warnings
from inspect import signature

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
import sklearn.neural_network as peer
from sklearn.datasets import load_iris, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.fixes import parse_version

from chainrule import DivergenceError, Net
from chainrule.estimators import MLPClassifier, MLPRegressor
from chainrule.estimators.scores import r2
from helpers import name_of

X_iris, y_iris = load_iris(return_X_y=True)
X_iris = (X_iris - X_iris.mean(axis=0)) / X_iris.std(axis=0)
X_reg, Y_reg = make_regression(n_samples=80, n_features=6, n_targets=2, random_state=0)
Y_reg = Y_reg / Y_reg.std(axis=0)
X_labels, Y_labels = make_multilabel_classification(n_samples=60, n_features=8, random_state=0)
X_labels = X_labels / 10

SETTINGS = [
    {},
    {"solver": "sgd", "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False, "activation": "tanh"},
    {"solver": "sgd", "learning_rate_init": 0.5, "momentum": 0, "alpha": 0.5, "activation": "logistic"},
    {"solver": "sgd", "learning_rate_init": 0.5, "learning_rate": "invscaling", "power_t": 0.3},
    {"solver": "sgd", "learning_rate_init": 0.2, "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 0.01},
    {"solver": "lbfgs", "max_iter": 15, "alpha": 0.1},
    {"alpha": 3.0, "learning_rate_init": 0.01, "hidden_layer_sizes": (7, 4)},
    {"early_stopping": True, "n_iter_no_change": 3, "learning_rate_init": 0.01},
    {"tol": 0.02, "n_iter_no_change": 3, "learning_rate_init": 0.01},
    {"beta_1": 0.5, "beta_2": 0.9},
    {"epsilon": 0.1},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (), "activation": "logistic"},
    {"hidden_layer_sizes": [], "solver": "lbfgs", "max_iter": 15},
]
CASES = [
    ("MLPClassifier", X_iris, y_iris, {}),
    ("MLPClassifier", X_iris[:100], y_iris[:100] > 0, {}),
    ("MLPClassifier", X_labels, Y_labels, {}),
    ("MLPRegressor", X_reg, Y_reg[:, 0], {}),
    ("MLPRegressor", X_reg, np.exp(0.3 * Y_reg[:, 0]), {"loss": "poisson"}),
]


def ours_and_theirs(kind, settings):
    settings = {"random_state": 3, "max_iter": 40, "hidden_layer_sizes": (9,), **settings}
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[kind]
    return ours(**settings), getattr(peer, kind)(**settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("kind", "X", "y", "extra"), CASES, ids=["classes", "binary", "labels", "one", "poisson"])
def test_full_batches_give_scikit_learns_numbers(kind, X, y, extra, settings, weighted):
    if weighted and "sample_weight" not in signature(peer.MLPClassifier.fit).parameters:
        pytest.skip("scikit-learn's fit takes sample_weight from 1.7 on")
    if "loss" in extra and "loss" not in signature(peer.MLPRegressor).parameters:
        pytest.skip("scikit-learn's regressor takes a loss from 1.7 on")
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    ours, theirs = ours_and_theirs(kind, settings | extra)
    fitted = [model.fit(X, y, **({} if weights is None else {"sample_weight": weights})) for model in (ours, theirs)]
    close = {"rtol": 1e-5, "atol": 1e-6}
    for name in ("coefs_", "intercepts_"):
        for mine, other in zip(*(getattr(model, name) for model in fitted), strict=True):
            np.testing.assert_allclose(mine, other, **close)
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        expected = getattr(theirs, name, None)
        if expected is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), expected, **close)
    np.testing.assert_allclose(ours.predict(X).astype(float), theirs.predict(X).astype(float), **close)
    if kind == "MLPClassifier":
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **close)


def test_several_outputs_report_scikit_learns_loss():
    ours, theirs = ours_and_theirs("MLPRegressor", {"max_iter": 3})
    with pytest.warns(ConvergenceWarning):
        np.testing.assert_allclose(ours.fit(X_reg, Y_reg).loss_curve_, theirs.fit(X_reg, Y_reg).loss_curve_, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("hidden", [(9,), (100, 30)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_penalty_of_a_last_smaller_minibatch_is_scikit_learns(hidden, weighted):
    settings = {"shuffle": False, "batch_size": 64, "alpha": 5.0, "max_iter": 3, "hidden_layer_sizes": hidden}
    models = ours_and_theirs("MLPClassifier", settings)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X_iris)) if weighted else None
    if weighted and "sample_weight" not in signature(peer.MLPClassifier.fit).parameters:
        pytest.skip("scikit-learn's fit takes sample_weight from 1.7 on")
    for model in models:
        model.fit(X_iris, y_iris, **({} if weights is None else {"sample_weight": weights}))
    for mine, other in zip(*(model.coefs_ for model in models), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-7)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.skipif(
    "sample_weight" not in signature(peer.MLPClassifier.fit).parameters, reason="scikit-learn below 1.7"
)
@pytest.mark.parametrize("hidden", [(4,), (100, 30)])
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_minibatches_of_different_weight_are_reported_as_scikit_learn_does(kind, hidden):
    settings = {"shuffle": False, "batch_size": 20, "solver": "sgd", "hidden_layer_sizes": hidden, "alpha": 0.1}
    models = ours_and_theirs(kind, {**settings, "max_iter": 4})
    X, y = (X_iris, y_iris) if kind == "MLPClassifier" else (X_reg, Y_reg)
    weights = np.where(np.arange(len(X)) < len(X) // 2, 10, 0.01)
    for model in models:
        model.fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("classes", [2, 3])
def test_hopeless_probabilities_are_reported_as_scikit_learn_does(solver, classes):
    rows = y_iris < classes
    X, y = 1e4 * X_iris[rows], y_iris[rows]
    settings = {"solver": solver, "shuffle": False, "max_iter": 3, "learning_rate_init": 1e-6}
    models = [model.fit(X, y) for model in ours_and_theirs("MLPClassifier", settings)]
    assert models[1].loss_ > 3 or solver == "lbfgs"
    np.testing.assert_allclose(models[0].loss_, models[1].loss_, rtol=1e-5)
    assert models[0].net_.loss(X, models[0].net_.predict(X).argmax(axis=1) if classes == 3 else (y > 0)[:, None]) >= 0
    assert models[0].net_._core.most_loss == np.inf


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_minibatches_learn_as_scikit_learns_do(solver):
    losses = []
    for kind in (MLPClassifier, peer.MLPClassifier):
        models = [
            kind(solver=solver, batch_size=32, max_iter=20, random_state=seed, learning_rate_init=0.01)
            for seed in range(4)
        ]
        losses.append(np.mean([model.fit(X_iris, y_iris).loss_ for model in models]))
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"solver": "sgd", "learning_rate": "invscaling"}], ids=str)
def test_partial_fits_and_warm_starts_go_on_as_scikit_learns_do(settings):
    ours, theirs = ours_and_theirs("MLPRegressor", settings | {"warm_start": True, "max_iter": 5})
    for model in (ours, theirs):
        for _ in range(3):
            model.partial_fit(X_reg, Y_reg)
        model.fit(X_reg, Y_reg).fit(X_reg, Y_reg).partial_fit(X_reg, Y_reg)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-5, atol=1e-6)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) == 14
    assert ours.t_ == theirs.t_


@pytest.mark.parametrize("settings", [{"solver": "sgd", "learning_rate_init": 5}, {}, {"solver": "lbfgs"}], ids=str)
def test_divergence_raises_and_keeps_finite_weights(settings):
    model = MLPRegressor(activation="identity", random_state=0, **settings)
    with pytest.raises(DivergenceError, match="Solver produced non-finite"):
        model.fit(X_reg if "learning_rate_init" in settings else 1e300 * X_reg, Y_reg)
    assert np.isfinite(model.net_.parameters).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_divergence_with_early_stopping_keeps_the_best_epoch():
    model = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=1, early_stopping=True, random_state=0)
    with pytest.warns(ConvergenceWarning, match="the parameters are those of the best epoch"):
        model.fit(3 * X_reg, Y_reg)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.predict(X_reg)).all()


def test_an_interrupt_ends_the_fit_with_a_warning():
    def interrupt(state):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted by user"):
        assert MLPRegressor(callback=interrupt).fit(X_reg, Y_reg).n_iter_ == 1


def test_without_scikit_learn_the_error_says_what_to_install():
    program = "import sys; sys.modules['sklearn'] = None; import chainrule; import chainrule.estimators"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: MLPRegressor and MLPClassifier need scikit-learn 1.6" in run.stderr
    assert "pip install chainrule[sklearn]" in run.stderr


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, ">f8"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_float32_stays_float32_and_all_else_is_float64(dtype):
    X = np.round(3 * X_reg).astype(dtype)
    model = MLPRegressor(max_iter=2, random_state=0).fit(X, Y_reg)
    assert model.predict(X).dtype == model.coefs_[0].dtype == (np.float32 if dtype == np.float32 else np.float64)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array"])
def test_sparse_input_gives_what_dense_input_gives(form):
    sparse = pytest.importorskip("scipy.sparse")
    X = np.where(X_iris > 0, X_iris, 0.0)
    dense, of_sparse = (
        MLPClassifier(max_iter=5, random_state=0).fit(data, y_iris) for data in (X, getattr(sparse, form)(X))
    )
    np.testing.assert_array_equal(dense.coefs_[0], of_sparse.coefs_[0])
    np.testing.assert_array_equal(dense.predict_proba(X), dense.predict_proba(getattr(sparse, form)(X)))


def test_weights_are_the_nets_own_also_after_a_user_put_in_others():
    model = MLPRegressor(solver="lbfgs").fit(X_reg, Y_reg)
    assert isinstance(model.net_, Net)
    model.coefs_[1] = np.zeros_like(model.coefs_[1])
    model.intercepts_ = [np.zeros(100), np.array([1.0, 2.0])]
    np.testing.assert_array_equal(model.predict(X_reg[:2]), [[1, 2], [1, 2]])
    assert model.coefs_[1] is model.net_.weights[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        (
            {"loss": "x"},
            "loss must be one of 'squared_error', 'poisson', 'absolute_error', 'huber', 'quantile', 'log_cosh'; got",
        ),
        ({"activation": "softmax"}, "activation"),
        ({"solver": "newton"}, "solver"),
        ({"dropout": 1.0}, "dropout"),
        ({"n_threads": 0}, "n_threads"),
        ({"loss": "log_loss"}, "loss must be one of"),
        ({"solver": "rprop", "batch_size": 10}, "batch_size"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**settings).fit(X_reg, Y_reg)


@pytest.mark.parametrize(
    ("change", "of_net"),
    [
        ({"activation": "tanh"}, lambda net: net.config.activations == ("tanh", "identity")),
        ({"loss": "poisson"}, lambda net: net.config.activations[1] == "exp" and str(net.config.loss) == "poisson"),
        ({"loss": "quantile(0.9)"}, lambda net: str(net.config.loss) == "quantile(0.9)"),
        ({"dropout": 0.5}, lambda net: net.config.dropout == (0.5,)),
        ({"n_threads": 1}, lambda net: net.threads == 1),
    ],
    ids=name_of,
)
def test_what_is_changed_between_partial_fits_counts(change, of_net):
    y = np.abs(Y_reg[:, 0])
    model = MLPRegressor(hidden_layer_sizes=(4,), random_state=0).partial_fit(X_reg, y)
    before, steps = model.coefs_[0].copy(), model.net_._core.read_optimizer_state()[1]
    assert not of_net(model.net_)
    model.set_params(**change).partial_fit(X_reg, y)
    assert of_net(model.net_)
    assert model.coefs_[0] is model.net_.weights[0]
    assert 0 < np.abs(model.coefs_[0] - before).max() < 0.01
    assert model.net_._core.read_optimizer_state()[1] == 2 * steps


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_other_sizes_than_before_are_refused(method):
    model = MLPRegressor(
        hidden_layer_sizes=(4,), warm_start=True, solver="adam", max_iter=1000, random_state=0, tol=1e9
    )
    model.fit(X_reg, Y_reg[:, 0])
    before = model.predict(X_reg)
    with pytest.raises(ValueError, match=r"net of \[6, 4, 1\] units per layer; .* now ask for \[6, 4, 2\]"):
        getattr(model, method)(X_reg, Y_reg[:, :2])
    model.set_params(hidden_layer_sizes=(5,))
    with pytest.raises(ValueError, match=r"now ask for \[6, 5, 1\]"):
        getattr(model, method)(X_reg, Y_reg[:, 0])
    np.testing.assert_array_equal(model.predict(X_reg), before)


def test_what_would_be_ignored_is_refused():
    with pytest.raises(ValueError, match="X_val and y_val are for early stopping, which solver='lbfgs' does not have"):
        MLPRegressor(solver="lbfgs").fit(X_reg, Y_reg, X_val=X_reg, y_val=Y_reg)
    with pytest.raises(ValueError, match="The 'class_weight' parameter of MLPClassifier must be"):
        MLPClassifier(class_weight="balnced").fit(X_iris, y_iris)


def test_a_net_is_there_once_it_is_fitted():
    with pytest.raises(NotFittedError, match="This MLPRegressor instance is not fitted yet"):
        _ = MLPRegressor().net_
    assert not hasattr(MLPRegressor(), "net_")


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_faults_of_data_are_told_in_scikit_learns_words(fault):
    model = MLPRegressor(solver="lbfgs").fit(X_reg, Y_reg)
    X = X_reg.copy()
    X[3, 1] = fault
    with pytest.raises(ValueError, match="Input X contains"):
        model.predict(X)
    with pytest.raises(ValueError, match="X has 5 features, but MLPRegressor is expecting 6"):
        model.predict(X_reg[:, :5])


def test_threads_change_no_bit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one, two = (
            MLPRegressor(hidden_layer_sizes=(300,), max_iter=3, n_threads=n, random_state=0).fit(X_reg, Y_reg)
            for n in (1, 2)
        )
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_labels_come_back_sparse(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    Y = sparse.csr_matrix(np.eye(3, dtype=int)[y_iris])
    ours, theirs = ours_and_theirs("MLPClassifier", {"max_iter": 3})
    predicted = ours.fit(X_iris, Y).predict(X_iris), theirs.fit(X_iris, Y).predict(X_iris)
    assert [sparse.issparse(labels) for labels in predicted] == [True, True]
    np.testing.assert_array_equal(predicted[0].toarray(), predicted[1].toarray())
    ours.save(tmp_path / "labels")
    again = MLPClassifier.load(tmp_path / "labels").predict(X_iris)
    assert (again != predicted[0]).nnz == 0
    dense = ours.fit(X_iris, Y.toarray()).predict(X_iris)
    assert isinstance(dense, np.ndarray)


def test_validation_of_parameters_can_be_skipped(tmp_path):
    from sklearn import config_context

    model = ours_and_theirs("MLPRegressor", {"max_iter": 3, "momentum": 7.0})[0]
    with pytest.raises(ValueError, match="The 'momentum' parameter"):
        model.fit(X_reg, Y_reg)
    with config_context(skip_parameter_validation=True):
        with pytest.warns(ConvergenceWarning):
            model.fit(X_reg, Y_reg)
        model.save(tmp_path / "model")
        assert MLPRegressor.load(tmp_path / "model").momentum == 7.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 1e-5},
        {"solver": "sgd", "learning_rate_init": 1e-5},
    ],
)
def test_verbose_fits_say_what_scikit_learns_say(capsys, settings):
    more = {"verbose": True, "tol": 1.0, "n_iter_no_change": 2, "shuffle": False, "max_iter": 30}
    printed = []
    for model in ours_and_theirs("MLPRegressor", settings | more):
        model.fit(X_reg, Y_reg)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Stopping." in printed[0]


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.9"), reason="older ones word it otherwise")
def test_the_warning_of_lbfgs_is_scikit_learns():
    texts = []
    for model in ours_and_theirs("MLPRegressor", {"solver": "lbfgs", "max_iter": 2}):
        with pytest.warns(ConvergenceWarning) as caught:
            model.fit(X_reg, Y_reg)
        texts.append(str(caught[0].message))
    assert texts[0] == texts[1]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
@pytest.mark.parametrize(("hidden", "copies"), [((4,), 16_000), ((40, 8), 800)])
def test_the_next_partial_fit_after_an_interrupt_is_a_whole_epoch(hidden, copies):
    """It trained on the rows that the interrupted one had not come to, though its data might be others."""
    X = np.tile(X_iris[:, :3], (copies, 1))
    model = MLPRegressor(
        hidden_layer_sizes=hidden, alpha=500.0, batch_size=8, learning_rate_init=1e-12, shuffle=False, random_state=0
    )
    whole = model.partial_fit(X, X[:, 0]).loss_
    interrupted = False
    for wait in (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, *np.linspace(0.01, 0.4, 40)):
        if interrupted:
            break
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, wait)
            with contextlib.suppress(KeyboardInterrupt), warnings.catch_warnings(action="ignore"):
                model.partial_fit(X, X[:, 0])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        steps = model.net_._core.read_optimizer_state()[1]
        interrupted = interrupted or steps % (len(X) // 8) != 0
        model.partial_fit(X, X[:, 0])
        assert model.net_._core.read_optimizer_state()[1] == steps + len(X) // 8
        assert model.loss_ == pytest.approx(whole, rel=1e-3)
    assert interrupted


def test_the_next_partial_fit_after_a_divergence_is_a_whole_epoch():
    X = np.random.default_rng(0).normal(size=(1000, 3))
    y = X.sum(axis=1)
    settings = {"hidden_layer_sizes": (8,), "solver": "sgd", "batch_size": 10, "shuffle": False, "random_state": 0}
    model, twin = MLPRegressor(**settings).partial_fit(X, y), MLPRegressor(**settings).partial_fit(X, y)
    parameters, steps = model.net_.parameters.copy(), model.net_._core.read_optimizer_state()
    with pytest.raises(DivergenceError):
        model.partial_fit(X, np.where(np.arange(1000) < 990, y, 1e200))
    model.net_.parameters[:] = parameters
    model.net_._core.write_optimizer_state(*steps)
    model.partial_fit(X, y + 100)
    twin.partial_fit(X, y + 100)
    assert model.loss_ == twin.loss_
    np.testing.assert_array_equal(model.net_.parameters, twin.net_.parameters)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 1, 1, 0])])
def test_a_score_of_equal_targets_is_not_of_their_rounding(weights):
    targets, outputs = np.array([0.1, 0.1, 0.1, 0.1 if weights is None else 7]), np.array([0.1, 0.1, 0.1001, 0.1])
    assert r2(targets, outputs[:, None], weights) == 0
    assert r2(targets, np.full((4, 1), 0.1), weights) == 1


def test_weights_without_a_penalty_do_not_look_at_parameters():
    model = MLPRegressor(hidden_layer_sizes=(3,), alpha=0.0, max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(np.zeros((8, 1)), np.ones(8), sample_weight=np.ones(8))
    model.coefs_[0][:] = 1e200
    model.partial_fit(np.zeros((8, 1)), np.ones(8), sample_weight=np.ones(8))
    assert np.isfinite(model.loss_)
