"""The file of a run: what it is to others, and that a run goes on from its own file alone."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import safetensors.numpy

from chainrule import SGD, ModelFormatError, Net, reference
from chainrule.files import read, read_metadata
from chainrule.schedules import Cosine, EpochSchedule
from checkpoint_runs import Break, draw, early_stopping, largest_error, lower, raise_break_at_5, start
from helpers import name_of, without_checksum


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


class TestOtherRuns:
    @pytest.mark.parametrize("made", ["from arrays", "trained", "assigned", "from scikit-learn"])
    def test_of_a_net_that_more_than_its_drawn_seed_made(self, path, made):
        """Its own training, or where its parameters are from, is not replaced by another net's."""
        X, Y = draw(3, 1)

        def make(number):
            numbers = np.random.default_rng(number)
            layers = [(numbers.normal(size=(3, 4)), numbers.normal(size=4)), (numbers.normal(size=(4, 1)), np.zeros(1))]
            if made == "from arrays":
                return Net([3, 4, 1], output="identity", init=layers)
            if made == "from scikit-learn":
                neural_network = pytest.importorskip("sklearn.neural_network")
                there = neural_network.MLPRegressor(
                    hidden_layer_sizes=(4,), max_iter=50, tol=1e9, n_iter_no_change=1, random_state=number
                )
                return Net.from_sklearn(there.fit(X, Y.ravel()))
            net = Net([3, 4, 1], output="identity")
            if made == "trained":
                net.fit(X, Y, epochs=1 + number)
            else:
                net.parameters[:] = numbers.normal(size=net.parameters.size)
            return net

        make(1).fit(X, Y, epochs=3, checkpoint=path)
        net = make(2)
        before = net.parameters.copy()
        with pytest.raises(ValueError, match="the net's state at the start has other values|is blake2b"):
            net.fit(X, Y, epochs=3, checkpoint=path)
        np.testing.assert_array_equal(net.parameters, before)
        if made in ("from arrays", "from scikit-learn"):  # which another process can make again
            make(1).fit(X, Y, epochs=3, checkpoint=path)

    def test_of_a_drawn_net_of_another_initializer(self, path):
        """Which the drawn seeds, that differ from process to process, do not say."""
        X, Y = draw(3, 1)
        Net([3, 4, 1], output="identity", init="zeros").fit(X, Y, epochs=3, checkpoint=path)
        with pytest.raises(ValueError, match="init is orthogonal, there zeros"):
            Net([3, 4, 1], output="identity", init="orthogonal").fit(X, Y, epochs=3, checkpoint=path)
        Net([3, 4, 1], output="identity", init="zeros").fit(X, Y, epochs=3, checkpoint=path)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"sizes": [3, 5, 1]}, "sizes is (3, 5, 1), there (3, 4, 1)"),
            ({"hidden": "relu"}, "activations is ('relu', 'identity'), there ('tanh', 'identity')"),
            ({"loss": "squared_error"}, "loss is squared_error, there half_squared_error"),
            ({"dtype": "float64"}, "dtype is float64, there float32"),
            ({"dropout": 0.5}, "dropout is (0.5,), there (0.0,)"),
            ({"seed": 1}, "seed is 1, there 0"),
            ({"seed": None}, "seed is drawn, there 0"),
            ({"init": "zeros"}, "the net's state at the start has other values"),
            ({"X": np.ones((40, 3))}, "X has other values"),
            ({"X": np.ones((40, 3), np.float32)}, "X is float32(40, 3), there float64(40, 3)"),
            ({"Y": np.ones((40, 1))}, "Y has other values"),
            ({"sample_weight": np.ones(40)}, "sample_weight is float64(40,), there None"),
            ({"validation": 0.5}, "validation is 0.5, there None"),
            ({"validation": draw(3, 1, 9)}, "validation is float64(9, 3)"),
            ({"epochs": 9}, "epochs is 9, there 8"),
            ({"batch_size": None}, "batch_size is None, there 32"),
            ({"optimizer": SGD(lr=0.5)}, "optimizer is SGD(lr=0.5"),
            ({"schedule": lower}, "schedule is a function, there Constant()"),
            ({"shuffle": False}, "shuffle is False, there True"),
            ({"metrics": [largest_error]}, "metrics is ['largest_error'], there []"),
            ({"patience": 3, "tol": 0.5}, "tol is 0.5, there 0.0; patience is 3, there None"),
            ({"l2": 0.1, "clip_norm": 2.0}, "l2 is 0.1, there 0.0; clip_norm is 2.0, there None"),
        ],
        ids=name_of,
    )
    def test_are_refused_and_named(self, path, changed, message):
        def fit(hidden="tanh", sizes=(3, 4, 1), **given):
            arguments = {
                name: given.pop(name) for name in ("loss", "dtype", "dropout", "seed", "init") if name in given
            }
            net = Net(sizes, hidden, "identity", **{"seed": 0, **arguments})
            before = net.parameters.copy()
            X, Y = draw(3, 1, 40)
            try:
                net.fit(**{"X": X, "Y": Y, "epochs": 8, "checkpoint": path, **given})
            finally:
                unchanged.append((net.parameters == before).all())

        unchanged = []
        fit()
        written = path.read_bytes()
        with pytest.raises(ValueError, match="holds another run") as caught:
            fit(**changed)
        assert message in str(caught.value)
        assert unchanged == [False, True]
        assert path.read_bytes() == written

    def test_a_model_that_no_run_wrote_is_kept(self, path):
        net = Net([3, 4, 1], seed=0)
        net.save(path)
        written = path.read_bytes()
        with pytest.raises(ValueError, match="is a model that no run wrote"):
            net.fit(*draw(3, 1), checkpoint=path)
        assert path.read_bytes() == written

    def test_another_file_is_kept(self, path):
        path.write_text("my thesis")
        with pytest.raises(ModelFormatError, match="not a safetensors file"):
            Net([3, 4, 1], seed=0).fit(*draw(3, 1), checkpoint=path)
        assert path.read_text() == "my thesis"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("id", 3),
            ("identity", "me"),
            ("first_epoch", -1),
            ("epochs", 7),
            ("epochs", "8"),
            ("seconds", -1.0),
            ("seconds", "long"),
            ("stopped", "tired"),
            ("validated", True),
            ("metrics", ["a"]),
            ("metrics", 3),
        ],
    )
    def test_hostile_descriptions(self, path, key, value):
        start("tiny", path, epochs=8)
        tensors, metadata = read(path)
        metadata["chainrule"] = without_checksum(metadata["chainrule"])
        run = json.loads(metadata["chainrule.run"])
        for changed in (run | {key: value}, {name: run[name] for name in run if name != key}, [], 3):
            metadata["chainrule.run"] = json.dumps(changed)
            path.write_bytes(safetensors.numpy.save(tensors, metadata))
            with pytest.raises(ModelFormatError, match=r"run\.safetensors"):
                start("tiny", path, epochs=8)

    def test_hostile_tensors(self, path):
        with pytest.raises(Break):
            start("early_stopping", path, callback=raise_break_at_5)
        tensors, metadata = read(path)
        metadata["chainrule"] = without_checksum(metadata["chainrule"])
        for name in ("run.best", "run.history", "weights.1"):
            for wrong in (tensors[name][..., :-1].copy(), tensors[name].astype(np.int32)):
                path.write_bytes(safetensors.numpy.save(tensors | {name: wrong}, metadata))
                with pytest.raises(ModelFormatError, match=name.replace(".", r"\.")):
                    start("early_stopping", path)

    def test_arguments(self, tmp_path):
        X, Y = draw(3, 1)
        with pytest.raises(TypeError, match=r"checkpoint needs a chainrule\.Net"):
            reference.Net([3, 4, 1], seed=0).fit(X, Y, checkpoint=tmp_path / "run")
        net = Net([3, 4, 1], seed=0)
        with pytest.raises(ValueError, match="every=5 is for checkpoint"):
            net.fit(X, Y, every=5)
        with pytest.raises(ValueError, match="every must be at least 1"):
            net.fit(X, Y, checkpoint=tmp_path / "run", every=0)
        with pytest.raises(OSError, match="missing"):
            net.fit(X, Y, checkpoint=tmp_path / "missing" / "run")
        with pytest.raises(OSError, match=str(tmp_path)):
            net.fit(X, Y, checkpoint=tmp_path)
        assert net.epochs_trained == 0
        assert os.listdir(tmp_path) == []


