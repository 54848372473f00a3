"""Files of every released version are kept in `tests/data`, and stay readable: the same nets, the same predictions."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule import Adam, Net
from chainrule.files import read_metadata

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("net-*.safetensors"))
ESTIMATORS = sorted(DATA.glob("MLP*.safetensors"))

#: Rows that every kept net is asked for; the answers lie beside its file.
X = np.sin(np.arange(12.0)).reshape(4, 3)
Y = np.cos(np.arange(8.0)).reshape(4, 2)


def expected(path):
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_first_release_has_files():
    assert DATA / "net-0.1.0.safetensors" in FILES
    assert {DATA / f"{name}-0.1.0.safetensors" for name in ("MLPClassifier", "MLPRegressor")} <= set(ESTIMATORS)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_the_net_is_the_one_that_was_saved(path):
    net, then = Net.load(path), expected(path)
    assert repr(net) == then["net"]
    assert (net.epochs_trained, net.frozen) == (then["epochs_trained"], tuple(then["frozen"]))
    np.testing.assert_allclose(net.predict(X), then["predictions"], rtol=1e-10)


def test_training_goes_on_from_the_moments_that_were_saved(path):
    """The loss of the next step, and that of the one after it, which Adam's moments have a part in."""
    net, then = Net.load(path), expected(path)
    losses = [net.step(X, Y, Adam(lr=0.01)) for _ in range(len(then["next_losses"]))]
    np.testing.assert_allclose(losses, then["next_losses"], rtol=1e-9)
    fresh = Net.load(path)
    fresh._core.write_optimizer_state("sgd", 0, [])
    afresh = [fresh.step(X, Y, Adam(lr=0.01)) for _ in losses]
    assert abs(afresh[-1] - losses[-1]) > 1e-4


def test_the_specification_is_enough_to_predict(path):
    """By `docs/FORMAT.md`, and the outline of safetensors: eight bytes of length, a JSON header, numbers."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    net = json.loads(header.pop("__metadata__")["chainrule"])

    def tensor(name):
        entry = header[name]
        first, last = entry["data_offsets"]
        dtype = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        return np.frombuffer(content[begin + first : begin + last], dtype).reshape(entry["shape"])

    formulas = {"tanh": np.tanh, "silu": lambda h: h / (1 + np.exp(-h)), "identity": lambda h: h}
    A = X
    for layer, name in enumerate(net["activations"]):
        A = formulas[name](A @ tensor(f"weights.{layer}") + tensor(f"biases.{layer}"))
    np.testing.assert_allclose(A, expected(path)["predictions"], rtol=1e-10)


def test_the_specification_names_every_key(path):
    specification = (DATA.parent.parent / "docs" / "FORMAT.md").read_text(encoding="utf-8")
    description = json.loads(read_metadata(path)["chainrule"])
    assert {key for key in (*description, *description["optimizer"]) if f"`{key}`" not in specification} == set()


def test_metadata_of_the_user_is_kept(path):
    assert read_metadata(path)["note"] == expected(path)["note"]


def test_a_net_that_is_saved_again_says_the_same(path, tmp_path):
    Net.load(path).save(tmp_path / "again.safetensors", {"note": expected(path)["note"]})
    np.testing.assert_array_equal(Net.load(tmp_path / "again.safetensors").parameters, Net.load(path).parameters)


@pytest.fixture(params=ESTIMATORS, ids=lambda path: path.stem)
def kept(request):
    """An estimator that was saved by a release, and what it answered then."""
    estimators = pytest.importorskip("chainrule.estimators", exc_type=ImportError)
    path = request.param
    return getattr(estimators, path.stem.partition("-")[0]).load(path), expected(path)


def test_the_estimator_is_the_one_that_was_saved(kept):
    estimator, then = kept
    assert then["parameters"].items() <= describe(estimator).items()
    for name, value in then["fitted"].items():
        assert np.array_equal(getattr(estimator, name), value), name
    np.testing.assert_allclose(answers(estimator), then["answers"], rtol=1e-5)


def test_partial_fit_goes_on_where_the_estimator_was(kept):
    """With the optimizer's state, the learning rate and the order of the rows that the file holds."""
    estimator, then = kept
    for loss in then["next_losses"]:
        assert estimator.partial_fit(X, then["targets"]).loss_ == pytest.approx(loss, rel=1e-6)


