"""Schedules against values worked out by hand, against PyTorch's, and over fits that go on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from chainrule.optimizers import OPTIMIZERS, SGD, Adam, RMSprop, Rprop
from chainrule.rates import read_schedule_state, start_rates
from chainrule.reference import Net
from chainrule.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    ReduceOnPlateau,
    Schedule,
    Step,
    read_schedule,
)
from helpers import name_of


def halve(epoch, lr):
    return lr / 2 if epoch else lr


def start(schedule, lr=1.0, epochs=20, first_epoch=0, state=None):
    return start_rates(schedule, SGD(lr=lr), epochs, first_epoch, state)


def follow(rates, losses, first_epoch=0):
    """The rates of epochs that end with these losses."""
    followed = []
    for epoch, loss in enumerate(losses, first_epoch):
        followed.extend(rates.rates(epoch))
        rates.observe(loss)
    return followed


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (None, [1, 1, 1]),
        ("constant", [1, 1, 1]),
        ("step", [1] * 10 + [0.1] * 10 + [0.01]),
        (Step(every=2, factor=0.5), [1, 1, 0.5, 0.5, 0.25]),
        ("exponential", [1, 0.95, 0.9025]),
        (Exponential(factor=0.5), [1, 0.5, 0.25]),
        ("inverse_scaling", [1, 0.5**0.5, 3**-0.5, 0.5]),
        (InverseScaling(power=2), [1, 1 / 4, 1 / 9]),
        (Cosine(4), [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0, 0]),
        (Cosine(2, end=0.2), [1, 0.6, 0.2, 0.2]),
        (Cosine(5, warmup=3), [0.25, 0.5, 0.75, 1, 0.5, 0]),
        (Cosine(2, start=3), [1, 1, 1, 1, 0.5, 0]),
    ],
    ids=str,
)
def test_rates_by_hand(schedule, expected):
    rates = start(schedule, lr=3.0)
    np.testing.assert_allclose(rates.rates(0, len(expected)), 3 * np.array(expected), rtol=1e-15, atol=1e-15)
    assert not rates.looks_at_results
    assert rates.state is None


@pytest.mark.parametrize(
    ("schedule", "losses", "expected"),
    [
        # The third bad epoch in a row is one too many; then the count begins anew.
        (ReduceOnPlateau(patience=2), [5, 5, 6, 7, 5, 5, 5, 4, 4], [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        (ReduceOnPlateau(patience=0, factor=0.5), [5, 4, 4, 3, 3.5], [1, 1, 1, 0.5, 0.5]),
        # A fall by a tenth or less is none; falls that add up to more are one.
        (ReduceOnPlateau(patience=0, tol=0.1), [10, 9, 8.9, 8.8], [1, 1, 0.1, 0.1]),
        (ReduceOnPlateau(patience=0, tol=0.1), [-10, -10.5, -11.5], [1, 1, 0.1]),
        (ReduceOnPlateau(patience=0, least=0.05), [1, 1, 1, 1], [1, 1, 0.1, 0.05]),
        (ReduceOnPlateau(patience=0, least=7.0), [1, 1, 1, 1], [1, 1, 1, 1]),
        (ReduceOnPlateau(patience=0), [math.inf, 2, math.nan, 1], [1, 0.1, 0.1, 0.01]),
    ],
    ids=str,
)
def test_a_plateau_by_hand(schedule, losses, expected):
    rates = start(schedule)
    assert rates.looks_at_results
    np.testing.assert_allclose(follow(rates, losses), expected, rtol=1e-14)


def test_a_callable_sees_the_epoch_and_the_last_rate():
    seen = []

    def schedule(epoch, lr):
        seen.append((epoch, lr))
        return lr / 2

    assert follow(start(schedule, lr=8.0), [1, 1, 1]) == [4, 2, 1]
    assert seen == [(0, 8), (1, 4), (2, 2)]


def test_an_epoch_that_was_not_completed_leaves_no_trace():
    rates = start(lambda epoch, lr: lr / 2)
    assert rates.rates(0) == rates.rates(0) == 0.5
    assert rates.state["rate"] == 1


class TestPyTorch:
    @pytest.mark.parametrize(
        ("schedule", "twin", "constants"),
        [
            (Step(every=3, factor=0.5), "StepLR", {"step_size": 3, "gamma": 0.5}),
            (Exponential(factor=0.9), "ExponentialLR", {"gamma": 0.9}),
            (Cosine(12, end=0.25), "CosineAnnealingLR", {"T_max": 12, "eta_min": 0.5}),
        ],
        ids=str,
    )
    def test_schedules_agree(self, schedule, twin, constants):
        torch = pytest.importorskip("torch")
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
        scheduler = getattr(torch.optim.lr_scheduler, twin)(optimizer, **constants)
        expected = []
        for _ in range(13):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        np.testing.assert_allclose(start(schedule, lr=2.0).rates(0, 13), expected, rtol=1e-12)

    @pytest.mark.parametrize("patience", [0, 1, 3])
    def test_plateaus_agree(self, patience):
        torch = pytest.importorskip("torch")
        losses = np.random.default_rng(patience).random(60) + np.linspace(2, 0, 60)
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
        constants = {"factor": 0.5, "patience": patience, "threshold": 0.1, "min_lr": 0.01, "eps": 0.0}
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **constants)
        expected = []
        for loss in losses:
            expected.append(optimizer.param_groups[0]["lr"])
            scheduler.step(loss)
        assert len(set(expected)) > 3
        schedule = ReduceOnPlateau(factor=0.5, patience=patience, tol=0.1, least=0.01)
        np.testing.assert_allclose(follow(start(schedule, lr=2.0), losses), expected, rtol=1e-12)


# Fits that go on.


@pytest.mark.parametrize("schedule", [ReduceOnPlateau(factor=0.5, patience=1), halve], ids=["plateau", "callable"])
@pytest.mark.parametrize("cut", [1, 3, 4, 7])
def test_a_saved_state_goes_on(schedule, cut):
    losses = [3, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    whole = follow(start(schedule), losses)
    first = start(schedule)
    begun = follow(first, losses[:cut])
    state = read_schedule_state(json.loads(json.dumps(first.state)))
    assert state == first.state
    assert begun + follow(start(schedule, state=state), losses[cut:], first_epoch=cut) == whole


def test_another_kind_of_schedule_starts_afresh():
    plateau, called = start("plateau"), start(halve)
    follow(plateau, [1] * 15)
    follow(called, [1] * 3)
    assert start(halve, state=plateau.state).rates(0) == start("plateau", state=called.state).rates(0) == 1


def test_a_new_lr_of_the_optimizer_counts():
    plateau, called = start("plateau"), start(halve)
    follow(plateau, [1] * 12)
    follow(called, [1] * 3)
    assert start("plateau", lr=5.0, state=plateau.state).rates(12) == 0.5
    assert start(halve, lr=5.0, state=called.state).rates(3) == 2.5


FITTED_SCHEDULES = [
    None,
    Constant(),
    Step(every=3, factor=0.5),
    Exponential(),
    InverseScaling(),
    Cosine(15, warmup=4, end=0.1),
    ReduceOnPlateau(patience=0, factor=0.7, tol=0.05),
    halve,
]


def test_every_schedule_is_fitted():
    assert {type(schedule) for schedule in FITTED_SCHEDULES if isinstance(schedule, Schedule)} == set(
        SCHEDULES.values()
    )


def build():
    return Net([3, 5, 2], "tanh", "identity", dtype="float64", seed=7)


def problem():
    random = np.random.default_rng(5)
    return random.standard_normal((11, 3)), random.standard_normal((11, 2))


def fit(net, optimizer, schedule, epochs, **arguments):
    batch_size = None if optimizer.full_batch else 3
    return net.fit(
        *problem(), epochs=epochs, batch_size=batch_size, optimizer=optimizer, schedule=schedule, **arguments
    )


@pytest.mark.parametrize("schedule", FITTED_SCHEDULES, ids=name_of)
@pytest.mark.parametrize(
    "optimizer",
    [
        *(kind() for kind in OPTIMIZERS.values()),
        SGD(lr=0.1, momentum=0.9),
        SGD(lr=0.1, momentum=0.9, nesterov=True),
        RMSprop(momentum=0.5),
    ],
    ids=name_of,
)
def test_ten_and_ten_epochs_are_twenty(optimizer, schedule):
    if not (optimizer.has_rate or isinstance(schedule, Constant | None)):
        with pytest.raises(ValueError, match=r"schedule.*None.*rprop"):
            fit(build(), optimizer, schedule, 1)
        return
    once, twice = build(), build()
    whole = fit(once, optimizer, schedule, 20)
    halves = [fit(twice, optimizer, schedule, 10) for _ in range(2)]
    np.testing.assert_array_equal(twice.parameters, once.parameters)
    for name in ("loss", "learning_rate"):
        joined = np.concatenate([getattr(half, name) for half in halves])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_the_rate_of_each_epoch_is_that_of_its_steps():
    scheduled, stepped = build(), build()
    history = fit(scheduled, Adam(), Exponential(factor=0.5), 3)
    np.testing.assert_array_equal(history.learning_rate, [1e-3, 5e-4, 2.5e-4])
    for rate in history.learning_rate:
        fit(stepped, Adam(lr=rate), None, 1)
    np.testing.assert_array_equal(scheduled.parameters, stepped.parameters)


def test_a_rate_of_zero_changes_nothing():
    net = build()
    before = net.parameters.copy()
    fit(net, SGD(), lambda epoch, lr: 0.0, 2)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("validated", [True, False])
def test_a_plateau_watches_the_validation_loss_where_there_is_one(validated):
    """All targets of the validation set are far off and the net learns others, so its loss rises."""
    net = build()
    X, Y = problem()
    validation = (X, 10 - 20 * Y) if validated else None
    schedule = ReduceOnPlateau(patience=0, tol=0)
    history = fit(net, SGD(lr=0.05), schedule, 5, validation=validation)
    monitored = history.validation_loss if validated else history.loss
    lowest = np.minimum.accumulate(monitored)
    falls = np.cumsum(np.r_[0, monitored[1:] >= lowest[:-1]])[:-1]
    np.testing.assert_allclose(history.learning_rate, 0.05 * 0.1 ** np.r_[0, falls], rtol=1e-12)
    assert (falls[-1] > 0) == validated


def half_a_cosine(epochs):
    return [1 + math.cos(math.pi * epoch / epochs) for epoch in range(epochs)]


def test_cosine_by_name_spans_the_epochs_of_the_fit():
    net = build()
    for _ in range(2):
        history = fit(net, SGD(lr=2.0), "cosine", 4)
        np.testing.assert_allclose(history.learning_rate, half_a_cosine(4), rtol=1e-14)
    assert fit(net, SGD(), "cosine", 0).epochs == 0


# What is refused.


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "cosine"])
def test_names_stand_for_the_defaults(name):
    assert read_schedule(name, 5) == SCHEDULES[name]()


@pytest.mark.parametrize(
    ("schedule", "error"), [("linear", ValueError), (3, TypeError), (Step, TypeError), (["step"], TypeError)], ids=str
)
def test_what_is_no_schedule_is_refused(schedule, error):
    net = build()
    with pytest.raises(error, match=r"schedule.*'cosine'"):
        fit(net, SGD(), schedule, 1)
    assert net.epochs_trained == 0


@pytest.mark.parametrize("rate", [-1e-9, math.nan, math.inf, "fast", None])
def test_rates_have_to_be_finite_and_not_negative(rate):
    with pytest.raises((TypeError, ValueError), match=r"schedule.*epoch 2"):
        fit(build(), SGD(), lambda epoch, lr: lr if epoch < 2 else rate, 5)


@pytest.mark.parametrize(
    ("kind", "arguments", "word"),
    [
        (Step, {"every": 0}, "every"),
        (Step, {"factor": 0}, "factor"),
        (Exponential, {"factor": 1.1}, "factor"),
        (InverseScaling, {"power": 0}, "power"),
        (Cosine, {"epochs": 0}, "epochs"),
        (Cosine, {"epochs": 5, "warmup": 5}, "warmup"),
        (Cosine, {"epochs": 5, "end": 1.5}, "end"),
        (Cosine, {"epochs": 5, "start": -1}, "start"),
        (ReduceOnPlateau, {"factor": 1}, "factor"),
        (ReduceOnPlateau, {"patience": -1}, "patience"),
        (ReduceOnPlateau, {"tol": 1}, "tol"),
        (ReduceOnPlateau, {"least": -1}, "least"),
    ],
    ids=str,
)
def test_constants_out_of_range_are_named(kind, arguments, word):
    with pytest.raises(ValueError, match=word):
        kind(**arguments)


@pytest.mark.parametrize(
    "state",
    [
        3,
        {},
        {"schedule": "step"},
        {"schedule": "callable", "lr": 1.0},
        {"schedule": "callable", "lr": 1.0, "rate": -1.0},
        {"schedule": "plateau", "factor": 2.0, "best": None, "bad": 0},
        {"schedule": "plateau", "factor": 1.0, "best": "low", "bad": 0},
        {"schedule": "plateau", "factor": 1.0, "best": math.nan, "bad": 0},
        {"schedule": "plateau", "factor": 1.0, "best": None, "bad": -1},
    ],
    ids=str,
)
def test_a_state_that_no_fit_left_is_refused(state):
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_schedule_state(state)


def test_rprop_refuses_a_schedule():
    with pytest.raises(ValueError, match=r"schedule.*rprop.*Step"):
        start_rates(Step(), Rprop(), 5, 0)


def test_the_best_of_one_measure_is_not_that_of_another(tmp_path):
    """A negated accuracy is below every loss, so that each epoch of the next fit was a bad one."""
    from chainrule import Net

    X = np.random.default_rng(0).normal(size=(200, 3))
    labels = (X[:, 0] > 0).astype(int)
    options = {"schedule": ReduceOnPlateau(patience=1), "optimizer": Adam(lr=0.003)}
    net = Net([3, 8, 2], hidden="tanh", output="softmax", loss="cross_entropy", seed=0)
    metrics = {"accuracy": lambda Y, P: (P.argmax(axis=1) == Y).mean()}
    net.fit(X, labels, epochs=5, metrics=metrics, monitor=("accuracy", "max"), **options)
    assert net.schedule_state["measure"] == "max accuracy"
    factor = net.schedule_state["factor"]
    net.save(tmp_path / "net")
    for which in (net, Net.load(tmp_path / "net")):
        history = which.fit(X, labels, epochs=12, **options)
        assert (np.diff(history.loss) < 0).all()
        np.testing.assert_array_equal(history.learning_rate, 0.003 * factor)
        assert which.schedule_state["best"] == history.loss[-1]
