"""Checks of the extension that Python's own come before: they hold for who calls it without them."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import _core
from helpers import small_net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_of_another_size_are_refused(dtype):
    net = small_net(dtype)
    count = net.parameters.size
    with pytest.raises(ValueError, match=rf"an optimizer slot holds 3 numbers; the net has {count} parameters"):
        net._core.write_optimizer_state("adam", 1, [np.zeros(count, dtype), np.zeros(3, dtype)])


def test_a_rule_that_is_not_known_is_refused():
    net = small_net()
    with pytest.raises(ValueError, match="rule has no value 'magic'"):
        net._core.write_optimizer_state("magic", 1, [])


def test_the_extension_says_which_names_it_knows():
    net = small_net()
    net._core.write_optimizer_state("adam", 7, [np.full(net.parameters.size, 0.5, np.float32)] * 2)
    rule, steps, slots = net._core.read_optimizer_state()
    assert (rule, steps, len(slots)) == ("adam", 7, 2)
    np.testing.assert_array_equal(slots[1], 0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_are_no_intermediates_before_a_pass(dtype):
    with pytest.raises(RuntimeError, match=r"there are no intermediates: call forward\(X\) and backward\(Y\) first"):
        small_net(dtype)._core.intermediates()


def test_a_constant_that_no_rule_has_is_refused():
    with pytest.raises(TypeError, match="an optimizer has no constant 'warmth'"):
        _core.Optimizer("adam", warmth=1.0)


@pytest.mark.parametrize("wrong", ["activation", "loss", "reduction"])
def test_names_that_are_not_known_are_refused(wrong):
    names = {"activation": "tanh", "loss": "log_loss", "reduction": "mean"} | {wrong: "magic"}
    with pytest.raises(ValueError, match=f"{wrong}s? has no value 'magic'"):
        _core.Net32(
            [2, 1], [names["activation"]], names["loss"], [], names["reduction"], True, [0.0], 0.0, 0, lambda: 1
        )


@pytest.mark.parametrize("form", ["coo_array", "csr_array"])
def test_sparse_vectors_are_refused(form):
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match=r"X must be a sparse matrix of rows and features; it has shape \(3,\)"):
        small_net().predict(getattr(sparse, form)(np.ones(3)))
