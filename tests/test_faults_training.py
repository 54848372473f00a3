"""The list of 32 faults, rows 14, 15, 26 to 28 and 30: what may happen while a net is trained."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from apart import run_apart
from chainrule import SGD, DivergenceError, Net, Quantile, reference
from helpers import draw, small_net

NETS = {"core": Net, "reference": reference.Net}


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "stopping", [{}, {"tol": 1e-3}, {"patience": 99}, {"patience": 99, "validation": 0.5}], ids=str
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fault_14_divergence_is_an_error_that_keeps_the_last_finite_parameters(kind, dtype, stopping):
    net = NETS[kind]([3, 4, 2], output="identity", dtype=dtype, seed=2)
    X, Y, _ = draw(net, 50)
    net.weights[-1][...] *= 1000
    with pytest.raises(DivergenceError) as caught:
        net.fit(X, Y, epochs=1000, batch_size=8, optimizer=SGD(lr=1e6), **stopping)
    assert isinstance(caught.value, FloatingPointError)
    assert isinstance(caught.value, ValueError)
    assert np.isfinite(net.parameters).all()
    assert np.isfinite(net.predict(X)).all()
    assert net.history.stopped == "diverged"


def test_fault_14_the_parameters_kept_are_those_before_the_step_that_diverged():
    net = Net([1, 1], hidden=[], output="identity", bias=False, init="zeros")
    X = np.array([[1.0], [1.0], [1e25]], np.float32)
    with pytest.raises(DivergenceError, match="epoch 1, batch 3"):
        net.fit(X, np.ones((3, 1)), batch_size=1, shuffle=False, optimizer=SGD(lr=0.5))
    assert net.parameters == 0.75


@pytest.mark.parametrize("early_stopping", [False, True])
def test_fault_14_an_estimator_that_diverges_raises_or_goes_back_to_its_best_epoch(early_stopping):
    """Where early stopping has a finite epoch to go back to, scikit-learn's own tests want no error: it warns."""
    estimators = pytest.importorskip("chainrule.estimators", exc_type=ImportError)
    X, Y, _ = draw(small_net(), 80)
    settings = {"activation": "identity", "solver": "sgd", "early_stopping": early_stopping, "random_state": 0}
    # Both diverge, the first in its first epoch.
    for rate in (1e30, 1e6):
        model = estimators.MLPRegressor(learning_rate_init=rate, **settings)
        if early_stopping and rate == 1e6:
            with pytest.warns(UserWarning, match="diverged in epoch 2.* the parameters are those of the best epoch"):
                model.fit(1e3 * X, Y)
            assert np.isnan(model.validation_scores_[-1])
        else:
            with pytest.raises(DivergenceError, match="Solver produced non-finite"):
                model.fit(1e3 * X, Y)
        assert np.isfinite(model.net_.parameters).all()


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("logit", [1000.0, -1000.0])
def test_fault_15_logits_of_a_thousand_give_finite_losses_and_probabilities(kind, dtype, logit):
    X = np.ones((1, 1))
    binary = NETS[kind]([1, 1], hidden=[], loss="log_loss", bias=False, dtype=dtype)
    binary.parameters[:] = logit
    right = float(logit > 0)
    assert binary.predict(X) == right
    assert [binary.loss(X, [y]) for y in (right, 1 - right)] == [0, 1000]
    assert binary.step(X, [1 - right], SGD(lr=1.0)) == 1000
    classes = NETS[kind]([1, 3], hidden=[], output="softmax", loss="cross_entropy", bias=False, dtype=dtype)
    classes.parameters[:] = [logit, 0, -logit]
    right = 0 if logit > 0 else 2
    np.testing.assert_array_equal(classes.predict(X), np.eye(3)[[right]])
    assert [classes.loss(X, [y]) for y in (right, 1, 2 - right)] == [0, 1000, 2000]
    assert classes.step(X, [2 - right], SGD(lr=1.0)) == 2000
    assert np.isfinite(classes.parameters).all()


