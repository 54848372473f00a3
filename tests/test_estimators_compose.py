"""The estimators within what others build of estimators."""

import copy
import math
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule import AdamW, Huber, ModelFormatError, Net
from chainrule.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]


def classifier(**settings):
    return MLPClassifier(**{"solver": "lbfgs", "max_iter": 30, "random_state": 0, **settings})


def adam(kind=MLPClassifier, **settings):
    return kind(**{"max_iter": 5, "batch_size": 32, "random_state": 0, **settings})


def test_pipeline():
    assert make_pipeline(StandardScaler(), classifier()).fit(X, names).score(X, names) > 0.95


def test_grid_search_in_two_processes():
    search = GridSearchCV(classifier(), {"alpha": [1e-4, 1e3]}, n_jobs=2, cv=3).fit(X, names)
    assert search.best_params_ == {"alpha": 1e-4}
    assert search.best_estimator_.score(X, names) > 0.95


def test_processes_of_joblib_share_the_processors():
    from chainrule.threads import resolve

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(resolve)(None) for _ in range(2)) == [1, 1]


def test_threads_keep_to_a_limit_of_threadpoolctl():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    from chainrule.threads import resolve

    with threadpoolctl.threadpool_limits(1):
        assert resolve(None) == 1


def test_cross_val_score():
    assert cross_val_score(classifier(), X, names, cv=3).min() > 0.85


def test_calibrated_classifier():
    calibrated = CalibratedClassifierCV(classifier(), cv=3).fit(X, names)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)


def test_permutation_importance():
    importances = permutation_importance(classifier().fit(X, y), X, y, random_state=0, n_repeats=3).importances_mean
    assert importances[2:].max() > importances[:2].max()


def test_clone_has_the_parameters_and_no_weights():
    original = adam(activation=["gelu"], solver=AdamW(lr=0.01), dropout=0.1, class_weight="balanced").fit(X, y)
    twin = clone(original)
    assert twin.get_params() == original.get_params()
    assert not hasattr(twin, "coefs_")


def by_joblib(model, path):
    joblib.dump(model, path)
    return joblib.load(path)


def by_memory_map(model, path):
    joblib.dump(model, path)
    return joblib.load(path, mmap_mode="r")


def by_save(model, path):
    model.save(path)
    return type(model).load(path)


