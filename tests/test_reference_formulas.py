"""The reference's formulas one by one: activations and losses, against high precision, differences and definitions."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from chainrule import config as chainrule_config
from chainrule import losses as chainrule_losses
from chainrule.config import OUTPUT_OF_LOSS, NetConfig
from chainrule.losses import read_loss
from chainrule.reference import Net
from chainrule.reference.activations import ACTIVATIONS, SELU_ALPHA, SELU_SCALE
from chainrule.reference.inputs import read_targets
from chainrule.reference.losses import LOSSES, loss_of

POINTS = [-1000.0, -50.0, -8.0, -0.7, -1e-8, 0.0, 1e-8, 0.7, 8.0, 50.0, 1000.0]
UNITWISE = [name for name in ACTIVATIONS if name != "softmax"]
GIVEN_LOSSES = [*LOSSES, "huber(0.3)", "quantile(0.2)", "quantile(0.1, 0.5, 0.9)", "cross_entropy(0.1)"]
OUTPUTS_AND_LOSSES = [
    (output, loss)
    for output, loss in itertools.product(ACTIVATIONS, GIVEN_LOSSES)
    if OUTPUT_OF_LOSS.get(read_loss(loss).name, output) == output
]

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning")


def test_the_tables_hold_every_activation_and_loss():
    assert tuple(ACTIVATIONS) == chainrule_config.ACTIVATIONS
    assert list(LOSSES) == list(chainrule_losses.LOSSES)


def exact(name: str, h: Decimal) -> Decimal:
    """The activation by its definition, in as many digits as the context has."""
    one, e = Decimal(1), h.exp()
    match name:
        case "identity" | "relu" | "leaky_relu":
            return h if h > 0 else h * {"identity": one, "relu": 0, "leaky_relu": one / 100}[name]
        case "sigmoid":
            return e / (1 + e)
        case "hard_sigmoid":
            return min(max(h / 6 + one / 2, Decimal(0)), one)
        case "tanh":
            return (e * e - 1) / (e * e + 1)
        case "elu":
            return h if h > 0 else e - 1
        case "selu":
            return Decimal("1.0507009873554804934") * (h if h > 0 else Decimal("1.6732632423543772848") * (e - 1))
        case "gelu":
            return h * exact_normal_distribution(h)
        case "gelu_tanh":
            u = (2 / Decimal(math.pi)).sqrt() * (h + Decimal("0.044715") * h**3)
            return h * (1 + exact("tanh", u)) / 2
        case "silu":
            return h * exact("sigmoid", h)
        case "mish":
            return h * exact("tanh", (1 + e).ln())
        case "softplus":
            return (1 + e).ln()
        case "softsign":
            return h / (1 + abs(h))
    assert name == "exp"
    return e


def exact_normal_distribution(h: Decimal) -> Decimal:
    """Phi: beyond 5 by the continued fraction of Mills' ratio (Abramowitz and Stegun 26.2.14), else by its series."""
    if h > 5:
        return 1 - exact_normal_distribution(-h)
    root = (2 * Decimal(math.pi)).sqrt()
    if h < -5:
        ratio = -h
        for k in reversed(range(1, 200)):
            ratio = k / ratio - h
        return (-h * h / 2).exp() / root / ratio
    total = term = h
    for n in range(1, 100):
        term *= -h * h / (2 * n)
        total += term / (2 * n + 1)
    return Decimal("0.5") + total / root


@pytest.mark.parametrize("h", POINTS)
@pytest.mark.parametrize("name", UNITWISE)
def test_value_is_exact_to_the_last_digits(name, h):
    with localcontext() as context:
        context.prec = 500
        context.Emin, context.Emax = -(10**15), 10**15
        expected = float(exact(name, Decimal(h)))
    actual = ACTIVATIONS[name].function(np.array([[h]])).item()
    # The tail of Phi magnifies the rounding of h by h^2.
    assert actual == pytest.approx(expected, rel=1e-12 if name == "gelu" else 3e-15, abs=1e-300)


