"""The order of the rows: a permutation, the documented one, and without visible structure."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule._core import permutation

MASK = 2**64 - 1
LISTED = 2**16


def mix(x):
    """The finaliser of SplitMix64."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def fisher_yates(seed, epoch, size):
    """The shuffle in plain Python, from NumPy's own Philox stream."""
    stream = np.random.Philox(key=np.array([seed, mix(epoch) ^ 1], np.uint64))
    rows = list(range(size))
    for i in range(size, 1, -1):
        j = int(stream.random_raw()) * i >> 64
        rows[i - 1], rows[j] = rows[j], rows[i - 1]
    return rows


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, LISTED - 1, LISTED, LISTED + 1, 100_003, 2**17, 2**20, 2**20 + 1])
@pytest.mark.parametrize("epoch", [0, 1, 2**64 - 1])
def test_every_row_is_visited_once(size, epoch):
    rows = permutation(5, epoch, size)
    assert rows.dtype == np.int64
    np.testing.assert_array_equal(np.sort(rows), np.arange(size))


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
@pytest.mark.parametrize("epoch", [0, 1, 12345])
@pytest.mark.parametrize("size", [2, 3, 7, 1000])
def test_small_orders_are_fisher_yates(seed, epoch, size):
    assert permutation(seed, epoch, size).tolist() == fisher_yates(seed, epoch, size)


@pytest.mark.parametrize("size", [100, LISTED + 1])
def test_seed_and_epoch_choose_the_order(size):
    orders = [permutation(seed, epoch, size) for seed in (0, 1, 2) for epoch in (0, 1, 2, 3)]
    np.testing.assert_array_equal(orders[0], permutation(0, 0, size))
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.05


def test_the_orders_of_four_rows_are_equally_likely():
    draws = 24 * 500
    counts: dict[tuple[int, ...], int] = {}
    for epoch in range(draws):
        order = tuple(permutation(3, epoch, 4).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    chi_square = sum((count - 500) ** 2 / 500 for count in counts.values())
    assert 4 < chi_square < 60  # 23 degrees of freedom: a mean of 23, a standard deviation of 6.8


@pytest.mark.parametrize("size", [LISTED, LISTED + 1, 100_003, 2**17, 2**20 - 1, 2**20])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_large_orders_show_no_structure(size, epoch):
    rows = permutation(7, epoch, size).astype(np.float64)
    positions = np.arange(size)
    bound = 5 / size**0.5  # five standard deviations of a correlation by chance
    assert abs(np.corrcoef(positions, rows)[0, 1]) < bound
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < bound
    assert abs(np.corrcoef(rows[:-2], rows[2:])[0, 1]) < bound
    # The difference of two random rows of N has the mean |d| = N / 3 and the variance N^2 / 18.
    steps = np.abs(np.diff(rows)) / size
    assert steps.mean() == pytest.approx(1 / 3, abs=5 * (1 / 18 / size) ** 0.5)
    assert (rows == positions).sum() < 12  # fixed points are Poisson of mean 1


@pytest.mark.parametrize("size", [LISTED + 1, 2**20])
def test_minibatches_are_spread_over_the_data(size):
    """Each 64th of a large order takes its share of each 64th of the rows."""
    cells = permutation(1, 0, size) * 64 // size
    positions = np.arange(size) * 64 // size
    table = np.zeros((64, 64))
    np.add.at(table, (positions, cells), 1)
    expected = size / 64**2
    chi_square = ((table - expected) ** 2 / expected).sum()
    freedom = 63**2
    assert abs(chi_square - freedom) < 6 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("size", [LISTED + 1, 2**20])
@pytest.mark.parametrize("bit", range(16))
def test_each_bit_of_a_row_is_even_and_changes_by_chance(size, bit):
    low = (permutation(11, 4, size) >> bit) & 1
    if size == 2**20:
        assert low.mean() == 0.5
    changes = (low[1:] != low[:-1]).mean()
    assert changes == pytest.approx(0.5, abs=6 * 0.5 / size**0.5)
    parity = (np.arange(size) >> bit) & 1
    assert (low == parity).mean() == pytest.approx(0.5, abs=6 * 0.5 / size**0.5)


def test_neighbouring_epochs_share_nothing():
    size = 100_003
    one, two = (permutation(0, epoch, size).astype(np.float64) for epoch in (0, 1))
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / size**0.5
