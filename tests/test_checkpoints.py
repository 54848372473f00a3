"""`fit(checkpoint=...)`: a run that was ended at any moment and started again is, bit for bit, one without a break."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
import safetensors.numpy

from chainrule import SGD, Adam, DivergenceError, ModelFormatError, Net, reference
from chainrule.files import read, read_metadata
from chainrule.schedules import Cosine, ReduceOnPlateau
from helpers import name_of, run_python

#: How often each run is killed, or interrupted.
KILLS = os.environ.get("CHAINRULE_KILLS", "8")

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals of POSIX")


def draw(features, outputs, rows=300):
    numbers = np.random.default_rng(7)
    X = numbers.standard_normal((rows, features))
    return X, np.tanh(X @ numbers.standard_normal((features, outputs))) + 0.1 * numbers.standard_normal((rows, outputs))


def largest_error(Y, predictions):
    return np.abs(Y - predictions).max()


def lower(epoch, lr):
    return 0.9 * lr


def early_stopping():
    net = Net([8, 16, 1], "silu", "identity", dropout=0.2, input_noise=0.1, seed=1)
    options = {"epochs": 60, "optimizer": Adam(lr=0.01), "schedule": "cosine"}
    return net, *draw(8, 1), options | {"validation": 0.2, "patience": 8, "tol": 1e-4}


def plateau():
    net = Net([8, 16, 2], "tanh", "identity", dtype="float64", seed=2)
    schedule = ReduceOnPlateau(factor=0.5, patience=0, tol=0.1)
    return net, *draw(8, 2), {"epochs": 30, "optimizer": SGD(lr=0.05, momentum=0.9), "schedule": schedule, "every": 4}


def metric():
    net = Net([8, 16, 1], "relu", "identity", seed=3)
    options = {"metrics": [largest_error], "monitor": "largest_error", "schedule": lower, "optimizer": Adam(lr=0.02)}
    return net, *draw(8, 1), {"epochs": 40, "validation": draw(8, 1, 50), "patience": 8, "every": 3, **options}


def tiny():
    net = Net([3, 4, 1], "tanh", "identity", seed=4)
    return net, *draw(3, 1, 40), {"epochs": 200, "optimizer": "sgd", "batch_size": 4, "tol": 1e-6, "every": 7}


def loss_patience():
    net = Net([3, 4, 1], "tanh", "identity", seed=5)
    return net, *draw(3, 1, 40), {"epochs": 200, "optimizer": "rmsprop", "batch_size": 4, "patience": 4, "every": 5}


def wide():
    net = Net([30, 512, 512, 2], "relu", "identity", seed=6)
    return net, *draw(30, 2), {"epochs": 12, "schedule": "cosine", "every": 2, "sample_weight": np.linspace(0, 1, 300)}


CASES = {case.__name__: case for case in (early_stopping, plateau, metric, tiny, loss_patience, wide)}


def start(case, path=None, **more):
    """Run a case from the top, as a program that is started does."""
    net, X, Y, options = CASES[case]()
    every = options.pop("every", 1)
    kept = {} if path is None else {"checkpoint": path, "every": every}
    return net, net.fit(X, Y, **options | kept | more)


def result(net, history):
    """All that a run leaves, as arrays."""
    rule, steps, slots = net._core.read_optimizer_state()
    numbers = [history.loss, history.validation_loss, history.learning_rate, *history.metrics.values()]
    predictions = net.predict(CASES_X[net.config.features])
    return [net.parameters, predictions, *slots, *numbers], (rule, steps, net.epochs_trained, history.stopped)


CASES_X = {features: draw(features, 1)[0] for features in (3, 8, 30)}


def differing(run, expected):
    """What is not the same, to the last bit."""
    arrays, values = result(*run)
    others, expected_values = result(*expected)
    pairs = zip(arrays, others, strict=True)
    unequal = [
        i for i, (a, b) in enumerate(pairs) if (None if a is None else a.tobytes()) != (b if b is None else b.tobytes())
    ]
    return unequal + [(a, b) for a, b in zip(values, expected_values, strict=True) if a != b]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


@pytest.fixture(params=CASES)
def case(request):
    return request.param


class Break(Exception):
    """Ends a fit as a kill would: nothing more is written."""


class TestRuns:
    def test_a_checkpoint_changes_nothing(self, path, case):
        run, expected = start(case, path), start(case)
        assert not differing(run, expected)
        assert expected[1].epochs > 5
        assert os.listdir(path.parent) == [path.name]

    def test_a_run_that_is_over_is_not_run_again(self, path, case):
        expected = start(case, path)
        before = path.read_bytes()
        net, history = start(case, path, callback=lambda state: pytest.fail("trained again"))
        assert not differing((net, history), expected)
        assert history is net.history
        assert 0 < history.seconds <= expected[1].seconds
        assert path.read_bytes() == before

    @pytest.mark.parametrize("every", [1, 3])
    def test_ended_after_any_epoch(self, path, case, every):
        def end(state):
            if state.epoch == last:
                raise Break

        # Functions that look on take turns with blocks of epochs, which nobody sees; both have the same bits.
        expected, last = start(case), 1
        while last < min(expected[1].epochs, 45):
            with pytest.raises(Break):
                start(case, path, callback=end, every=every)
            last += 4
        assert not differing(start(case, path), expected)

    def test_the_best_epoch_before_a_break_is_put_back(self, path):
        epochs = []

        def end(state):
            if state.epoch == np.argmin(expected[1].validation_loss) + 3:
                epochs.append(state.epoch)
                raise Break

        expected = start("early_stopping")
        assert expected[1].stopped == "patience"
        with pytest.raises(Break):
            start("early_stopping", path, callback=end)
        assert not differing(start("early_stopping", path), expected)
        assert len(epochs) == 1

    def test_convergence_is_seen_across_a_break(self, path):
        def end(state):
            if state.epoch == stop:
                raise Break

        losses = start("tiny", tol=0.0)[1].loss
        tol = abs(losses[9] - losses[8])
        expected = start("tiny", tol=tol)
        stop = expected[1].epochs
        assert expected[1].stopped == "converged"
        assert 1 < stop <= 10
        with pytest.raises(Break):
            start("tiny", path, tol=tol, every=stop - 1, callback=end)
        assert Net.load(path).epochs_trained == stop - 1
        assert not differing(start("tiny", path, tol=tol, every=1000), expected)

    def test_a_callback_that_stops_ends_the_run(self, path):
        expected = start("tiny", callback=lambda state: state.epoch == 9)
        assert not differing(start("tiny", path, callback=lambda state: state.epoch == 9), expected)
        assert not differing(start("tiny", path, callback=lambda state: False), expected)

    def test_time_limits_end_parts_of_a_run(self, path, case):
        expected, parts = start(case), 0
        while True:
            run = start(case, path, time_limit=expected[1].seconds / 4)
            if run[1].stopped != "time":
                break
            parts += 1
            assert parts < 1000
        assert parts > 0
        assert not differing(run, expected)

    def test_what_cannot_change_the_result_may_change(self, path):
        with pytest.raises(Break):
            start("wide", path, callback=raise_break)
        net, X, Y, options = wide()
        net = Net([30, 512, 512, 2], "relu", "identity", seed=6, threads=1)
        options |= {"every": 5, "time_limit": 1e6}
        history = net.fit(np.asfortranarray(X), Y, checkpoint=str(path), callback=lambda state: None, **options)
        assert not differing((net, history), start("wide"))

    def test_a_seed_that_was_drawn_is_that_of_the_file(self, path):
        X, Y = draw(3, 1)
        nets = [Net([3, 4, 1]), Net([3, 4, 1])]
        with pytest.raises(Break):
            nets[0].fit(X, Y, epochs=3, checkpoint=path, callback=raise_break)
        history = nets[1].fit(X, Y, epochs=3, validation=None, checkpoint=path)
        assert nets[1].seed == nets[0].seed
        whole = Net([3, 4, 1], seed=nets[0].seed)
        assert not differing((nets[1], history), (whole, whole.fit(X, Y, epochs=3)))
        assert nets[1].weights[0].base is nets[1].parameters.base or nets[1].parameters.size  # views are of the new net
        nets[1].parameters[:] = 0
        assert not nets[1].weights[0].any()

    def test_two_runs_of_one_net(self, tmp_path):
        def program():
            net, X, Y, options = plateau()
            del options["every"]
            net.fit(X, Y, checkpoint=tmp_path / "one", **options)
            return net, net.fit(X[::2], Y[::2], checkpoint=tmp_path / "two", callback=end, **options)

        def end(state):
            if state.epoch == last:
                raise Break

        last = 5
        with pytest.raises(Break):
            program()
        last = None
        net, X, Y, options = plateau()
        del options["every"]
        net.fit(X, Y, **options)
        assert not differing(program(), (net, net.fit(X[::2], Y[::2], **options)))

    @pytest.mark.parametrize("again", ["the same net", "the net of the file"])
    def test_going_on_without_starting_anew(self, path, again):
        net, X, Y, options = early_stopping()
        with pytest.raises(Break):
            net.fit(X, Y, checkpoint=path, every=2, callback=raise_break_at_5, **options)
        net = net if again == "the same net" else Net.load(path)
        assert net.epochs_trained == (5 if again == "the same net" else 4)
        history = net.fit(X, Y, checkpoint=path, **options)
        assert not differing((net, history), start("early_stopping"))

    def test_epochs_are_counted_from_the_beginning_of_the_run(self, path):
        seen = []
        with pytest.raises(Break):
            start("tiny", path, callback=raise_break_at_5, every=2)
        with pytest.raises(Break):
            start("tiny", path, callback=lambda state: seen.append(state.epoch) or raise_break(state), every=2)
        assert seen == [5]
        X, Y = draw(3, 1, 40)
        net = Net([3, 4, 1], "tanh", "identity", "squared_error", seed=0)
        options = {"optimizer": SGD(lr=0.01), "schedule": lambda epoch, lr: 1e12 if epoch == 6 else 0.01}
        with pytest.raises(Break):
            net.fit(X, Y, checkpoint=path.with_name("other"), callback=raise_break_at_5, **options)
        with pytest.raises(DivergenceError, match="diverged in epoch [78],") as caught:
            net.fit(X, Y, checkpoint=path.with_name("other"), **options)
        assert caught.value.epoch in (7, 8)
        assert net.history.epochs == caught.value.epoch - 1

    def test_no_epochs(self, path):
        net = Net([3, 4, 1], seed=0)
        for _ in range(2):
            history = net.fit(*draw(3, 1), epochs=0, checkpoint=path)
            assert (history.epochs, history.stopped, len(history.loss)) == (0, "epochs", 0)


def raise_break(state):
    raise Break


def raise_break_at_5(state):
    if state.epoch == 5:
        raise Break


class TestOtherRuns:
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


def in_a_fork(work):
    """Begin `work` in a fork of this process, which exits with 0 if it returns a false value; return the fork's id."""
    child = os.fork()
    if child == 0:
        status = 4
        try:
            status = 3 if work() else 0
        finally:
            os._exit(status)
    return child


