"""Frozen layers keep their parameters through every kind of training, in the core as in the reference."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, AdamW, Net, Rprop, reference
from helpers import draw, relative_error

TINY, LAYERED = [3, 6, 4, 1], [40, 30, 20, 2]
OPTIMIZERS = [SGD(lr=0.05), SGD(lr=0.02, momentum=0.9), AdamW(weight_decay=0.5, decay_biases=True), "nadam", "rmsprop"]
REGULARIZATIONS = [{}, {"max_norm": 0.5}, {"l1": 0.01, "l2": 0.1, "penalize_biases": True, "clip_norm": 0.1}]


@pytest.fixture(params=["core", "reference"])
def net_class(request):
    return Net if request.param == "core" else reference.Net


def build(net_class, sizes, **arguments):
    net = net_class(sizes, "tanh", "identity", dtype="float64", seed=3, **arguments)
    for bias in net.biases:
        bias[:] = 0.3
    return net


def moved(net, before):
    """Which layers have other parameters than before, and whether weights and biases move together."""
    other = build(type(net), net.config.sizes, bias=net.config.bias)
    other.parameters[:] = before
    weights = [not np.array_equal(*pair) for pair in zip(net.weights, other.weights, strict=True)]
    biases = [not np.array_equal(*pair) for pair in zip(net.biases, other.biases, strict=True)]
    assert biases in (weights, [])
    return weights


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
@pytest.mark.parametrize("batch_size", [1, 8, 300])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("regularization", REGULARIZATIONS, ids=str)
@pytest.mark.parametrize("frozen", [(0,), (1, 2)], ids=str)
def test_frozen_layers_stay_and_the_others_agree_with_the_reference(
    sizes, batch_size, optimizer, regularization, frozen
):
    nets = [build(kind, sizes) for kind in (Net, reference.Net)]
    X, Y, weights = draw(nets[0], 40)
    options = {"batch_size": batch_size, "optimizer": optimizer, "sample_weight": weights, **regularization}
    for net in nets:
        net.freeze(*frozen)
        before = net.parameters.copy()
        net.fit(X, Y, epochs=2, **options)
        assert moved(net, before) == [layer not in frozen for layer in range(3)]
        net.unfreeze(*frozen)
        net.freeze(-1)
        before = net.parameters.copy()
        net.fit(X, Y, epochs=2, **options)
        assert moved(net, before) == [True, True, False]
        net.unfreeze()
        net.fit(X, Y, epochs=1, **options)
    assert relative_error(nets[0].parameters, nets[1].parameters) < 1e-11


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_steps_and_updates_leave_them_too(net_class, sizes, optimizer):
    net, apart = build(net_class, sizes), build(net_class, sizes)
    X, Y, _ = draw(net, 20)
    before = net.parameters.copy()
    net.freeze(1)
    apart.freeze(1)
    for _ in range(3):
        net.step(X, Y, optimizer)
        apart.forward(X)
        apart.backward(Y)
        apart.update(optimizer)
    assert moved(net, before) == [True, False, True]
    assert np.array_equal(net.parameters, apart.parameters)


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_without_biases(net_class, sizes):
    net = build(net_class, sizes, bias=False)
    X, Y, _ = draw(net, 20)
    before = net.parameters.copy()
    net.freeze(0)
    net.fit(X, Y, epochs=2)
    assert moved(net, before) == [False, True, True]


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_gradients_of_frozen_layers_are_computed(net_class, sizes):
    net, free = build(net_class, sizes), build(net_class, sizes)
    X, Y, _ = draw(net, 20)
    net.freeze(0, 2)
    assert net.step(X, Y, "sgd") == free.step(X, Y, "sgd")
    assert np.array_equal(net.gradients, free.gradients)
    assert all(gradient.any() for gradient in net.weight_gradients)


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_gradients_of_frozen_layers_count_where_the_norm_is_clipped(net_class, sizes):
    net, free = build(net_class, sizes), build(net_class, sizes)
    X, Y, _ = draw(net, 20)
    before = net.parameters.copy()
    net.freeze(0, 1)
    for each in (net, free):
        each.fit(X, Y, epochs=1, batch_size=None, optimizer=SGD(lr=1.0), clip_norm=1e-3)
    assert moved(net, before) == [False, False, True]
    assert np.linalg.norm(free.parameters - before) == pytest.approx(1e-3, rel=1e-9)
    assert np.array_equal(net.weights[2], free.weights[2])


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_the_limit_of_norms_is_not_for_frozen_layers(net_class, sizes):
    net = build(net_class, sizes)
    X, Y, _ = draw(net, 20)
    net.freeze(0)
    assert np.linalg.norm(net.weights[0], axis=0).max() > 0.1
    net.fit(X, Y, epochs=1, max_norm=0.01)
    assert np.linalg.norm(net.weights[0], axis=0).max() > 0.1
    assert all(np.linalg.norm(W, axis=0).max() <= 0.01 * (1 + 1e-12) for W in net.weights[1:])


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_a_net_that_is_frozen_throughout_stays_and_counts_epochs(net_class, sizes):
    net = build(net_class, sizes)
    X, Y, _ = draw(net, 20)
    before = net.parameters.copy()
    net.freeze(0, 1, 2)
    history = net.fit(X, Y, epochs=3)
    assert np.array_equal(net.parameters, before)
    assert net.epochs_trained == 3
    assert history.loss[0] == pytest.approx(history.loss[-1], rel=1e-12)


def test_an_overflow_in_a_frozen_layer_is_none(net_class):
    net = build(net_class, TINY)
    net.gradients[:] = 0
    net.weight_gradients[0][:] = 1e300
    net.freeze(0)
    before = net.parameters.copy()
    net.update(SGD(lr=1e300))
    assert np.array_equal(net.parameters, before)


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_a_layer_that_thaws_begins_with_the_first_step_of_rprop(net_class, sizes):
    net = build(net_class, sizes)
    X, Y, _ = draw(net, 20)
    net.freeze(0)
    net.fit(X, Y, epochs=2, batch_size=None, optimizer=Rprop(lr=0.01))
    net.unfreeze()
    before = net.weights[0].copy()
    net.fit(X, Y, epochs=1, batch_size=None, optimizer=Rprop(lr=0.01))
    np.testing.assert_allclose(np.abs(net.weights[0] - before), 0.01, rtol=1e-9)


def test_frozen_lists_the_layers_in_order(net_class):
    net = build(net_class, TINY)
    assert net.frozen == ()
    net.freeze(-1, 0)
    net.freeze(np.int64(2))
    assert net.frozen == (0, 2)
    net.unfreeze(-3)
    assert net.frozen == (2,)
    net.freeze()
    assert net.frozen == (2,)
    net.unfreeze()
    assert net.frozen == ()


@pytest.mark.parametrize("layers", [(3,), (-4,), (0, 7)])
def test_a_layer_that_is_not_there_is_refused(net_class, layers):
    net = build(net_class, TINY)
    for method in (net.freeze, net.unfreeze):
        with pytest.raises(IndexError, match="from 0 to 2, or from -1 to -3; got"):
            method(*layers)
        with pytest.raises(TypeError):
            method("first")
    assert net.frozen == ()


@pytest.mark.parametrize("sizes", [TINY, LAYERED], ids=str)
def test_files_keep_what_is_frozen(sizes, tmp_path):
    net = build(Net, sizes)
    X, Y, _ = draw(net, 20)
    net.freeze(0, 2)
    net.fit(X, Y, epochs=2, optimizer=SGD(lr=0.02, momentum=0.9))
    net.save(tmp_path / "net")
    loaded = Net.load(tmp_path / "net")
    assert loaded.frozen == (0, 2)
    before = net.parameters.copy()
    for each in (net, loaded):
        each.fit(X, Y, epochs=2, optimizer=SGD(lr=0.02, momentum=0.9))
    assert np.array_equal(loaded.parameters, net.parameters)
    assert moved(loaded, before) == [False, True, False]