def differences(function, H: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Five-point differences of a number by each entry of H."""
    slopes = np.empty_like(H)
    for entry in np.ndindex(H.shape):
        values = []
        for multiple in (1, -1, 2, -2):
            moved = H.copy()
            moved[entry] += multiple * step
            values.append(function(moved))
        slopes[entry] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
    return slopes


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_is_the_derivative(name):
    function, backward = ACTIVATIONS[name]
    random = np.random.default_rng(0)
    for scale in (0.1, 1, 5):
        H, dA = scale * random.standard_normal((8, 4)), random.standard_normal((8, 4))
        expected = differences(lambda H, dA=dA: float((dA * function(H)).sum()), H)
        np.testing.assert_allclose(
            backward(H, function(H), dA), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max()
        )


#: Slopes at -1000 and at 1000.
LIMITS = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "tanh"), (0, 0)),
    **dict.fromkeys(("relu", "elu", "gelu", "gelu_tanh", "silu", "mish", "softplus"), (0, 1)),
    "identity": (1, 1),
    "leaky_relu": (0.01, 1),
    "selu": (0, SELU_SCALE),
    "softsign": (1 / 1001**2, 1 / 1001**2),
    "exp": (0, math.inf),
}


@pytest.mark.parametrize("name", UNITWISE)
def test_slope_goes_to_its_limit(name):
    function, backward = ACTIVATIONS[name]
    H = np.array([[-1000.0, 1000.0]])
    np.testing.assert_allclose(backward(H, function(H), np.ones_like(H)), [LIMITS[name]], rtol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_slope_is_nan(name):
    function, backward = ACTIVATIONS[name]
    H = np.array([POINTS, POINTS[::-1]])
    assert not np.isnan(backward(H, function(H), np.ones_like(H))).any()


@pytest.mark.parametrize(
    ("name", "h", "slope"),
    [
        ("relu", 0.0, 0.0),
        ("leaky_relu", 0.0, 0.01),
        ("elu", 0.0, 1.0),
        ("selu", 0.0, SELU_SCALE * SELU_ALPHA),
        ("hard_sigmoid", -3.0, 0.0),
        ("hard_sigmoid", 3.0, 0.0),
    ],
)
def test_slope_at_a_kink(name, h, slope):
    function, backward = ACTIVATIONS[name]
    H = np.array([[h]])
    assert backward(H, function(H), np.ones_like(H)).item() == slope


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_the_dtype(name):
    function, backward = ACTIVATIONS[name]
    H = np.array([[-4, -1, 0.5, 2]], np.float32)
    assert function(H).dtype == backward(H, function(H), H).dtype == np.float32


def targets(loss: str, columns: int, rows: int = 4) -> np.ndarray:
    """Targets that suit a loss; the classes' probabilities sum to 1."""
    Y = np.random.default_rng(1).random((rows, columns))
    if loss.startswith("cross_entropy"):
        Y /= Y.sum(axis=1, keepdims=True)
    return np.sign(Y - 0.5) if loss == "hinge" else Y


@pytest.mark.parametrize(("output", "loss"), OUTPUTS_AND_LOSSES)
def test_gradient_of_a_loss_is_its_derivative(output, loss):
    formulas, activation = loss_of(read_loss(loss)), ACTIVATIONS[output]
    Y = targets(loss, 3)
    H = np.random.default_rng(2).standard_normal((len(Y), 3 * read_loss(loss).outputs_per_target))
    delta = formulas.gradient(activation.function(H), Y)
    if not formulas.from_logits:
        delta = activation.backward(H, activation.function(H), delta)
    expected = differences(lambda H: float(formulas.of_rows(H, activation.function(H), Y).sum()), H)
    np.testing.assert_allclose(delta, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("loss", "yhat", "y", "value", "slope"),
    [
        ("squared_error", 3, 1, 4, 4),
        ("half_squared_error", 3, 1, 2, 2),
        ("absolute_error", 3, 1, 2, 1),
        ("absolute_error", -3, 1, 4, -1),
        ("absolute_error", 1, 1, 0, 0),
        ("huber(0.5)", 1.25, 1, 0.03125, 0.25),
        ("huber(0.5)", 3, 1, 0.875, 0.5),
        ("huber(0.5)", -3, 1, 1.875, -0.5),
        ("huber(0.5)", 1.5, 1, 0.125, 0.5),
        ("huber", 3, 1, 1.5, 1),
        ("quantile(0.75)", 0, 2, 1.5, -0.75),
        ("quantile(0.75)", 2, 0, 0.5, 0.25),
        ("quantile(0.75)", 2, 2, 0, 0),
        ("quantile", 0, 2, 1, -0.5),
        ("log_cosh", 3, 1, math.log(math.cosh(2)), math.tanh(2)),
        ("log_cosh", -1e6, 0, 1e6 - math.log(2), -1),
        ("hinge", 0.25, 1, 0.75, -1),
        ("hinge", 0.25, 0, 1.25, 1),
        ("hinge", 0.25, -1, 1.25, 1),
        ("hinge", 2, 1, 0, 0),
        ("hinge", 1, 1, 0, 0),
        ("hinge", -1, -1, 0, 0),
    ],
)
def test_value_and_slope_of_one_output(loss, yhat, y, value, slope):
    formulas = loss_of(read_loss(loss))
    A, Y = np.array([[float(yhat)]]), np.array([[float(y)]])
    assert formulas.of_rows(A, A, Y).item() == pytest.approx(value, rel=1e-15)
    assert formulas.gradient(A, Y).item() == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    ("loss", "logits", "y", "value", "slope"),
    [
        ("log_loss", [1000], [0], 1000, [1]),
        ("log_loss", [1000], [1], 0, [0]),
        ("log_loss", [-1000], [1], 1000, [-1]),
        ("log_loss", [1000, -1000], [0.25, 0.5], 1250, [0.75, -0.5]),
        ("cross_entropy", [1000, -1000], [0, 1], 2000, [1, -1]),
        ("cross_entropy", [1000, -1000], [1, 0], 0, [0, 0]),
        ("cross_entropy(0.5)", [1000, -1000], [1, 0], 500, [0.25, -0.25]),
        ("poisson", [-1000], [2], 2000, [-2]),
        ("poisson", [math.log(3)], [2], 3 - 2 * math.log(3), [1]),
        ("poisson", [1000], [2], math.inf, [math.inf]),
    ],
)
def test_losses_of_logits_are_stable(loss, logits, y, value, slope):
    formulas = loss_of(read_loss(loss))
    H, Y = np.array([logits], float), np.array([y], float)
    A = ACTIVATIONS[OUTPUT_OF_LOSS[read_loss(loss).name]].function(H)
    assert formulas.from_logits
    assert formulas.of_rows(H, A, Y).item() == pytest.approx(value, rel=1e-15)
    np.testing.assert_allclose(formulas.gradient(A, Y), [slope], rtol=1e-15)


