"""`chainrule.check_gradients` passes right gradients, catches wrong ones, and leaves the net as it was."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule
from chainrule import check_gradients
from chainrule.config import HIDDEN_ACTIVATIONS
from helpers import OUTPUTS_AND_LOSSES


@pytest.fixture(params=["reference", "core"])
def net_class(request):
    return chainrule.reference.Net if request.param == "reference" else chainrule.Net


def draw(net, rows=6, seed=0):
    random = np.random.default_rng(seed)
    net.parameters[:] += 0.1 * random.standard_normal(net.parameters.size)
    X = random.standard_normal((rows, net.config.features))
    Y = random.dirichlet(np.ones(net.config.target_columns), rows)
    if net.config.target_columns == 1:
        Y = random.random((rows, 1))
    Y = np.sign(Y - 0.5) if net.config.loss.name == "hinge" else Y
    return X, Y, random.random(rows)


@pytest.mark.parametrize("hidden", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize(("output", "loss"), OUTPUTS_AND_LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_right_gradients_pass(net_class, hidden, output, loss, seed):
    net = net_class([3, 5, 4, 2], hidden, output, loss, dtype="float64", seed=seed)
    X, Y, weights = draw(net, seed=seed)
    if hidden == output == "exp":
        net.parameters[:] *= 0.5  # powers of powers of powers overflow soon
    assert check_gradients(net, X, Y) < 1e-7
    assert check_gradients(net, X, Y, sample_weight=weights) < 1e-7


@pytest.mark.parametrize(("dropout", "input_noise"), [(0.4, 0.0), (0.0, 0.5), ([0.5, 0.0], 0.3)])
@pytest.mark.parametrize("hidden", ["tanh", "relu", "selu"])
def test_right_gradients_of_a_training_step_pass(net_class, hidden, dropout, input_noise):
    net = net_class([3, 5, 4, 2], hidden, "identity", dtype="float64", seed=4, dropout=dropout, input_noise=input_noise)
    X, Y, weights = draw(net)
    for _ in range(3):
        assert check_gradients(net, X, Y, sample_weight=weights) < 1e-7
        gradients = net.gradients.copy()
        net.forward(X)
        net.backward(Y, weights)
        np.testing.assert_array_equal(gradients, net.gradients)
        net.update("sgd")  # the next step has another draw


@pytest.mark.parametrize("size", [1e-6, 1e6])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_scale_of_the_loss_does_not_matter(net_class, size, reduction):
    net = net_class([3, 5, 2], "tanh", "identity", "squared_error", reduction, dtype="float64", seed=0)
    X, Y, _ = draw(net)
    assert check_gradients(net, X, size * Y) < 1e-7


def test_a_perfect_fit_passes(net_class):
    net = net_class([3, 5, 2], "tanh", "identity", dtype="float64", seed=0)
    X, _, _ = draw(net)
    assert check_gradients(net, X, net.predict(X)) < 1e-7


def test_units_that_no_gradient_reaches_pass(net_class):
    net = net_class([2, 3, 1], "relu", "identity", dtype="float64", seed=0)
    net.biases[0][:] = -100.0
    X, _, _ = draw(net)
    assert check_gradients(net, X, np.zeros(6)) < 1e-7


def test_a_kink_within_the_step_passes(net_class):
    net = net_class([1, 1, 1], "relu", "identity", bias=False, dtype="float64", seed=0)
    net.parameters[:] = [1e-5, 1.0]
    X = np.ones((1, 1))
    assert check_gradients(net, X, [[2.0]]) < 1e-7


def test_float32_passes_to_two_digits(net_class):
    net = net_class([3, 5, 2], "tanh", "softmax", "cross_entropy", dtype="float32", seed=0)
    X, Y, _ = draw(net)
    assert check_gradients(net, X, Y) < 1e-2


class WrongNet(chainrule.reference.Net):
    """A net with an error in one entry of its gradients."""

    entry, factor = 0, 1.0

    def backward(self, Y, sample_weight=None):
        loss = super().backward(Y, sample_weight)
        self.gradients[self.entry] *= self.factor
        return loss


@pytest.mark.parametrize("hidden", ["tanh", "relu"])
@pytest.mark.parametrize("factor", [1 + 1e-5, 1.5, 0.0, -1.0, np.nan, np.inf])
def test_an_error_in_any_entry_is_caught(hidden, factor):
    net = WrongNet([3, 4, 2], hidden, "identity", dtype="float64", seed=1)
    X, Y, _ = draw(net)
    for entry in range(net.parameters.size):
        net.entry, net.factor = entry, 1.0
        assert check_gradients(net, X, Y) < 1e-7
        net.factor = factor
        assert check_gradients(net, X, Y) > 1e-7


def test_an_error_is_caught_with_dropout():
    net = WrongNet([3, 4, 2], "tanh", "identity", dtype="float64", seed=1, dropout=0.3, input_noise=0.1)
    X, Y, _ = draw(net)
    assert check_gradients(net, X, Y) < 1e-7
    net.entry, net.factor = int(np.abs(net.gradients).argmax()), 1.01
    assert check_gradients(net, X, Y) > 1e-3


def test_a_gross_error_is_caught_in_float32():
    net = WrongNet([3, 4, 2], "tanh", "identity", dtype="float32", seed=1)
    X, Y, _ = draw(net)
    net.step(X, Y, "sgd")
    net.entry, net.factor = int(np.abs(net.gradients).argmax()), 1.5
    assert check_gradients(net, X, Y) > 1e-1


def test_parameters_are_restored_to_the_bit(net_class):
    net = net_class([3, 4, 2], dtype="float32", seed=2)
    X, Y, _ = draw(net)
    before = net.parameters.tobytes()
    check_gradients(net, X, Y)
    assert net.parameters.tobytes() == before


def test_parameters_are_restored_when_an_error_passes():
    class FailingNet(chainrule.reference.Net):
        calls = 0

        def loss(self, X, Y, sample_weight=None):
            self.calls += 1
            if self.calls == 10:
                raise KeyboardInterrupt
            return super().loss(X, Y, sample_weight)

    net = FailingNet([3, 4, 2], seed=2)
    X, Y, _ = draw(net)
    before = net.parameters.tobytes()
    with pytest.raises(KeyboardInterrupt):
        check_gradients(net, X, Y)
    assert net.calls == 10
    assert net.parameters.tobytes() == before


@pytest.mark.parametrize("eps", [0.0, -1e-3, np.nan, np.inf, 1e-9, 1e-16, 1e-300])
def test_a_step_that_is_not_positive_is_refused(eps):
    net = chainrule.reference.Net([3, 1], seed=0)
    with pytest.raises(ValueError, match="eps"):
        check_gradients(net, np.ones((2, 3)), np.ones((2, 1)), eps=eps)


def test_wrong_input_is_refused(net_class):
    net = net_class([3, 4, 2], seed=0)
    with pytest.raises(ValueError, match=r"4.*3"):
        check_gradients(net, np.ones((2, 4)), np.ones((2, 2)))


@pytest.mark.parametrize(("dtype", "eps"), [("float32", None), ("float32", 1e-3), ("float64", None), ("float64", 2e-8)])
def test_no_step_hides_a_gradient_of_the_wrong_sign(dtype, eps):
    """Ever smaller steps, of which the best counts, made rounding the judge."""

    class Wrong:
        def __init__(self, net):
            self.net = net

        def __getattr__(self, name):
            return getattr(self.net, name)

        @property
        def gradients(self):
            return -self.net.gradients

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))
    net = chainrule.Net([3, 4, 1], output="identity", dtype=dtype, seed=0)
    correct = check_gradients(net, X, Y, eps=eps)
    assert check_gradients(Wrong(net), X, Y, eps=eps) > max(10 * correct, 1e-2 if dtype == "float32" else 1e-4)
