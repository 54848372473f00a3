"""Losses as values: what they take, what they say of themselves, and what they refuse."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from chainrule import CrossEntropy, Huber, Net, Quantile
from chainrule.losses import Loss, read_loss

LOSSES = [Huber(0.5), Quantile(0.1), Quantile((0.1, 0.9)), CrossEntropy(0.1), read_loss("log_cosh")]


def test_constants_have_names():
    assert Huber(0.5).delta == 0.5
    assert (Quantile(0.1).tau, Quantile((0.1, 0.9)).tau) == (0.1, (0.1, 0.9))
    assert CrossEntropy(0.1).label_smoothing == 0.1
    assert (Quantile(0.1).outputs_per_target, Quantile((0.1, 0.9)).outputs_per_target) == (1, 2)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_loss_is_a_value(loss):
    assert read_loss(str(loss)) == loss
    assert hash(read_loss(str(loss))) == hash(loss)
    assert pickle.loads(pickle.dumps(loss)) == copy.deepcopy(loss) == loss
    assert eval(repr(loss), {"Huber": Huber, "Quantile": Quantile, "CrossEntropy": CrossEntropy, "Loss": Loss}) == loss
    assert loss != str(loss)
    with pytest.raises(AttributeError, match="a loss cannot be changed: 'name'"):
        loss.name = "poisson"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Huber(0), ValueError, "delta must be positive, got 0"),
        (lambda: Huber(float("inf")), ValueError, "delta must be finite, got inf"),
        (lambda: Huber(10**400), ValueError, "delta must be finite, got 1000"),
        (lambda: Huber(True), TypeError, "delta must be a number, got True"),
        (lambda: Huber("wide"), ValueError, "delta must be a number, got 'wide'"),
        (lambda: Huber(np.True_), TypeError, "delta must be a number, got np.True_"),
        (lambda: Huber(np.complex128(1 + 2j)), TypeError, "delta must be a number, got "),
        (lambda: Huber(np.timedelta64(1, "s")), TypeError, "delta must be a number, got "),
        (lambda: Huber(np.array([0.5])), TypeError, "delta must be a number, got "),
        (lambda: Quantile(np.array(0.5)), TypeError, "tau must be a number, got "),
        (lambda: Net([2, 1], loss="huber(1_0)"), ValueError, "loss must be a number, got '1_0'"),
        (lambda: Quantile(1.0), ValueError, r"tau must be one or several numbers in \(0, 1\), got 1.0"),
        (lambda: Quantile(()), ValueError, r"tau must be one or several numbers in \(0, 1\), got \(\)"),
        (lambda: CrossEntropy(1), ValueError, r"label_smoothing must be in \[0, 1\), got 1"),
        (lambda: Net([2, 1], loss="log_cosh(2)"), ValueError, r"loss 'log_cosh' has no constants; got 'log_cosh\(2\)'"),
        (lambda: Net([2, 1], loss="huber(1, 2)"), ValueError, r"loss 'huber' has one constant; got 'huber\(1, 2\)'"),
        (lambda: Net([2, 1], loss="huber(x)"), ValueError, "loss must be a number, got 'x'"),
        (lambda: Net([2, 1], loss="absolute"), ValueError, "loss must be one of .*; got 'absolute'"),
        (lambda: Net([2, 1], loss=3), TypeError, "loss must be a string, one of .*; got 3"),
    ],
)
def test_what_no_loss_has_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