@pytest.mark.parametrize(("output", "loss"), OUTPUTS_AND_LOSSES)
def test_no_loss_and_no_gradient_is_nan_at_large_logits(output, loss):
    net = Net([1, 2 * read_loss(loss).outputs_per_target], output=output, loss=loss, dtype="float64", init="zeros")
    for bias in (-1000, 1000):
        net.biases[0][::2] = bias
        net.forward([[0.0]])
        value = net.backward(targets(loss, 2, rows=1))
        assert math.isfinite(value) or (output == "exp" and value == math.inf)
        if output != "exp":
            assert np.isfinite(net.gradients).all()


@pytest.mark.parametrize("loss", GIVEN_LOSSES)
def test_losses_keep_the_dtype(loss):
    formulas, Y = loss_of(read_loss(loss)), targets(loss, 2).astype(np.float32)
    A = np.full((len(Y), 2 * read_loss(loss).outputs_per_target), 0.5, np.float32)
    assert formulas.of_rows(A, A, Y).dtype == formulas.gradient(A, Y).dtype == np.float32


def twins(loss: str, twin_loss: str, sizes: list[int], output: str) -> tuple[Net, Net]:
    """Two nets that differ in their loss alone."""
    return tuple(Net(sizes, "tanh", output, given, dtype="float64", seed=0) for given in (loss, twin_loss))