def handled_signals():
    """The signals that the process handles, as the system sees them."""
    with open("/proc/self/status") as status:
        return next(line for line in status if line.startswith("SigCgt"))


def check_interrupts(sizes, rows):
    if sys.platform == "linux":
        before = handled_signals()
    net = Net(sizes, seed=0)
    untouched = Net(sizes, seed=0)
    X, Y, _ = draw(net, rows)
    net.fit(X, Y, epochs=1)
    pressed, delays = [], []

    def press():
        time.sleep(0.2)
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    for _ in range(5):
        presser = threading.Thread(target=press)
        presser.start()
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, Y, epochs=10**9)
        delays.append(time.perf_counter() - pressed[-1])
        presser.join()
        assert net.history.stopped == "interrupted"
        assert np.isfinite(net.parameters).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if sys.platform == "linux":
        assert handled_signals() == before
    # The epoch that was left is taken up, and the net is that of a fit without a break.
    net.fit(X, Y, epochs=1)
    untouched.fit(X, Y, epochs=net.epochs_trained)
    np.testing.assert_array_equal(net.parameters, untouched.parameters)
    # The best of five: the machine may have something else to do.
    assert min(delays) < 0.1, delays


@pytest.mark.parametrize(
    ("sizes", "rows"), [([3, 4, 1], 10_000), ([20, 30, 1], 20_000), ([300, 300, 300], 5000)], ids=str
)
def test_fault_26_ctrl_c_ends_a_fit_and_nothing_is_lost(sizes, rows):
    run_apart(check_interrupts, sizes, rows)


def check_divergence_in_workers():
    net = Net([300, 300, 300], output="identity", seed=0, threads=2)
    X, Y, _ = draw(net, 512)
    net.weights[1][...] *= 1e20
    for train in (lambda: net.step(X, Y, SGD(lr=1e30)), lambda: net.fit(X, Y, batch_size=None, optimizer=SGD(lr=1e30))):
        with pytest.raises(DivergenceError):
            train()
        assert np.isfinite(net.parameters).all()


def check_refused_threads():
    """The system gives no thread: a stack of 2^50 bytes is more than can be addressed."""
    import ctypes

    libc, attributes = ctypes.CDLL(None), ctypes.create_string_buffer(256)
    net = Net([300, 300, 300], seed=0, threads=2)
    X, Y, _ = draw(net, 512)
    assert libc.pthread_attr_init(attributes) == 0
    assert libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(2**50)) == 0
    assert libc.pthread_setattr_default_np(attributes) == 0
    net.fit(X, Y, epochs=2, batch_size=None)
    alone = Net([300, 300, 300], seed=0, threads=1)
    alone.fit(X, Y, epochs=2, batch_size=None)
    np.testing.assert_array_equal(net.parameters, alone.parameters)


