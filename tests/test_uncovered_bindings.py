"""Checks of the extension that Python's own come before: they hold for who calls it without them."""

from __future__ import annotations

import numpy as np
import pytest

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
