"""What a fit refuses leaves the estimator as it was; labels are refused in words that name them; loads read once."""

import copy
import os
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError

from chainrule import DivergenceError, ModelFormatError, Net
from chainrule.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = rng.integers(0, 3, 40)
y[:3] = [0, 1, 2]
t = rng.uniform(0.1, 2, 40)
names = np.array(["a", "b", "c"])[y]
with_nan = np.where(np.arange(3) == 1, np.nan, X)
rare = np.r_[np.zeros(39, int), 1]
Classifier, Regressor = MLPClassifier, MLPRegressor

#: Estimator, parameters, and arguments of the fit that is refused.
REFUSED = {
    "class_weight": (Classifier, {"class_weight": {"q": 1}}, {"y": names}),
    "dropout": (Classifier, {"dropout": (0.1, 0.2)}, {"y": names}),
    "activation": (Classifier, {"activation": ("relu", "tanh")}, {"y": names}),
    "memory": (Classifier, {"hidden_layer_sizes": (10**9, 10**9)}, {"y": names}),
    "weights": (Classifier, {}, {"y": names, "sample_weight": -np.ones(40)}),
    "weights alone": (Classifier, {"solver": "adam"}, {"sample_weight": -np.ones(40)}),
    "X_val": (Classifier, {}, {"X_val": with_nan, "y_val": y}),
    "y_val": (Classifier, {}, {"X_val": X, "y_val": y + 1}),
    "lbfgs dropout": (Classifier, {"solver": "lbfgs", "dropout": 0.5}, {"y": names}),
    "lbfgs weights": (Classifier, {"solver": "lbfgs"}, {"sample_weight": -np.ones(40)}),
    "rare class": (Classifier, {"solver": "adam", "early_stopping": True}, {"y": rare}),
    "few rows": (Classifier, {"solver": "adam", "early_stopping": True}, {"X": X[:4], "y": y[:4]}),
    "X": (Classifier, {}, {"X": with_nan}),
    "features": (Classifier, {"class_weight": {"q": 1}}, {"X": X[:, :2]}),
    "early stopping of lbfgs": (Classifier, {"solver": "lbfgs"}, {"X_val": X, "y_val": y}),
    "parameter": (Classifier, {"alpha": -1}, {}),
    "poisson": (Regressor, {"loss": "poisson"}, {"y": -t}),
    "lbfgs poisson": (Regressor, {"loss": "poisson", "solver": "lbfgs"}, {"y": -t}),
    "regressor weights": (Regressor, {}, {"y": np.c_[t, t], "sample_weight": -np.ones(40)}),
    "targets of y_val": (Regressor, {}, {"X_val": X, "y_val": np.c_[t, t]}),
    "quantiles": (Regressor, {"solver": "adam", "loss": "quantile(0.1, 0.9)", "early_stopping": True}, {}),
}
held_out = {"solver": "adam", "early_stopping": True}
one_weight = np.r_[1.0, np.zeros(39)]
masked = np.ma.masked_array(X, False)
dates = X.astype("M8[s]")
REFUSED |= {
    "weights held out": (Classifier, held_out, {"sample_weight": one_weight}),
    "regressor's weights held out": (Regressor, held_out, {"sample_weight": one_weight}),
    "a row of X_val": (Regressor, {"solver": "adam"}, {"X_val": X[:1], "y_val": t[:1]}),
    "masked X": (Regressor, {}, {"X": masked}),
    "masked y": (Regressor, {}, {"y": masked[:, 0]}),
    "masked labels": (Classifier, {}, {"y": np.ma.masked_array(y, False)}),
    "masked weights": (Classifier, {}, {"sample_weight": masked[:, 0]}),
    "dates": (Regressor, {}, {"X": dates}),
    "dates of y": (Regressor, {}, {"y": dates[:, 0]}),
    "times": (Regressor, {}, {"sample_weight": np.ones(40, "m8[s]")}),
}
ERRORS = (ValueError, TypeError, MemoryError, OverflowError)


def fitted(kind, **parameters):
    return kind(hidden_layer_sizes=(8,), max_iter=3, random_state=0, **parameters).fit(
        X, y if kind is Classifier else t
    )


def state(model):
    """Return attributes, and what the net is made of: all that a later call can depend on."""
    attributes = {name: copy.deepcopy(value) for name, value in vars(model).items() if name != "_net"}
    parameters, optimizer, *progress = model.net_._core.read_state()
    return attributes, parameters, optimizer, progress, model.net_.schedule_state


def refuse(model, change, given):
    model.set_params(**change)
    target = y if isinstance(model, Classifier) else t
    with pytest.raises(ERRORS):
        model.fit(**{"X": X, "y": target, **given})


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_fit_leaves_a_fitted_estimator_as_it_was(case, warm, solver):
    kind, change, given = REFUSED[case]
    model = fitted(kind, warm_start=warm, solver=solver)
    parameters, net, before = model.get_params(), model.net_, state(model)
    predicted = model.predict(X)
    refuse(model, change, given)
    np.testing.assert_array_equal(model.predict(X), predicted)
    assert model.net_ is net
    model.set_params(**parameters)
    assert_same(state(model), before)


