"""Nets made from networks of scikit-learn and PyTorch, and networks made from nets, predict the same."""

from __future__ import annotations

import warnings
from inspect import signature

import numpy as np
import pytest

from chainrule import Net
from chainrule.config import ACTIVATIONS, DTYPES, HIDDEN_ACTIVATIONS
from helpers import relative_error

ROWS, FEATURES = 60, 5
TOLERANCE = {"float32": 1e-5, "float64": 1e-8}


def draw(dtype, outputs=1):
    random = np.random.default_rng(0)
    return random.standard_normal((ROWS, FEATURES)).astype(dtype), random.standard_normal((ROWS, outputs)).astype(dtype)


class TestScikitLearn:
    @pytest.fixture(autouse=True)
    def networks(self):
        self.networks = pytest.importorskip("sklearn.neural_network")

    def fit(self, name, X, Y, **options):
        estimator = getattr(self.networks, name)(hidden_layer_sizes=(7, 4), max_iter=20, random_state=0, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 20 iterations do not converge
            return estimator.fit(X, Y)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
    @pytest.mark.parametrize("outputs", [1, 3])
    def test_a_regressor(self, activation, dtype, outputs):
        X, Y = draw(dtype, outputs)
        estimator = self.fit("MLPRegressor", X, Y if outputs > 1 else Y[:, 0], activation=activation)
        net = Net.from_sklearn(estimator)
        assert (net.config.sizes, net.config.dtype) == ((FEATURES, 7, 4, outputs), dtype)
        assert str(net.config.loss) == "half_squared_error"
        assert relative_error(net.predict(X), estimator.predict(X).reshape(ROWS, outputs)) < TOLERANCE[dtype]

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("classes", [2, 4])
    def test_a_classifier(self, dtype, classes):
        X, _ = draw(dtype)
        estimator = self.fit("MLPClassifier", X, np.arange(ROWS) % classes)
        net = Net.from_sklearn(estimator)
        expected = estimator.predict_proba(X)
        assert str(net.config.loss) == ("log_loss" if classes == 2 else "cross_entropy")
        assert relative_error(net.predict(X), expected[:, 1:] if classes == 2 else expected) < TOLERANCE[dtype]

    def test_a_classifier_of_several_labels(self):
        X, Y = draw("float64", 3)
        estimator = self.fit("MLPClassifier", X, Y > 0)
        assert relative_error(Net.from_sklearn(estimator).predict(X), estimator.predict_proba(X)) < 1e-8

    def test_a_regressor_of_counts(self):
        X, Y = draw("float64")
        if "loss" not in signature(self.networks.MLPRegressor).parameters:
            pytest.skip("scikit-learn's regressor takes a loss from 1.7 on")
        estimator = self.fit("MLPRegressor", X, np.abs(Y[:, 0]), loss="poisson")
        net = Net.from_sklearn(estimator)
        assert (net.config.activations[-1], str(net.config.loss)) == ("exp", "poisson")
        assert relative_error(net.predict(X)[:, 0], estimator.predict(X)) < 1e-8

    def test_parameters_are_copies_and_train(self):
        X, Y = draw("float64")
        estimator = self.fit("MLPRegressor", X, Y[:, 0])
        before = estimator.predict(X)
        Net.from_sklearn(estimator).fit(X, Y, epochs=2)
        np.testing.assert_array_equal(estimator.predict(X), before)

    def test_an_estimator_of_ones_own_whose_parameters_have_changed(self):
        """Its predictions go by its net, and not by what the next fit is to do."""
        from chainrule import MLPRegressor

        X, Y = draw("float64")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = MLPRegressor(hidden_layer_sizes=(7,), activation="tanh", max_iter=5, random_state=0).fit(
                X, Y[:, 0]
            )
        expected = estimator.predict(X)
        estimator.set_params(activation="relu")
        np.testing.assert_array_equal(Net.from_sklearn(estimator).predict(X)[:, 0], expected)

    def test_what_is_no_fitted_network_is_refused(self):
        with pytest.raises(ValueError, match="^estimator is not fitted: it has no coefs_"):
            Net.from_sklearn(self.networks.MLPRegressor())
        linear = pytest.importorskip("sklearn.linear_model")
        for given in (linear.LinearRegression(), self.networks.MLPRegressor, 3):
            with pytest.raises(TypeError, match="^estimator must be a fitted MLPRegressor or MLPClassifier, got"):
                Net.from_sklearn(given)

    def test_an_activation_that_is_not_known_is_named(self):
        X, Y = draw("float64")
        estimator = self.fit("MLPRegressor", X, Y[:, 0])
        estimator.activation = "cube"
        with pytest.raises(ValueError, match="^activation of the estimator must be one of 'logistic', .*; got 'cube'"):
            Net.from_sklearn(estimator)


class TestTorch:
    @pytest.fixture(autouse=True)
    def torch(self):
        self.torch = pytest.importorskip("torch")
        self.nn = self.torch.nn

    def run(self, module, X):
        with self.torch.no_grad():
            return module(self.torch.from_numpy(X)).numpy()

    def linear(self, inputs=FEATURES, outputs=3, **options):
        return self.nn.Linear(inputs, outputs, **options)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(
        ("hidden", "output"),
        [*((name, "identity") for name in HIDDEN_ACTIVATIONS), *(("tanh", name) for name in ACTIVATIONS)],
    )
    def test_there_and_back(self, hidden, output, dtype):
        net = Net([FEATURES, 6, 4, 3], hidden=[hidden, "tanh"], output=output, dtype=dtype, seed=0, dropout=[0.5, 0])
        net.biases[0][...] = np.linspace(-1, 1, 6)
        X, _ = draw(dtype)
        module = net.to_torch()
        assert relative_error(self.run(module, X), net.predict(X)) < TOLERANCE[dtype]
        again = Net.from_torch(module)
        np.testing.assert_array_equal(again.predict(X), net.predict(X))
        assert again.config.activations == net.config.activations
        assert again.config.dropout == (0.5, 0.0)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "exp"])
    def test_modules_are_as_exact_in_the_tails(self, activation, dtype):
        net = Net([1, 2], hidden=[], output=activation, dtype=dtype, seed=0)
        net.weights[0][...] = [[1, 0]]
        X = np.linspace(-1000, 1000, 2001)[:, np.newaxis].astype(dtype)
        # PyTorch's gelu is 1 + erf, which loses digits.
        tolerance = {"rtol": TOLERANCE[dtype], "atol": 1e-6}
        np.testing.assert_allclose(self.run(net.to_torch(), X), net.predict(X), **tolerance)

    def test_modules_as_people_write_them(self):
        nn, torch = self.nn, self.torch
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Sequential(self.linear(outputs=8, bias=False), nn.Identity(), nn.Softplus(), nn.Dropout(0.25)),
            nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Identity()),
            nn.Linear(6, 5),
            nn.Linear(5, 2),
            nn.Softmax(dim=1),
        ).eval()
        X, _ = draw("float32")
        net = Net.from_torch(module)
        assert net.config.activations == ("softplus", "gelu", "identity", "softmax")
        assert net.config.dropout == (0.25, 0.0, 0.0)
        assert str(net.config.loss) == "cross_entropy"
        assert relative_error(net.predict(X), self.run(module, X)) < 1e-6

    def test_a_module_without_biases(self):
        module = self.nn.Sequential(self.linear(bias=False), self.nn.ReLU(), self.nn.Linear(3, 2, bias=False))
        net = Net.from_torch(module)
        X, _ = draw("float32")
        assert not net.config.bias
        assert relative_error(net.predict(X), self.run(module, X)) < 1e-6
        assert relative_error(self.run(net.to_torch(), X), net.predict(X)) < 1e-6

    def test_logits_get_the_softmax_that_is_asked_for(self):
        module = self.nn.Sequential(self.linear())
        X, _ = draw("float32")
        net = Net.from_torch(module, output="softmax")
        expected = self.torch.softmax(module(self.torch.from_numpy(X)), 1).detach().numpy()
        assert relative_error(net.predict(X), expected) < 1e-6
        assert relative_error(self.run(net.to_torch()[:-1], X), self.run(module, X)) < 1e-6
        assert str(Net.from_torch(module, loss="huber(0.5)").config.loss) == "huber(0.5)"
        with pytest.raises(ValueError, match="output='softmax' is for a module that ends with a Linear; it ends with"):
            Net.from_torch(net.to_torch(), output="softmax")

    def test_parameters_are_copies_both_ways_and_train(self):
        net = Net([FEATURES, 4, 1], output="identity", dropout=0.5, seed=0)
        X, Y = draw("float32")
        before = net.parameters.copy()
        module = net.to_torch()
        assert not module.training
        optimizer = self.torch.optim.SGD(module.parameters(), lr=0.1)
        module(self.torch.from_numpy(X)).sum().backward()
        optimizer.step()
        np.testing.assert_array_equal(net.parameters, before)
        moved = self.run(module, X)
        assert relative_error(moved, net.predict(X)) > 1e-3
        Net.from_torch(module).fit(X, Y, epochs=2)
        np.testing.assert_array_equal(self.run(module, X), moved)

    def test_random_numbers_of_torch_are_not_drawn_upon(self):
        state = self.torch.get_rng_state()
        Net([3, 2], hidden=[]).to_torch()
        assert self.torch.equal(state, self.torch.get_rng_state())

    @pytest.mark.parametrize(
        ("build", "error", "words"),
        [
            (
                lambda nn: nn.Linear(2, 1),
                TypeError,
                "module must be a torch.nn.Sequential with its own forward, got Linear",
            ),
            (lambda nn: nn.Sequential(), ValueError, "module has no Linear"),
            (
                lambda nn: nn.Sequential(nn.Flatten(), nn.Linear(2, 1)),
                TypeError,
                r"module 0 \(Flatten\) is not allowed",
            ),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 1), nn.Sequential(nn.ReLU6())),
                TypeError,
                r"module 1.0 \(ReLU6\) is not allowed; allowed are Linear, Sigmoid, .*, Softmax, Dropout, Identity",
            ),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 3), nn.LogSoftmax(dim=1)),
                TypeError,
                r"module 1 \(LogSoftmax\) returns logarithms of probabilities.*give output='softmax'",
            ),
            (lambda nn: nn.Sequential(nn.ReLU(), nn.Linear(2, 1)), ValueError, r"module 0 \(ReLU\) is not where"),
            (lambda nn: nn.Sequential(nn.Dropout(), nn.Linear(2, 1)), ValueError, r"module 0 \(Dropout\) is not where"),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh(), nn.Linear(2, 1)),
                ValueError,
                r"module 2 \(Tanh\) is not where a net has it: each Linear may be followed by one activation",
            ),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Tanh(), nn.Linear(2, 1)),
                ValueError,
                r"module 2 \(Tanh\) is not where a net has it",
            ),
            (lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Dropout()), ValueError, "module ends with a Dropout"),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(0.2)),
                ValueError,
                r"module 1 \(LeakyReLU\) has negative_slope=0.2; allowed is negative_slope=0.01",
            ),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Softplus(beta=2)),
                ValueError,
                r"module 1 \(Softplus\) has beta=2.*, threshold=20.*; allowed is beta=1.0",
            ),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=0)),
                ValueError,
                r"module 1 \(Softmax\) has dim=0; allowed is dim=-1",
            ),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=1), nn.Linear(2, 1)),
                ValueError,
                r"hidden\[0\] must be one of .*; got 'softmax'",
            ),
            (lambda nn: nn.Sequential(nn.Linear(2, 2)).half(), TypeError, "parameters of float16; allowed are float32"),
            (
                lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()),
                TypeError,
                "parameters of float32 and float64; a net has one dtype",
            ),
            (
                lambda nn: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
                TypeError,
                r"module 0 \(ParametrizedLinear\) is not allowed",
            ),
        ],
    )
    def test_modules_that_no_net_has_are_named(self, build, error, words):
        with pytest.raises(error, match=words):
            Net.from_torch(build(self.nn))

    def test_hooks_are_refused(self):
        for place, words in ((0, r"module 0 \(Linear\)"), (None, r"module itself \(Sequential\)")):
            module = self.nn.Sequential(self.linear())
            (module if place is None else module[place]).register_forward_hook(lambda *arguments: None)
            with pytest.raises(ValueError, match=f"{words} has forward hooks"):
                Net.from_torch(module)

    def test_a_forward_of_its_own_is_refused(self):
        class Shifted(self.nn.Sequential):
            def forward(self, x):
                return super().forward(x) + 1

        module = self.nn.Sequential(self.linear())
        module[0].forward = lambda x: x
        with pytest.raises(ValueError, match="module 0"):
            Net.from_torch(module)
        with pytest.raises(TypeError, match="with its own forward, got Shifted"):
            Net.from_torch(Shifted(self.linear()))

    def test_modules_that_are_there_twice(self):
        nn = self.nn
        relu, dropout, square = nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 4)
        block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
        for module in (
            nn.Sequential(nn.Linear(4, 8), relu, dropout, nn.Linear(8, 4), relu, dropout, nn.Linear(4, 2)),
            nn.Sequential(block, block, nn.Linear(4, 2)),
            nn.Sequential(square, relu, square, relu),
        ):
            net, linear = Net.from_torch(module), [part for part in module.modules() if type(part) is nn.Linear]
            assert len(net.weights) >= len(linear)
            expected = module.eval()(self.torch.from_numpy(X)).detach().numpy()
            np.testing.assert_allclose(net.predict(X), expected, atol=1e-6)
            if dropout in module:
                assert net.config.dropout == (0.3, 0.3)