class TestTheFile:
    def test_is_that_of_a_net(self, path):
        with pytest.raises(Break):
            start("early_stopping", path, callback=raise_break_at_5)
        net, X, Y, options = early_stopping()
        net.fit(X, Y, **options | {"epochs": 4, "patience": None, "schedule": Cosine(60)})
        loaded = Net.load(path)
        np.testing.assert_array_equal(loaded.parameters, net.parameters)
        tensors = safetensors.numpy.load_file(path)
        assert tensors["run.history"].shape == (3, 4)
        assert tensors["run.best"].shape == net.parameters.shape
        assert set(read_metadata(path)) == {"chainrule", "chainrule.run"}

    def test_saved_as_a_net_it_is_no_run_any_more(self, path):
        start("tiny", path)
        Net.load(path).save(path)
        assert set(read_metadata(path)) == {"chainrule"}


class TestChangedSince:
    """What was trained after a run is not thrown away for what its file has."""

    def run(self, net, path):
        return net.fit(*draw(3, 1), epochs=3, checkpoint=path)

    @pytest.mark.parametrize("loaded", [False, True])
    @pytest.mark.parametrize(
        "change",
        [
            lambda net: net.fit(*draw(3, 1), epochs=2),
            lambda net: net.step(*draw(3, 1), "adam"),
            lambda net: net.freeze(0),
            lambda net: net.parameters.fill(0.5),
        ],
        ids=["fit", "step", "freeze", "parameters"],
    )
    def test_it_is_refused(self, path, change, loaded):
        net = Net([3, 4, 1], output="identity", seed=0)
        history = self.run(net, path)
        net = Net.load(path) if loaded else net
        np.testing.assert_array_equal(self.run(net, path).loss, history.loss)
        change(net)
        before, frozen, epochs = net.parameters.copy(), net.frozen, net.epochs_trained
        with pytest.raises(ValueError, match="is of a run of this net, which has been trained or changed since"):
            self.run(net, path)
        np.testing.assert_array_equal(net.parameters, before)
        assert (net.frozen, net.epochs_trained) == (frozen, epochs)
        np.testing.assert_array_equal(self.run(Net.load(path), path).loss, history.loss)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, net, run: tensors.pop("weights.0"),
        lambda tensors, net, run: tensors.update({"run.best": np.zeros(2)}),
        lambda tensors, net, run: net.update(epochs_trained=2**64),
        lambda tensors, net, run: net.update(epochs_trained=1),
        lambda tensors, net, run: run.update(first_epoch=1),
        lambda tensors, net, run: net["optimizer"].update(steps=2**64),
        lambda tensors, net, run: net.update(epoch_in_progress=["a", 0.0, 1.0, 50, 8, True]),
        lambda tensors, net, run: net.update(epoch_in_progress=[8, float("nan"), 1.0, 50, 8, True]),
        lambda tensors, net, run: net.update(epoch_in_progress=[8, 0.0, "a", 50, 8, True]),
        lambda tensors, net, run: net.update(epoch_in_progress=[8, 0.0, 1.0, 50, 8, 1]),
        lambda tensors, net, run: net.update(frozen=[7]),
    ],
    ids=[
        "tensor",
        "best",
        "epochs",
        "more epochs",
        "first epoch",
        "steps",
        "rows done",
        "loss",
        "weight",
        "shuffled",
        "frozen",
    ],
)
def test_a_file_that_is_refused_leaves_the_net_as_it_was(path, seed, damage):
    X, Y = draw(3, 1)
    Net([3, 4, 1], output="identity", seed=seed).fit(X, Y, epochs=2, checkpoint=path)
    tensors, metadata = read(path)
    net_entry, run = json.loads(without_checksum(metadata["chainrule"])), json.loads(metadata["chainrule.run"])
    run["stopped"] = None
    damage(tensors, net_entry, run)
    texts = {"chainrule": json.dumps(net_entry), "chainrule.run": json.dumps(run)}
    path.write_bytes(safetensors.numpy.save(tensors, metadata=texts))
    net = Net([3, 4, 1], output="identity", seed=seed)
    before, drawn = net.parameters.copy(), net.seed
    with pytest.raises(ModelFormatError, match=r"not a model of chainrule: (?!.*incompatible function)"):
        net.fit(X, Y, epochs=2, checkpoint=path)
    np.testing.assert_array_equal(net.parameters, before)
    assert (net.seed, net.frozen, net.epochs_trained) == (drawn, (), 0)