def kill_runs(case, path, kills):
    """Kill runs at random moments, until there were so many, and start them again; every end must be the right one."""
    began = time.perf_counter()
    expected = start(case, f"{path}.first")
    seconds = time.perf_counter() - began
    os.unlink(f"{path}.first")
    moments, killed, ends = random.Random(f"{case} {kills}"), 0, 0
    while killed < int(kills) or ends == 0:
        child = in_a_fork(lambda: differing(start(case, path), expected))
        if killed < int(kills):
            time.sleep(moments.uniform(0, 0.5 * seconds))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
            continue
        assert os.WEXITSTATUS(status) == 0, f"a run that was killed ended with {status}, after {killed} kills"
        ends += 1
        assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
        os.unlink(path)
    print(killed, ends)


def interrupt_runs(case, path, interrupts):
    """The same with Ctrl-C, in one process: the net of an interrupted run is as good as a new one."""
    expected = start(case)
    moments, done = random.Random(f"{case} {interrupts}"), 0
    net, X, Y, options = CASES[case]()
    while done < int(interrupts):
        timer = threading.Timer(moments.uniform(0, expected[1].seconds), os.kill, (os.getpid(), signal.SIGINT))
        try:
            try:
                timer.start()
                history = net.fit(X, Y, checkpoint=path, **options)
            finally:
                timer.cancel()
                timer.join()
        except KeyboardInterrupt:
            done += 1
            net = CASES[case]()[0] if done % 2 else net
            continue
        assert not differing((net, history), expected)
        os.unlink(path)
        net = CASES[case]()[0]
    net = CASES[case]()[0]
    assert not differing((net, net.fit(X, Y, checkpoint=path, **options)), expected)
    print(done)


