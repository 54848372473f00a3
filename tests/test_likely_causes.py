"""A fit that diverges says where, and what the likely cause is."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest

from chainrule import SGD, Adam, DivergenceError, Net, reference
from chainrule.config import NetConfig
from chainrule.divergence import Circumstances, explain
from chainrule.optimizers import AdamW, Rprop
from chainrule.regularization import Regularization
from helpers import draw

KINDS = {"core": Net, "reference": reference.Net}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def build(kind, **arguments):
    return kind([3, 4, 2], **{"hidden": "tanh", "output": "identity", "dtype": "float64", "seed": 3, **arguments})


@pytest.mark.parametrize(
    ("net", "scale", "options", "words"),
    [
        ({}, (1, 1), {"optimizer": SGD(lr=500.0)}, r"learning rate 500 is 50000 times the default of sgd: lower it"),
        ({"hidden": "relu"}, (1e6, 1), {"optimizer": "sgd"}, r"inputs reach \d.\d+e\+06: scale each feature"),
        ({}, (1, 1e200), {"optimizer": "sgd"}, r"targets reach .*e\+200.*half_squared_error grows"),
        ({}, (1, 1), {"optimizer": "sgd", "l2": 1e300}, r"l2=1e\+300 with the learning rate 0.01 throws"),
        ({"reduction": "sum"}, (1, 1), {"optimizer": SGD(lr=0.1)}, "reduction='sum' makes steps longer"),
        ({"hidden": "exp"}, (30, 30), {"optimizer": SGD(lr=0.1)}, "the activation 'exp' magnifies"),
        ({"hidden": "relu"}, (100, 100), {"optimizer": SGD(lr=0.1)}, r"without bounds \('relu', 'identity'\)"),
    ],
    ids=["rate", "inputs", "targets", "penalty", "sum", "exp", "relu"],
)
def test_a_fit_that_diverges_names_the_likely_cause(kind, net, scale, options, words):
    net = build(kind, **net)
    X, Y, _ = draw(net, 500)
    with pytest.raises(DivergenceError, match=f"is not finite; likely cause: .*{words}") as caught:
        net.fit(scale[0] * X, scale[1] * Y, epochs=2000, **options)
    error = caught.value
    assert str(error).endswith(f"likely cause: {error.cause}")
    assert f"in epoch {error.epoch}, batch {error.batch}: " in str(error)
    assert error.epoch == net.history.epochs + 1
    assert np.isfinite(net.parameters).all()
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


def circumstances(loss="half_squared_error", output="identity", hidden="tanh", reduction="mean", **changes):
    config = NetConfig.create([2, 3, 1], hidden, output, loss, reduction)
    usual = Circumstances(
        config=config,
        parameters=np.ones(13),
        X=[[1.0, -2.0]],
        Y=[0.5],
        sample_weight=None,
        optimizer=Adam(),
        lr=1e-3,
        regularization=Regularization(),
        losses=np.array([3.0, 2.0]),
    )
    return dataclasses.replace(usual, **changes)


def classified(Y):
    config = NetConfig.create([2, 2], "tanh", "softmax", "cross_entropy")
    return dataclasses.replace(circumstances(), config=config, Y=Y)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (circumstances(parameters=np.array([1.0, math.inf])), "parameters of the net were set"),
        (circumstances(X=[[1.0, math.nan]]), "X changed during the fit"),
        (circumstances(X=[[1.0, -math.inf]], Y=[math.inf]), "X and Y changed during the fit"),
        (classified(Y=[0, 2]), "Y changed during the fit, to class indices"),
        (classified(Y=[0, -1]), "Y changed during the fit, to class indices"),
        (circumstances(sample_weight=np.array([1.0, -1.0])), "sample_weight changed during the fit"),
        (circumstances(X=np.array([[-128, 0]], np.int8) * np.int16(10)), "the inputs reach 1.28e+03"),
        (circumstances(Y=[-2e3]), "the targets reach 2e+03"),
        (circumstances("poisson", "exp", Y=[2e3]), "gradient of poisson grows"),
        (circumstances("absolute_error", Y=[2e3]), "activations without bounds ('identity')"),
        (circumstances(lr=0.02), "the learning rate 0.02 is 20 times the default of adam: lower it"),
        (circumstances(lr=0.02, X=[[2e3, 0]]), "scale each feature to mean 0 and standard deviation 1; the learning"),
        (circumstances(lr=1e9, optimizer=Rprop()), "activations without bounds ('identity')"),
        (circumstances(regularization=Regularization(l1=2e3)), "l1=2e+03 with the learning rate 0.001 throws"),
        (circumstances(optimizer=AdamW(weight_decay=3e3)), "weight_decay=3e+03 with"),
        (circumstances(losses=np.array([9.0, 1.0, 2.0])), "the loss rose from 1 to 2 in the last epochs: lower the"),
        (circumstances(losses=np.empty(0)), "activations without bounds ('identity') that a long step drove up"),
        (circumstances(reduction="sum"), "reduction='sum' makes steps longer the more rows"),
        (circumstances("poisson", "exp"), "the activation 'exp' magnifies every step: lower the learning rate, or set"),
        (circumstances(hidden="relu"), "('relu', 'identity')"),
        (circumstances(output="sigmoid"), "a step that was too long: lower the learning rate, or set clip_norm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_clues_by_themselves(given, cause):
    error = explain(DivergenceError("training diverged in epoch 7, batch 21: the loss is not finite"), given)
    assert cause in error.cause
    assert (error.epoch, error.batch) == (7, 21)


def test_what_is_done_already_is_not_advised():
    clipped = circumstances(output="sigmoid", regularization=Regularization(clip_norm=1.0))
    assert explain(DivergenceError(""), clipped).cause == "a step that was too long: lower the learning rate"


def test_data_that_change_during_a_fit_are_named(kind):
    net = build(kind)
    X, Y, _ = draw(net, 20)

    def spoil(state):
        Y[7, 1] = math.nan

    with pytest.raises(DivergenceError, match="likely cause: Y changed during the fit"):
        net.fit(X, Y, epochs=3, callback=spoil)


def test_parameters_that_were_not_finite_before_are_named(kind):
    net = build(kind)
    net.parameters[0] = math.nan
    with pytest.raises(DivergenceError, match="parameters of the net were set"):
        net.fit(*draw(net, 20)[:2])


def test_the_place_is_that_of_the_minibatch(kind):
    net = kind([1, 1], hidden=[], output="identity", bias=False, init="zeros")
    X = np.array([[1.0], [1.0], [1e25]], np.float32)
    with pytest.raises(DivergenceError) as caught:
        net.fit(X, np.ones((3, 1)), batch_size=1, shuffle=False, optimizer=SGD(lr=0.5))
    assert (caught.value.epoch, caught.value.batch) == (1, 3)


def test_outside_of_a_fit_there_is_no_place(kind):
    net = build(kind)
    net.gradients[:] = math.nan
    with pytest.raises(DivergenceError) as caught:
        net.update("sgd")
    assert (caught.value.epoch, caught.value.batch, caught.value.cause) == (None, None, "")


def test_an_error_of_the_callback_is_its_own(kind):
    net, error = build(kind), DivergenceError("mine")

    def fail(state):
        raise error

    with pytest.raises(DivergenceError) as caught:
        net.fit(*draw(net, 20)[:2], callback=fail)
    assert caught.value is error
    assert net.history.stopped == "diverged"