def test_the_net_of_an_estimator_is_read_without_scikit_learn(kept):
    estimator, then = kept
    path = next(path for path in ESTIMATORS if path.stem.startswith(then["estimator"]))
    np.testing.assert_array_equal(Net.load(path).parameters, estimator.net_.parameters)


def describe(estimator):
    return {name: repr(value) for name, value in estimator.get_params().items()}


def answers(estimator):
    return (estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict)(X)


def estimators_of_this_version():
    """Fitted estimators whose files hold as much as they may, and targets to go on with."""
    from chainrule.estimators import MLPClassifier, MLPRegressor

    X = np.random.default_rng(0).standard_normal((40, 3))
    labels = np.where(X[:, 0] > 0.5, "ant", np.where(X[:, 1] > 0, "bee", "cow"))
    classifier = MLPClassifier(
        (5, 4),
        ("tanh", "silu"),
        solver="sgd",
        learning_rate="invscaling",
        batch_size=3,
        max_iter=3,
        class_weight={"ant": 2.0, "bee": 1.0, "cow": 1.0},
        random_state=7,
    )
    regressor = MLPRegressor("huber(0.5)", (6,), solver=Adam(lr=0.02), alpha=0.01, max_iter=3, random_state=7)
    yield classifier.fit(X, labels), ["ant", "bee", "cow", "bee"]
    yield regressor.fit(X.astype(np.float32), X[:, :2] * 2), Y.tolist()


def write_estimators_of_this_version() -> None:
    """Write the files of fitted estimators and their answers, once."""
    for estimator, targets in estimators_of_this_version():
        path = DATA / f"{type(estimator).__name__}-{chainrule.__version__}.safetensors"
        if path.exists():
            raise FileExistsError(f"{path} is what was released")
        estimator.save(path)
        names = ("n_iter_", "t_", "loss_", "loss_curve_", "n_outputs_", "out_activation_", "n_features_in_")
        then = {
            "estimator": type(estimator).__name__,
            "parameters": describe(estimator),
            "fitted": {name: deepcopy(getattr(estimator, name)) for name in names},
            "answers": answers(estimator).tolist(),
            "targets": targets,
            "next_losses": [estimator.partial_fit(X, targets).loss_ for _ in range(3)],
        }
        path.with_suffix(".json").write_text(json.dumps(then, indent=1) + "\n", encoding="utf-8")


def write_file_of_this_version() -> None:
    """Write the net's file and its answers, once."""
    path = DATA / f"net-{chainrule.__version__}.safetensors"
    if path.exists():
        raise FileExistsError(f"{path} is what was released")
    net = Net([3, 5, 4, 2], hidden=["tanh", "silu"], output="identity", dtype="float64", seed=7, dropout=[0.1, 0.0])
    random = np.random.default_rng(0)
    net.freeze(0)
    net.fit(random.standard_normal((40, 3)), random.standard_normal((40, 2)), epochs=3, optimizer=Adam(lr=0.05))
    net.save(path, {"note": f"as saved by {chainrule.__version__}"})
    answers = {
        "net": repr(net),
        "note": f"as saved by {chainrule.__version__}",
        "epochs_trained": net.epochs_trained,
        "frozen": net.frozen,
        "predictions": net.predict(X).tolist(),
        "next_losses": [net.step(X, Y, Adam(lr=0.01)) for _ in range(3)],
    }
    path.with_suffix(".json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":  # for a release: python tests/test_released_files.py
    write_file_of_this_version()
    write_estimators_of_this_version()