def die_at(function, call, case, path):
    """Die of SIGKILL where `function` of the system is called for that time, before it or after it."""
    expected = start(case)
    before, original = call.startswith("before"), getattr(os, function)
    for number in range(1, 5):
        calls = itertools.count(1)

        def die(*arguments, calls=calls, number=number):
            is_the_one = next(calls) == number
            if is_the_one and before:
                os.kill(os.getpid(), signal.SIGKILL)
            original(*arguments)
            if is_the_one:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(die=die):
            setattr(os, function, die)
            return start(case, path, every=1)

        _, status = os.waitpid(in_a_fork(work), 0)
        assert os.WIFSIGNALED(status), "the run ended before it could be killed"
    assert not differing(start(case, path), expected)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


@needs_posix
class TestKills:
    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "runs").mkdir()
        return tmp_path / "runs" / "run.safetensors"

    def test_at_random_moments(self, case, path):
        script = "import sys; from test_checkpoints import kill_runs; kill_runs(*sys.argv[1:])"
        killed, ends = map(int, run_python(script, case, path, KILLS, timeout=3000).stdout.split())
        assert killed == int(KILLS)
        assert ends >= 1

    @pytest.mark.parametrize("case", ["early_stopping", "wide"])
    @pytest.mark.parametrize("function", ["fsync", "replace"])
    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_within_a_write(self, case, path, function, moment):
        script = "import sys; from test_checkpoints import die_at; die_at(*sys.argv[1:])"
        run_python(script, function, moment, case, path)

    @pytest.mark.parametrize("case", ["early_stopping", "plateau", "tiny", "wide"])
    def test_ctrl_c_at_random_moments(self, case, path):
        script = "import sys; from test_checkpoints import interrupt_runs; interrupt_runs(*sys.argv[1:])"
        assert run_python(script, case, path, KILLS, timeout=3000).stdout.split() == [KILLS]

    def test_ctrl_c_loses_no_minibatch(self, path):
        script = """
import os, signal, sys, threading, time
import numpy as np
from chainrule import Net
X, Y = np.ones((500_000, 8)), np.ones((500_000, 1))
net = Net([8, 4, 1], seed=0)

def press():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    net.fit(X, Y, epochs=10**6, batch_size=1, checkpoint=sys.argv[1], every=1000)
except KeyboardInterrupt:
    pass
loaded = Net.load(sys.argv[1])
assert loaded._core.epoch_in_progress == net._core.epoch_in_progress != None
assert (loaded.parameters == net.parameters).all()
"""
        run_python(script, path)