def assert_same(found, expected):
    assert found[0].keys() == expected[0].keys()
    for name in expected[0].keys() - {"_label_binarizer", "_optimizer"}:
        np.testing.assert_equal(found[0][name], expected[0][name], err_msg=name)
    for name in {"_label_binarizer", "_optimizer"} & expected[0].keys():
        np.testing.assert_equal(vars(found[0][name]), vars(expected[0][name]), err_msg=name)
    np.testing.assert_equal(found[1:], expected[1:])


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_fit_leaves_an_unfitted_estimator_unfitted(case):
    kind, change, given = REFUSED[case]
    model = kind(hidden_layer_sizes=(8,), random_state=0)
    refuse(model, change, given)
    assert vars(model).keys() == model.get_params().keys()
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_classes_of_a_refused_first_partial_fit_are_not_kept():
    for given in ({"X": with_nan, "y": y}, {"X": X, "y": y + 9}, {"X": X, "y": y, "sample_weight": -np.ones(40)}):
        model = Classifier((8,), random_state=0)
        with pytest.raises(ERRORS):
            model.partial_fit(**given, classes=[0, 1, 2])
        assert vars(model).keys() == model.get_params().keys()
        assert model.partial_fit(X, names, classes=names).classes_.tolist() == ["a", "b", "c"]


def test_a_refused_partial_fit_is_as_if_it_had_not_been():
    models = [Classifier((8,), random_state=0).partial_fit(X, y, classes=[0, 1, 2]) for _ in range(2)]
    for given in ({"X": with_nan, "y": y}, {"X": X, "y": y + 1}, {"X": X, "y": y, "sample_weight": -np.ones(40)}):
        with pytest.raises(ERRORS):
            models[0].partial_fit(**given)
    models[0].set_params(dropout=(0.1, 0.2))
    with pytest.raises(ERRORS):
        models[0].partial_fit(X, y)
    models[0].set_params(dropout=0.0)
    probabilities = [model.partial_fit(X, y).predict_proba(X) for model in models]
    np.testing.assert_array_equal(*probabilities)