def check_memory_that_runs_out():
    import resource

    net = Net([2000, 2000, 2000], seed=0, threads=2)
    X, Y, _ = draw(net, 3000)
    expected = net.predict(X[:5])
    before = net.parameters.copy()
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**21, resource.RLIM_INFINITY))
    for call in (lambda: net.forward(X), lambda: net.fit(X, Y, epochs=1), lambda: net.jacobian(X)):
        with pytest.raises(MemoryError):
            call()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    np.testing.assert_array_equal(net.parameters, before)
    np.testing.assert_array_equal(net.predict(X[:5]), expected)
    net.fit(X[:50], Y[:50], epochs=1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of memory and threads that Linux enforces")
@pytest.mark.parametrize(
    "check", [check_divergence_in_workers, check_refused_threads, check_memory_that_runs_out], ids=lambda c: c.__name__
)
def test_fault_27_errors_in_work_for_several_threads_are_python_exceptions(check):
    run_apart(check, OMP_NUM_THREADS="")


class Fault(BaseException):
    """Nothing that anyone would catch by chance."""


def raising(error):
    def function(*_, **__):
        raise error

    return function


CALLBACKS = {
    "callback": lambda f: {"callback": f},
    "metric": lambda f: {"metrics": {"mine": f}},
    "schedule": lambda f: {"schedule": f},
}


@pytest.mark.parametrize("error", [Fault("mine"), ZeroDivisionError("mine"), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("where", CALLBACKS)
@pytest.mark.parametrize("kind", NETS)
def test_fault_28_what_a_callback_raises_comes_out_of_the_fit(kind, where, error):
    net = NETS[kind]([3, 4, 1], seed=0)
    X, Y, _ = draw(net, 20)
    with pytest.raises(type(error)) as caught:
        net.fit(X, Y, epochs=3, **CALLBACKS[where](raising(error)))
    assert caught.value is error
    assert net.epochs_trained == net.history.epochs == (where != "schedule")
    assert net.fit(X, Y, epochs=1).stopped == "epochs"


@pytest.mark.parametrize("error", [Fault("mine"), KeyError("mine")], ids=repr)
def test_fault_28_what_other_functions_of_the_user_raise_comes_out_too(net, X, Y, error):
    class Broken:
        __array__ = raising(error)

    calls = [
        lambda: Net([2, 1], init=raising(error)),
        lambda: net.predict(Broken()),
        lambda: net.fit(X, Y, sample_weight=Broken()),
    ]
    for call in calls:
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error
    assert net.fit(X, Y, epochs=1).stopped == "epochs"


def test_fault_28_what_a_callback_of_an_estimator_raises_comes_out_of_the_fit():
    estimators = pytest.importorskip("chainrule.estimators", exc_type=ImportError)
    X, Y, _ = draw(small_net(), 20)
    for solver in ("adam", "lbfgs"):
        error = Fault("mine")
        with pytest.raises(Fault) as caught:
            estimators.MLPRegressor(callback=raising(error), solver=solver).fit(X, Y)
        assert caught.value is error


def check_handler_that_raises():
    """The handler of a signal is a callback too."""
    net, error = Net([30, 40, 1], seed=0), Fault("mine")
    X, Y, _ = draw(net, 5000)
    signal.signal(signal.SIGUSR1, raising(error))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    with pytest.raises(Fault) as caught:
        net.fit(X, Y, epochs=10**9)
    assert caught.value is error
    assert np.isfinite(net.parameters).all()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_fault_28_what_a_signal_handler_raises_comes_out_of_the_fit():
    run_apart(check_handler_that_raises)


def in_threads(*functions):
    """Run functions side by side; return what they raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def check_side_by_side(threads):
    """Eight threads predict on one net, also while it is trained by steps too short to change it: right, or busy."""
    net = Net([30, 300, 5], loss=Quantile(0.5), output="identity", seed=0, threads=threads)
    X, Y, _ = draw(net, 2000)
    expected, loss = net.predict(X), net.loss(X, Y)
    outcomes = {"right": 0, "busy": 0}

    def predict(times, may_be_busy, first):
        for number in range(times):
            part = slice(first, None) if number % 2 else slice(first, first + 3)
            try:
                np.testing.assert_array_equal(net.predict(X[part]), expected[part])
                assert net.loss(X, Y) == loss
                outcomes["right"] += 1
            except RuntimeError as error:
                if not may_be_busy or "the net is busy" not in str(error):
                    raise
                outcomes["busy"] += 1

    def fit():
        # The callback lets others in between epochs.
        net.fit(X, Y, epochs=20, optimizer=SGD(lr=1e-30), callback=lambda state: time.sleep(0.005))

    predicting = [lambda i=i: predict(10, False, i) for i in range(8)]
    assert in_threads(*predicting) == []
    assert outcomes == {"right": 80, "busy": 0}
    assert in_threads(fit, *(lambda i=i: predict(100, True, i) for i in range(8))) == []
    assert outcomes["right"] > 80
    assert outcomes["busy"] > 0
    assert net.history.stopped == "epochs"
    np.testing.assert_array_equal(net.predict(X), expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_fault_30_predictions_side_by_side_are_right_and_beside_a_fit_right_or_busy(threads):
    run_apart(check_side_by_side, threads, OMP_NUM_THREADS="")