COPIES = {
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "joblib": by_joblib,
    "memory_map": by_memory_map,
    "save": by_save,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (adam(), names),
        (adam(), y == 1),
        (adam(), np.stack([y == 1, y > 0], axis=1).astype(int)),
        (adam(solver="sgd", learning_rate="invscaling"), y),
        (adam(early_stopping=True, dropout=0.2), y),
        (adam(solver="lbfgs"), names),
        (adam(MLPRegressor, loss=Huber(0.5), solver=AdamW(lr=0.01)), X[:, 0]),
        (adam(MLPRegressor, loss="poisson", random_state=np.random.RandomState(5)), np.abs(X[:, :2])),
    ],
    ids=lambda given: str(given)[:60] if isinstance(given, MLPClassifier | MLPRegressor) else "",
)
def test_a_copy_predicts_and_goes_on_identically(model, targets, way, tmp_path):
    model = clone(model).set_params(warm_start=True).fit(X, targets)
    twin = COPIES[way](model, tmp_path / "model")
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.predict(X).dtype == model.predict(X).dtype
    assert repr(twin.get_params()) == repr(model.get_params()) or "RandomState" in repr(model.get_params())
    assert set(vars(twin)) == set(vars(model))
    for fitted in (model, twin):
        if not model.early_stopping and model.solver != "lbfgs":
            fitted.partial_fit(X, targets)
        fitted.fit(X, targets)
    for mine, other in zip(twin.coefs_ + twin.intercepts_, model.coefs_ + model.intercepts_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert getattr(twin, "loss_curve_", None) == getattr(model, "loss_curve_", None)
    assert twin.loss_ == model.loss_


def test_predictions_stay_in_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas").fit(frame, names)
    assert list(pipeline[-1].feature_names_in_) == list("abcd")
    assert list(pipeline.predict(frame)) == list(classifier().fit(StandardScaler().fit_transform(X), names).predict(X))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_give_feature_names(library, tmp_path):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({name: X[:, i] for i, name in enumerate("abcd")})
    model = classifier().fit(frame, frames.Series(list(names)))
    assert list(model.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(model.predict_proba(frame), classifier().fit(X, names).predict_proba(X))
    assert list(by_save(model, tmp_path / "model").feature_names_in_) == list("abcd")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename({"a": "z"}) if library == "polars" else frame.rename(columns={"a": "z"}))


def test_a_saved_estimator_is_a_saved_net(tmp_path):
    model = classifier().fit(X, names)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(Net.load(tmp_path / "model.safetensors").predict(X), model.predict_proba(X))


def test_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    Net([4, 3]).save(path)
    with pytest.raises(ModelFormatError, match="no estimator"):
        MLPClassifier.load(path)
    adam(MLPRegressor).fit(X, X).save(path)
    with pytest.raises(ModelFormatError, match="MLPRegressor"):
        MLPClassifier.load(path)


def test_labels_of_64_bits_are_kept(tmp_path):
    labels = np.array([2**63, 2**64 - 1], np.uint64)
    weights = {int(label): 1.5 for label in labels}
    model = adam(class_weight=weights).fit(X, labels[(y > 0).astype(int)])
    model.save(tmp_path / "model")
    loaded = MLPClassifier.load(tmp_path / "model")
    assert loaded.class_weight == weights
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    model.set_params(class_weight={(1, 2): 1.0})
    with pytest.raises(TypeError, match=r"class_weight cannot be saved: .*a text or a number"):
        model.save(tmp_path / "other")


@pytest.mark.parametrize("settings", [{"random_state": 1}, {"solver": "lbfgs"}], ids=str)
def test_hostile_metadata_is_refused(settings, tmp_path):
    import json

    from chainrule.files import read_metadata

    path = tmp_path / "model.safetensors"
    model = adam(**settings).fit(X, y)
    model.save(path)
    description = json.loads(read_metadata(path)["chainrule.estimator"])
    steps = description["step_size"] or {"mode": "constant", "initial": 0.1, "power_t": 0.5, "learning_rate": 0.1}
    model.net_.save(path, {"chainrule.estimator": json.dumps(description | {"step_size": steps})})
    assert MLPClassifier.load(path).classes_.tolist() == model.classes_.tolist()
    changes = [
        {"fitted": description["fitted"] | {"predict": 1}},
        {"fitted": description["fitted"] | {"n_outputs_": 7}},
        {"fitted": {}},
        {"parameters": {"alpha": -1}},
        {"parameters": {"alpha": {"lambda": 1}}},
        {"parameters": []},
        {"labels": "nonsense"},
        {"fitted": description["fitted"] | {"classes_": [1]}},
        {"fitted": description["fitted"] | {"classes_": {"array": [1, 2], "dtype": "<i8"}}},
        {"fitted": description["fitted"] | {"classes_": {"array": [1, 2, 3], "dtype": "O8,f8"}}},
        {"fitted": description["fitted"] | {"classes_": {"array": [2, 1, 0], "dtype": "<i8"}}},
        {"fitted": description["fitted"] | {"classes_": {"array": [0, 1, 1], "dtype": "<i8"}}},
        {"step_size": {}},
        *({"step_size": steps | {"learning_rate": rate}} for rate in (-1.0, math.nan, math.inf, True, "1e3", None)),
        {"step_size": steps | {"mode": "sometimes"}},
        {"format": 99},
    ]
    for change in changes:
        model.net_.save(path, {"chainrule.estimator": json.dumps(description | change)})
        with pytest.raises(ModelFormatError):
            MLPClassifier.load(path)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_of_scikit_learn_see_every_epoch(solver):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    del callback

    class Recorder:
        def __init__(self):
            self.scores, self.told = [], []

        def setup(self, estimator, context):
            self.told.append("setup")

        def teardown(self, estimator, context):
            self.told.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None):
            assert X is not None

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            if context.task_name == "epoch":
                self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) == 4

    recorder = Recorder()
    model = adam(solver=solver, max_iter=50).set_callbacks(recorder).fit(X, names)
    assert recorder.told == ["setup", "teardown"]
    assert len(recorder.scores) == model.n_iter_ == 4
    assert recorder.scores[-1] == model.score(X, names)