@pytest.mark.parametrize("kind", ["indices", "one-hot", "soft"])
def test_label_smoothing_is_cross_entropy_of_smoothed_labels(kind):
    random = np.random.default_rng(3)
    X, labels, soft = random.standard_normal((6, 3)), random.integers(0, 4, 6), random.dirichlet(np.ones(4), 6)
    Y = {"indices": labels, "one-hot": np.eye(4)[labels], "soft": soft}[kind]
    rows = soft if kind == "soft" else np.eye(4)[labels]
    smoothing, plain = twins("cross_entropy(0.2)", "cross_entropy", [3, 5, 4], "softmax")
    for net in (smoothing, plain):
        net.forward(X)
    assert smoothing.backward(Y) == pytest.approx(plain.backward(0.8 * rows + 0.2 / 4), rel=1e-14)
    np.testing.assert_allclose(smoothing.gradients, plain.gradients, rtol=1e-12, atol=1e-15)


def test_several_quantiles_are_the_losses_of_separate_nets():
    taus = (0.1, 0.5, 0.9)
    random = np.random.default_rng(4)
    X, Y = random.standard_normal((7, 3)), random.standard_normal((7, 2))
    net = Net([3, 5, 6], "tanh", "identity", f"quantile{taus}", dtype="float64", seed=0)
    net.forward(X)
    loss, total = net.backward(Y), 0.0
    for q, tau in enumerate(taus):
        separate = Net([3, 5, 2], "tanh", "identity", f"quantile({tau})", dtype="float64")
        separate.weights[0][...], separate.weights[1][...] = net.weights[0], net.weights[1][:, q::3]
        separate.forward(X)
        total += separate.backward(Y)
        np.testing.assert_allclose(net.weight_gradients[1][:, q::3], separate.weight_gradients[1], rtol=1e-14)
    assert loss == pytest.approx(total, rel=1e-14)


def test_quantiles_of_one_column_take_a_vector():
    net = Net([2, 3], hidden=[], output="identity", loss="quantile(0.1, 0.5, 0.9)", seed=0)
    X, y = np.ones((4, 2)), np.arange(4.0)
    assert net.loss(X, y) == net.loss(X, y[:, np.newaxis])


@pytest.mark.parametrize(
    ("loss", "Y", "message"),
    [
        ("quantile(0.1, 0.9)", np.zeros((3, 4)), r"Y must have the shape \(3, 2\) for 3 rows; got \(3, 4\)"),
        ("quantile(0.1, 0.9)", np.zeros(3), r"Y must have the shape \(3, 2\) for 3 rows; got \(3,\)"),
        ("log_loss", 1.5, r"Y must be probabilities, from 0 to 1; it is 1\.5 at row 1, column 2"),
        ("cross_entropy", -0.5, r"Y must be probabilities, from 0 to 1; it is -0\.5 at row 1, column 2"),
        ("poisson", -1, r"Y must be at least 0 for the loss poisson; it is -1\.0 at row 1, column 2"),
        ("poisson", math.nan, r"Y must be finite as float32; it is nan at row 1, column 2"),
        ("hinge", 0.5, r"Y must be 1, and -1 or 0, for the loss hinge; it is 0\.5 at row 1, column 2"),
    ],
)
def test_wrong_targets(loss, Y, message):
    config = NetConfig.create([2, 4], hidden=[], output=OUTPUT_OF_LOSS.get(read_loss(loss).name, "identity"), loss=loss)
    if isinstance(Y, int | float):
        given, Y = Y, np.zeros((3, 4))
        Y[1, 2] = given
    with pytest.raises(ValueError, match=message):
        read_targets(config, Y, 3)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.float16])
def test_signs_and_counts_of_any_dtype(dtype):
    for loss, output in (("hinge", "identity"), ("poisson", "exp")):
        config = NetConfig.create([2, 1], hidden=[], output=output, loss=loss)
        Y = read_targets(config, np.array([0, 1, 1], dtype), 3)
        np.testing.assert_array_equal(Y, [[0], [1], [1]])
        assert Y.dtype == np.float32