@pytest.mark.parametrize("number", [-np.inf, np.inf])
def test_a_monitored_measure_that_is_not_finite_makes_no_file_that_nobody_reads(path, number):
    X, Y = draw(3, 1)

    def fit():
        measures = iter([1.0, number, 3.0, 3.0, 3.0, 3.0])
        net = Net([3, 4, 1], output="identity", seed=0)
        options = {"metrics": {"log": lambda y, yhat: next(measures)}, "monitor": "log", "schedule": "plateau"}
        return net.fit(X, Y, epochs=6, checkpoint=path, **options)

    history = fit()
    Net.load(path)
    np.testing.assert_array_equal(fit().loss, history.loss)


def test_a_clock_that_goes_back_makes_no_file_that_nobody_reads(path, monkeypatch):
    clock = iter(range(10**6, 0, -1))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    history = Net([3, 4, 1], seed=0).fit(*draw(3, 1), epochs=3, checkpoint=path)
    assert history.seconds == 0
    Net.load(path)


class Halving(EpochSchedule):
    def multiplier(self, epoch):
        return 0.5**epoch


def test_a_run_with_a_schedule_of_ones_own_goes_on(path):
    def run(**options):
        net = Net([3, 4, 1], output="identity", seed=0)
        return net.fit(*draw(3, 1), epochs=4, schedule=Halving(), checkpoint=path, **options), net

    with pytest.raises(KeyboardInterrupt):
        run(callback=interrupt)
    history, net = run()
    path.unlink()
    expected, whole = run()
    np.testing.assert_array_equal(history.loss, expected.loss)
    np.testing.assert_array_equal(net.parameters, whole.parameters)


def interrupt(state):
    raise KeyboardInterrupt