def test_what_ends_a_fit_that_has_begun_leaves_the_fit_so_far():
    model = fitted(Classifier)
    model.set_params(callback=lambda state: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.n_iter_ == 1
    model = Regressor(hidden_layer_sizes=(8,), solver="sgd", learning_rate_init=1e200, max_iter=5, random_state=0)
    with pytest.raises(DivergenceError):
        model.fit(X, t)
    assert model.n_features_in_ == 3


def test_callbacks_of_a_refused_fit_are_torn_down():
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    told = []

    class Refuses:
        def setup(self, estimator, context):
            told.append("setup")

        def teardown(self, estimator, context):
            told.append("teardown")

        def on_fit_task_begin(self, estimator, context):
            raise ValueError("no")

        def on_fit_task_end(self, estimator, context):
            pass

    model = Classifier((8,), random_state=0).set_callbacks(Refuses())
    with pytest.raises(ValueError, match="no"):
        model.fit(X, y)
    assert told == ["setup", "teardown"]
    assert vars(model).keys() == {*model.get_params(), "_skl_callbacks"}


MIXED = [
    (np.array([1, "a"] * 20, object), TypeError, "y has labels of type int, str; labels must be all strings, or"),
    (np.array(["a", b"a"] * 20, object), TypeError, "y has labels of type bytes, str"),
    ([{}, 1] * 20, TypeError, "y has labels of type dict, int"),
    (["a", None] * 20, ValueError, "Input y contains NaN or a missing label, None at 1"),
    ([None, 1] * 20, ValueError, "Input y contains NaN or a missing label, None at 0"),
    (np.array(["a", np.nan] * 20, object), ValueError, "Input y contains NaN or a missing label, nan at 1"),
    ([1.0, np.nan] * 20, ValueError, "Input y contains NaN"),
]


@pytest.mark.parametrize(("labels", "error", "message"), MIXED)
def test_labels_that_cannot_be_compared_are_named(labels, error, message):
    with pytest.raises(error, match=message):
        Classifier((8,)).fit(X, labels)
    with pytest.raises(error, match=message):
        Classifier((8,)).partial_fit(X, labels, classes=[0, 1, 2])
    with pytest.raises(error, match=message.replace("y ", "classes ", 1)):
        Classifier((8,)).partial_fit(X, y, classes=labels)
    with pytest.raises(error, match=message.replace("y ", "y_val ", 1)):
        Classifier((8,)).fit(X, y, X_val=X, y_val=labels)


@pytest.mark.parametrize("dtype", ["string", "object", "category", "Int64", "boolean"])
def test_missing_labels_of_pandas_are_named(dtype):
    pandas = pytest.importorskip("pandas")
    some = {"Int64": 1, "boolean": True}.get(dtype, "a")
    for call in (Classifier((8,)).fit, Classifier((8,)).partial_fit):
        with pytest.raises(ValueError, match="Input y contains NaN"):
            call(X, pandas.Series([some, pandas.NA] * 20, dtype=dtype))
    there = pandas.Series([some] * 40, dtype=dtype)
    if dtype in ("string", "Int64", "category"):
        assert Classifier((8,), max_iter=2).fit(X, there).classes_.tolist() == [some]


def saved(path):
    """Save two models that share nothing, and return them."""
    models = fitted(Classifier), Classifier((5,), max_iter=3, random_state=1).fit(X, names)
    for model, file in zip(models, path, strict=True):
        model.save(file)
    return models


def test_a_save_during_a_load_does_not_mix_two_models(tmp_path, monkeypatch):
    path, other = tmp_path / "model", tmp_path / "other"
    first, _ = saved((path, other))
    read_bytes = Path.read_bytes

    def then_replaced(file):
        content = read_bytes(file)
        path.write_bytes(read_bytes(other))
        return content

    monkeypatch.setattr(Path, "read_bytes", then_replaced)
    loaded = Classifier.load(path)
    monkeypatch.undo()
    assert path.read_bytes() == other.read_bytes(), "the file was to be replaced after the first reading"
    assert loaded.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(loaded.predict_proba(X), first.predict_proba(X))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_model_is_read_from_a_pipe(tmp_path):
    path, pipe = tmp_path / "model", tmp_path / "pipe"
    first, _ = saved((path, tmp_path / "other"))
    os.mkfifo(pipe)
    loaded = []
    reader = threading.Thread(target=lambda: loaded.append(Classifier.load(pipe)), daemon=True)
    reader.start()
    pipe.write_bytes(path.read_bytes())
    reader.join(timeout=30)
    assert loaded, "the pipe was opened a second time"
    np.testing.assert_array_equal(loaded[0].predict_proba(X), first.predict_proba(X))


def test_a_file_of_nan_is_no_estimator(tmp_path):
    path = tmp_path / "model"
    model = fitted(Classifier)
    model.net_.parameters[-1] = np.nan
    model.save(path)
    with pytest.raises(ModelFormatError, match="the parameters of the net are not finite; Net.load reads it as it is"):
        Classifier.load(path)
    assert np.isnan(Net.load(path).parameters[-1])


def test_what_is_refused_for_early_stopping_names_the_argument():
    with pytest.raises(ValueError, match="sample_weight is 0 for every row that early stopping holds out"):
        fitted(Regressor).set_params(early_stopping=True).fit(X, t, sample_weight=one_weight)
    with pytest.raises(ValueError, match="X_val must have at least 2 rows"):
        fitted(Regressor).fit(X, t, X_val=X[:1], y_val=t[:1])


@pytest.mark.parametrize("kind", [Classifier, Regressor])
def test_predictions_of_dates_and_masked_numbers_are_refused(kind):
    for given in (dates, masked):
        with pytest.raises(TypeError, match="X must (be numbers|not be masked)"):
            fitted(kind).predict(given)


def test_classes_of_outputs_that_are_not_finite_are_refused():
    for labels in (y, y > 0):
        estimator = fitted(Classifier).fit(X, labels)
        estimator.net_.parameters[:] = np.nan
        with pytest.raises(ValueError, match="outputs are not finite"):
            estimator.predict(X)


def test_a_rate_that_is_scaled_to_nothing_stops_training_without_an_error():
    estimator = Regressor(solver="sgd", learning_rate="invscaling", power_t=1e3, max_iter=5, random_state=0).fit(X, t)
    assert len(set(estimator.loss_curve_[1:])) == 1
    assert np.isfinite(estimator.loss_)


def test_sizes_of_eight_bits_draw_the_weights_of_others():
    few, many = (
        Regressor(hidden_layer_sizes=sizes, max_iter=1, random_state=0).fit(X, t)
        for sizes in (np.array([200, 200], np.uint8), (200, 200))
    )
    np.testing.assert_array_equal(few.coefs_[1], many.coefs_[1])


def test_weights_of_another_number_of_layers_are_refused():
    estimator = fitted(Regressor)
    estimator.coefs_ = estimator.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ must have an array for each of 2 layers; got 1"):
        estimator.predict(X)


class Narrow(MLPClassifier):
    def __init__(self, alpha=1e-4):
        super().__init__(alpha=alpha, max_iter=3, random_state=0)


def test_a_subclass_with_fewer_parameters_is_saved_and_loaded(tmp_path):
    estimator = Narrow(0.5).fit(X, y)
    estimator.save(tmp_path / "narrow")
    loaded = Narrow.load(tmp_path / "narrow")
    assert loaded.alpha == 0.5
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize("dtype", ["Int64", "UInt64", "int64[pyarrow]"])
def test_labels_of_pandas_beyond_the_integers_of_floats(dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    labels = np.where(y > 0, 2**60, 2**60 + 1)
    series = pandas.Series(labels, dtype=dtype)
    for estimator in (
        fitted(Classifier).fit(X, series),
        Classifier(random_state=0).partial_fit(X, series, classes=series.unique()),
    ):
        np.testing.assert_array_equal(estimator.classes_, [2**60, 2**60 + 1])
        assert set(estimator.predict(X)) <= {2**60, 2**60 + 1}
