"""Rows held out for validation, and weights of classes, in both kinds of net."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import SGD, Net, reference
from chainrule.held_out import hold_out
from helpers import draw

KINDS = pytest.mark.parametrize("kind", [Net, reference.Net], ids=["core", "reference"])


def memorizer(kind, rows, outputs=1, **arguments):
    """A net of zeros whose inputs are one-hot: each row has weights of its own, which no other row moves."""
    loss = {"output": "identity"} if outputs == 1 else {"output": "softmax", "loss": "cross_entropy"}
    return kind([rows, outputs], bias=False, init="zeros", seed=5, **{**loss, **arguments})


def trained_rows(net):
    return net.weights[0].any(axis=1)


@KINDS
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_rows_that_are_held_out_are_never_trained_on(kind, share):
    net, X, Y = memorizer(kind, 40), np.eye(40), np.arange(1.0, 41.0)
    history = net.fit(X, Y, epochs=3, validation=share)
    held_out = ~trained_rows(net)
    assert held_out.sum() == round(40 * share)
    # The net says 0 there, and the loss is half of the mean square.
    np.testing.assert_allclose(history.validation_loss, (Y[held_out] ** 2).mean() / 2, rtol=1e-6)
    assert (np.diff(history.loss) < 0).all()
    for options in ({}, {"shuffle": False}, {"batch_size": None, "optimizer": "sgd"}):
        net.fit(X, Y, epochs=2, validation=share, **options)
        np.testing.assert_array_equal(trained_rows(net), ~held_out)


@KINDS
def test_another_seed_holds_out_other_rows(kind):
    nets = [kind([40, 1], output="identity", bias=False, init="zeros", seed=seed) for seed in (5, 6)]
    for net in nets:
        net.fit(np.eye(40), np.ones(40), epochs=1, validation=0.5)
    assert (trained_rows(nets[0]) != trained_rows(nets[1])).any()


@KINDS
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_each_class_is_held_out_in_its_share(kind, binary, column):
    labels = np.repeat([0, 1] if binary else [0, 1, 2], [30, 10] if binary else [24, 12, 4])
    labels = np.random.default_rng(0).permutation(labels)
    arguments = {"output": "sigmoid", "loss": "log_loss"} if binary else {}
    net = memorizer(kind, 40, 1 if binary else 3, **arguments)
    net.fit(np.eye(40), labels[:, np.newaxis] if column else labels, epochs=1, validation=0.25)
    expected = [7.5, 2.5] if binary else [6, 3, 1]
    counts = np.bincount(labels[~trained_rows(net)])
    assert counts.sum() == 10
    assert (np.abs(counts - expected) <= 0.5).all()


@KINDS
def test_both_kinds_of_net_hold_out_the_same_rows(kind):
    labels = np.arange(50) % 5
    net = memorizer(kind, 50, 5)
    net.fit(np.eye(50), labels, epochs=1, validation=0.3)
    training, held_out = hold_out(5, 50, 0.3, labels)
    np.testing.assert_array_equal(np.flatnonzero(trained_rows(net)), training)
    np.testing.assert_array_equal(np.flatnonzero(~trained_rows(net)), held_out)


@pytest.mark.parametrize("share", [1e-9, 0.01, 0.2, 1 / 3, 0.5, 0.77, 1 - 1e-9])
@pytest.mark.parametrize("sizes", [[2], [100], [1, 9], [1, 1, 1, 97], [5, 5, 5, 5], [1000, 3, 40]], ids=str)
def test_counts_are_the_nearest_to_the_share(share, sizes):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    training, held_out = hold_out(7, len(labels), share, labels)
    np.testing.assert_array_equal(np.sort(np.r_[training, held_out]), np.arange(len(labels)))
    left, given = (np.bincount(labels[rows], minlength=len(sizes)) for rows in (training, held_out))
    assert (left > 0).all()
    for count, size in zip(given, sizes, strict=True):
        assert abs(count - share * size) < 1 or count == min(1, size - 1)
    total = max(1, round(share * len(labels)))
    # Fewer only where classes may not give their last row.
    assert given.sum() == total or (given.sum() < total and (given == np.array(sizes) - 1).any())


def test_rows_are_drawn_evenly():
    """Over many seeds, each of 20 rows is held out about as often as another."""
    counts = np.zeros(20)
    for seed in range(2000):
        counts[hold_out(seed, 20, 0.25, None)[1]] += 1
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


@pytest.mark.parametrize("rows", [1000, 70_000])
def test_a_split_does_not_depend_on_the_platform(rows):
    expected = {1000: (200, 103_116), 70_000: (14_000, 491_929_873)}[rows]
    held_out = hold_out(123, rows, 0.2, None)[1]
    assert (len(held_out), held_out.sum()) == expected


@KINDS
def test_weights_and_lists_are_split_along(kind):
    split, explicit = (kind([3, 4, 2], dtype="float64", seed=1) for _ in range(2))
    X, Y, weights = draw(split, 30)
    training, held_out = hold_out(1, 30, 0.3, None)
    history = split.fit(X.tolist(), Y.tolist(), epochs=3, sample_weight=weights.tolist(), validation=0.3)
    expected = explicit.fit(X[training], Y[training], epochs=3, sample_weight=weights[training],
                            validation=(X[held_out], Y[held_out], weights[held_out]))  # fmt: skip
    np.testing.assert_array_equal(split.parameters, explicit.parameters)
    np.testing.assert_array_equal(history.validation_loss, expected.validation_loss)


@KINDS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("validation", [None, 0.25])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}, {np.int64(1): 0}, {}], ids=str)
def test_class_weights_are_weights_of_rows(kind, class_weight, validation, weighted):
    by_class, by_row = (kind([3, 5, 3], output="softmax", loss="cross_entropy", seed=1) for _ in range(2))
    X, _, weights = draw(by_class, 40)
    labels = np.arange(40) ** 2 % 10 % 3
    given = class_weight
    if class_weight == "balanced":
        sklearn = pytest.importorskip("sklearn.utils.class_weight")
        given = dict(enumerate(sklearn.compute_class_weight("balanced", classes=np.arange(3), y=labels)))
    rows = np.array([given.get(label, 1.0) for label in labels]) * (weights if weighted else 1)
    options = {"epochs": 3, "batch_size": 7, "validation": validation}
    history = by_class.fit(X, labels, class_weight=class_weight, sample_weight=weights if weighted else None, **options)
    expected = by_row.fit(X, labels, sample_weight=rows, **options)
    np.testing.assert_array_equal(by_class.parameters, by_row.parameters)
    np.testing.assert_array_equal(history.loss, expected.loss)
    np.testing.assert_array_equal(history.validation_loss, expected.validation_loss)


@KINDS
def test_balanced_classes_pull_alike(kind):
    """One row of class 1 among nine of class 0, all with the same inputs: the bias settles in the middle."""
    X, Y = np.zeros((10, 1)), np.arange(10) == 9
    nets = [kind([1, 1], loss="log_loss", init="zeros", dtype="float64", seed=1) for _ in range(2)]
    for net, class_weight in zip(nets, (None, "balanced"), strict=True):
        net.fit(X, Y, epochs=2000, batch_size=None, optimizer=SGD(lr=1.0), class_weight=class_weight)
    assert [net.predict([0.0]).item() for net in nets] == [pytest.approx(0.1), pytest.approx(0.5)]


@KINDS
def test_a_class_that_does_not_occur_is_not_counted(kind):
    net, other = (kind([3, 4], output="softmax", loss="cross_entropy", seed=1) for _ in range(2))
    X = draw(net, 8)[0]
    labels = np.array([0, 0, 0, 0, 0, 0, 3, 3])
    net.fit(X, labels, epochs=2, class_weight="balanced")
    other.fit(X, labels, epochs=2, sample_weight=np.where(labels == 0, 8 / 12, 2.0))
    np.testing.assert_array_equal(net.parameters, other.parameters)