@needs_posix
class TestFullDisk:
    SCRIPT = """
import os, resource, sys
import numpy as np
from chainrule import Net

path = sys.argv[1]
random = np.random.default_rng(0)
X, Y = random.standard_normal((40, 3)), random.standard_normal((40, 1))

def fit(**options):
    net = Net([3, 4, 1], seed=0)
    return net, net.fit(X, Y, epochs=400, **options)

expected, history = fit()
net = Net([3, 4, 1], seed=0)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, most))
try:
    net.fit(X, Y, epochs=400, checkpoint=path, every=10)
    sys.exit("the disk was large enough")
except OSError as error:
    assert error.filename == path, error
    assert path in str(error) and "too large" in str(error), error
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

# The net is that of the epoch, and the file of the last that could be written.
epochs = net.epochs_trained
assert 10 < epochs < 400 and net.history.epochs == epochs
assert (net.history.loss == history.loss[:epochs]).all()
assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
assert Net.load(path).epochs_trained == epochs - 10
alike = Net([3, 4, 1], seed=0)
alike.fit(X, Y, epochs=epochs)
assert (alike.parameters == net.parameters).all()

net, again = fit(checkpoint=path, every=10)
assert (net.parameters == expected.parameters).all() and (again.loss == history.loss).all()
"""

    def test_raises_and_loses_nothing(self, tmp_path):
        (tmp_path / "runs").mkdir()
        run_python(self.SCRIPT, tmp_path / "runs" / "run.safetensors")
