"""The derivations: every printed formula is read from the page, evaluated, and compared with the net's number."""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from chainrule import SGD
from chainrule.config import ACTIVATIONS, HIDDEN_ACTIVATIONS, OUTPUT_OF_LOSS, REDUCTIONS, NetConfig
from chainrule.derivation import compare, derive
from chainrule.derivation.formulas import ACTIVATION_FORMULAS, LOSS_FORMULAS, loss_formula
from chainrule.derivation.matrix import Listed
from chainrule.derivation.notation import LATEX, TEXT
from chainrule.derivation.rule import Rule
from chainrule.derivation.symbols import Index, Symbol
from chainrule.losses import LOSSES, read_loss
from chainrule.reference import Net
from chainrule.reference.activations import ACTIVATIONS as ACTIVATIONS_OF_NET
from chainrule.reference.losses import loss_of
from formula_reader import ROWS, Equation, Formula, read_page, read_symbol

GAMMA = 0.25

#: Every loss with its defaults, and those with constants with others.
GIVEN_LOSSES = [*LOSSES, "huber(0.3)", "quantile(0.2)", "quantile(0.1, 0.5, 0.9)", "cross_entropy(0.1)"]
OUTPUTS_AND_LOSSES = [
    (output, loss)
    for output, loss in itertools.product(ACTIVATIONS, GIVEN_LOSSES)
    if OUTPUT_OF_LOSS.get(read_loss(loss).name, output) == output
]


def random_config(seed: int) -> NetConfig:
    draw = random.Random(seed)
    depth = draw.randint(1, 4)
    output, loss = draw.choice(OUTPUTS_AND_LOSSES)
    outputs = read_loss(loss).outputs_per_target * draw.randint(2 if output == "softmax" else 1, 3)
    sizes = [draw.randint(1, 3) for _ in range(depth)] + [outputs]
    hidden = [draw.choice(HIDDEN_ACTIVATIONS) for _ in range(depth - 1)]
    return NetConfig.create(sizes, hidden, output, loss, draw.choice(REDUCTIONS), draw.random() < 0.7, "float64")


def config_of_pair(at: int) -> NetConfig:
    """Return a net with one of `OUTPUTS_AND_LOSSES`; the hidden activations and the reductions take turns."""
    output, loss = OUTPUTS_AND_LOSSES[at]
    sizes = [2, 2, 3 * read_loss(loss).outputs_per_target]
    hidden = HIDDEN_ACTIVATIONS[at % len(HIDDEN_ACTIVATIONS)]
    return NetConfig.create(sizes, hidden, output, loss, REDUCTIONS[at % 2], dtype="float64")


CONFIGS = {
    **{f"random {seed}": random_config(seed) for seed in range(40)},
    **{" ".join(pair): config_of_pair(at) for at, pair in enumerate(OUTPUTS_AND_LOSSES)},
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())

#: Every activation once, and every loss once.
COVERING = [
    CONFIGS[f"{output} {loss}"]
    for output, loss in OUTPUTS_AND_LOSSES
    if loss == "squared_error" or output == OUTPUT_OF_LOSS.get(read_loss(loss).name, "identity")
]
NEIGHBOURS = list(itertools.pairwise([*map(random_config, range(20)), *COVERING]))


def net_and_data(config: NetConfig) -> tuple[Net, np.ndarray, np.ndarray]:
    random_numbers = np.random.default_rng(sum(config.sizes))
    *hidden, output = config.activations
    net = Net(config.sizes, hidden, output, config.loss, config.reduction, config.bias, config.dtype, seed=0)
    net.parameters[:] = 0.7 * random_numbers.normal(size=net.parameters.size)
    X = random_numbers.normal(size=(ROWS, config.features))
    Y = random_numbers.uniform(size=(ROWS, config.target_columns))
    if config.loss.name == "cross_entropy":
        Y /= Y.sum(axis=1, keepdims=True)
    return net, X, np.sign(Y - 0.5) if config.loss.name == "hinge" else Y


def targets_of_loss(config: NetConfig, Y: np.ndarray) -> dict[str, Any]:
    """What the loss makes of the targets, and the quantile of each output."""
    constants = config.loss.constants
    match config.loss.name:
        case "hinge":
            return {"T": np.where(Y > 0, 1, -1)}
        case "cross_entropy":
            return {"T": Y + constants[0] * (1 / config.outputs - Y)}
        case "quantile":
            tau = np.array([constants[j % len(constants)] for j in range(config.outputs)])
            return {"T": Y[:, [j // len(constants) for j in range(config.outputs)]], "tau": tau}
    return {}


def known_values(net: Net, X: np.ndarray, Y: np.ndarray) -> dict[str, Any]:
    """Everything that a reader of the page has: data, parameters, and the trace."""
    values: dict[str, Any] = {"X": X, "Y": Y, "N": ROWS, "gamma": GAMMA, **net.trace(X, Y)}
    values |= targets_of_loss(net.config, Y)
    values["L"] = net.loss(X, Y)
    for layer, W in enumerate(net.weights, start=1):
        values[f"W{layer}"] = W.copy()
    for layer, b in enumerate(net.biases, start=1):
        values[f"b{layer}"] = b.copy()
    return values


def assert_equal(actual: Any, expected: Any, where: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-13, err_msg=where)
    assert np.shape(actual) == np.shape(expected), where


@every_config
def test_every_printed_formula_gives_the_number_of_the_net(config: NetConfig) -> None:
    net, X, Y = net_and_data(config)
    values = known_values(net, X, Y)
    net.step(X, Y, SGD(lr=GAMMA))
    updated = {f"W{layer}": W for layer, W in enumerate(net.weights, start=1)}
    updated |= {f"b{layer}": b for layer, b in enumerate(net.biases, start=1)}
    page = derive(config)
    met = set()
    # The chain rule of a layer is printed before the factors that it is made of.
    for equation in sorted(read_page(page), key=lambda equation: "/" not in equation.left):
        for right in equation.rights:
            if " * " in right:
                check_chain(right)
            else:
                met.add(check(equation, right, values, updated, f"{equation.left} = {right}\n{page}"))
    assert met >= {"L", "dL/dYhat", "dYhat/dO", *net.trace(X, Y), *updated}


def check_chain(right: str) -> None:
    factors = [factor.strip().split("/d") for factor in right.split(" * ")]
    assert factors[0][0] == "dL"
    assert all(f"d{below}" == above for (_, below), (above, _) in itertools.pairwise(factors)), right


def check(equation: Equation, right: str, values: dict[str, Any], updated: dict[str, Any], where: str) -> str:
    """Compare a right side with the net's numbers, or with the other right sides; return the name on the left."""
    name, labels = read_symbol(equation.left)
    formula = Formula(right, values, equation.sizes)
    if not labels:
        assert_equal(formula.value({}), updated[name] if name in updated else values[name], where)
        return name
    free = list(dict.fromkeys(label for label in labels if label != "1"))
    entries = {}
    for position in itertools.product(*(range(equation.sizes[letter]) for letter in free)):
        at = dict(zip(free, position, strict=True))
        entries[tuple(at.get(label, 0) for label in labels)] = float(formula.value(at))
    if "/" in name:
        assert entries == pytest.approx(values.setdefault(name, entries), rel=1e-12), where
    else:
        assert sorted(entries) == list(np.ndindex(values[name].shape)), where
        assert_equal(np.reshape([entries[key] for key in sorted(entries)], values[name].shape), values[name], where)
    return name


@every_config
def test_every_matrix_formula_evaluates_to_what_it_prints(config: NetConfig) -> None:
    values = known_values(*net_and_data(config))
    for equation in (equation for section in Rule(config).sections for equation in section.equations):
        if isinstance(equation.left, Symbol) and not equation.left.subscripts and equation.left.name in values:
            for step in equation.steps:
                printed = step.right.write(TEXT)
                if "dL/dYhat" not in printed and not equation.left.name.startswith(("W", "b")):
                    sizes = {index.letter: ROWS if index.size == "N" else index.size for index in equation.indices()}
                    assert_equal(step.right.evaluate(values, {}), Formula(printed, values, sizes).value({}), printed)


SLOPE_STEP = 1e-6
POINT = Symbol("x", rank=0)
TARGET = Symbol("y", rank=0)


@pytest.mark.parametrize("name", sorted(ACTIVATION_FORMULAS))
@pytest.mark.parametrize("h", [-3.7, -1.3, 0.4, 2.0, 3.7])
def test_activation_derivative_is_that_of_its_definition(name: str, h: float) -> None:
    formula = ACTIVATION_FORMULAS[name]
    value = formula.definition(POINT)
    slope = formula.derivative(POINT, value).evaluate({"x": h}, {})
    above, below = (value.evaluate({"x": h + step}, {}) for step in (SLOPE_STEP, -SLOPE_STEP))
    assert slope == pytest.approx((above - below) / (2 * SLOPE_STEP), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("name", GIVEN_LOSSES)
@pytest.mark.parametrize("y", [-1.0, 0.0, 0.3, 1.0])
def test_loss_derivative_is_that_of_its_value(name: str, y: float) -> None:
    formula, values = loss_formula(read_loss(name), 3), {"tau": np.array([0.1, 0.5, 0.9]), "y": y}
    value = formula.value(TARGET, POINT)
    slope = formula.derivative(TARGET, POINT).evaluate({"x": 0.65, **values}, {})
    above, below = (value.evaluate({"x": 0.65 + step, **values}, {}) for step in (SLOPE_STEP, -SLOPE_STEP))
    assert slope == pytest.approx((above - below) / (2 * SLOPE_STEP), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("name", sorted(ACTIVATION_FORMULAS))
def test_activation_is_that_of_the_net_at_kinks(name: str) -> None:
    formula, H = ACTIVATION_FORMULAS[name], np.array([[-3.0, 0.0, 3.0]])
    value = formula.definition(POINT)
    A = ACTIVATIONS_OF_NET[name].function(H)
    slope = np.broadcast_to(formula.derivative(POINT, value).evaluate({"x": H}, {}), H.shape)
    assert_equal(value.evaluate({"x": H}, {}), A, name)
    assert_equal(slope, ACTIVATIONS_OF_NET[name].backward(H, A, np.ones_like(H)), name)


@pytest.mark.parametrize("name", ["absolute_error", "huber", "huber(0.25)", "quantile(0.2)", "hinge"])
@pytest.mark.parametrize("error", [-1.0, -0.25, 0.0, 0.25, 1.0])
def test_loss_slope_is_that_of_the_net_at_kinks(name: str, error: float) -> None:
    rule, Y = read_loss(name), np.array([[1.0]])
    slope = loss_formula(rule, 1).derivative(TARGET, POINT).evaluate({"x": Y + error, "y": Y}, {})
    assert_equal(slope, loss_of(rule).gradient(Y + error, Y), name)


def test_the_tables_hold_every_activation_and_loss() -> None:
    assert {*ACTIVATION_FORMULAS, "softmax"} == set(ACTIVATIONS)
    assert set(LOSS_FORMULAS) == set(LOSSES)


def test_document_002_with_its_index_ranges() -> None:
    page = derive(NetConfig.create([3, 4, 1], bias=False))
    assert re.search(r"O\[i,1\] = sum_k Z\[i,k\] W2\[k,1\] +i = 1\.\.N, k = 1\.\.4\n", page)
    assert re.search(r"dH\[i,l\]/dW1\[k,l\] = X\[i,k\] +i = 1\.\.N, k = 1\.\.3, l = 1\.\.4\n", page)
    assert "1/N sum_i Z[i,k] (Yhat[i,1] - Y[i,1]) Yhat[i,1] (1 - Yhat[i,1])\n" in page
    assert "b1" not in page


@pytest.mark.parametrize(
    ("output", "loss", "cancelled"),
    [("sigmoid", "log_loss", r"Yhat .* (1 - Yhat) cancels"), ("softmax", "cross_entropy", "Yhat cancels")],
)
def test_cancelling_factors_are_shown(output: str, loss: str, cancelled: str) -> None:
    page = derive(NetConfig.create([3, 4, 2], output=output, loss=loss))
    assert cancelled in page
    assert re.search(r"= \(Yhat - Y\) / N ", page)
    assert "cancels" not in derive(NetConfig.create([3, 4, 2], output=output, loss="squared_error"))


@pytest.mark.parametrize(("config", "other"), NEIGHBOURS)
def test_text_is_ascii_of_at_most_100_columns(config: NetConfig, other: NetConfig) -> None:
    for page in (derive(config), compare(config, other)):
        assert page.isascii()
        assert max(map(len, page.splitlines())) <= 100


def assert_latex_is_well_formed(page: str) -> None:
    assert page.isascii()
    assert page.count("{") == page.count("}")
    assert page.count(r"\left") - page.count(r"\leftarrow") == page.count(r"\right")
    opened: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{([^}]*)\}", page):
        if what == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    outside_mathematics = re.sub(r"\$[^$]*\$|\\\[.*?\n\\\]", "", page, flags=re.DOTALL)
    if "align*" not in page:
        assert not re.search(r"(?<!\\)_", outside_mathematics)


@pytest.mark.parametrize(("config", "other"), NEIGHBOURS)
def test_latex_is_well_formed(config: NetConfig, other: NetConfig) -> None:
    page = derive(config, latex=True)
    assert_latex_is_well_formed(page)
    assert_latex_is_well_formed(compare(config, other, latex=True))
    first, *rows, last = page.splitlines()
    assert (first, last) == (r"\begin{align*}", r"\end{align*}")
    assert all(row.count("&") == 1 for row in rows)


@pytest.mark.parametrize("config", COVERING)
def test_every_latex_formula_can_be_set(config: NetConfig) -> None:
    from matplotlib.mathtext import MathTextParser

    parser = MathTextParser("path")
    one_layer = replace(config, sizes=config.sizes[1:], activations=config.activations[1:])
    for equation in (equation for section in Rule(one_layer).sections for equation in section.equations):
        for formula in (equation.left, *(step.right for step in equation.steps)):
            parser.parse(f"${formula.write(LATEX)}$")


def marks(page: str) -> dict[str, str]:
    """Return the mark of each term of a comparison by its name."""
    found = re.findall(r"^  ([=*]) (\S+) ", page, flags=re.MULTILINE)
    return {read_symbol(name)[0]: mark for mark, name in found}


def differing(page: str) -> set[str]:
    return {name for name, mark in marks(page).items() if mark == "*"}


REGRESSION = NetConfig.create([3, 4, 1], output="identity", loss="squared_error")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"loss": read_loss("half_squared_error")}, {"L", "dL/dYhat", "delta_O"}),
        ({"reduction": "sum"}, {"L", "dL/dYhat", "delta_O"}),
        ({"activations": ("tanh", "identity")}, {"dZ/dH", "delta_H"}),
        ({"activations": ("sigmoid", "tanh")}, {"dYhat/dO", "delta_O"}),
        ({"bias": False}, {"dO/db2", "db2", "dH/db1", "db1"}),
        ({"sizes": (5, 7, 1)}, set()),
    ],
)
def test_comparison_marks_the_terms_that_differ(changes: dict[str, Any], expected: set[str]) -> None:
    other = replace(REGRESSION, **changes)
    assert differing(compare(REGRESSION, other)) == differing(compare(other, REGRESSION)) == expected
    assert len(marks(compare(REGRESSION, other))) == 15


def test_question_of_document_004() -> None:
    log_loss = NetConfig.create([3, 4, 1], loss="log_loss")
    page = compare(log_loss, NetConfig.create([3, 4, 1], loss="half_squared_error"))
    assert differing(page) == {"L", "dL/dYhat", "delta_O"}
    assert "A: Yhat .* (1 - Yhat) of dYhat/dO cancels, and leaves delta_O = (Yhat - Y) / N." in page
    assert "B: dYhat/dO = Yhat .* (1 - Yhat) remains a factor of delta_O" in page
    assert "delta_O of A over delta_O of B is 1 ./ (Yhat .* (1 - Yhat))." in page
    assert "A: delta_O goes from 0.9 to 0.99 as a wrong output goes from 0.9 to 0.99: it grows" in page
    assert "B: delta_O goes from 0.081 to 0.009801 as a wrong output goes from 0.9 to 0.99: the surer" in page


@pytest.mark.parametrize(
    ("output", "inverse", "losses"),
    [
        ("sigmoid", lambda yhat: np.log(yhat / (1 - yhat)), ("log_loss", "squared_error")),
        ("softplus", lambda yhat: np.log(np.expm1(yhat)), ("huber(0.7)", "quantile(0.2)")),
        ("exp", np.log, ("poisson", "log_cosh")),
    ],
)
def test_printed_deltas_are_those_of_a_net_with_that_output(output: str, inverse: Any, losses: tuple[str, str]) -> None:
    page = compare(*(NetConfig.create([1, 1], output=output, loss=loss) for loss in losses))
    rows = [[float(cell) for cell in row.split()] for row in page.splitlines()[-3:]]
    assert [yhat for yhat, *_ in rows] == [0.5, 0.9, 0.99]
    for yhat, at_a, at_b, ratio in rows:
        deltas = []
        for loss in losses:
            net = Net([1, 1], output=output, loss=loss, dtype="float64", init="zeros")
            net.biases[0][0] = inverse(yhat)
            deltas.append(net.trace([[0.0]], [[0.0]])["delta_O"].item())
        assert [at_a, at_b, ratio] == pytest.approx([*deltas, deltas[0] / deltas[1]], rel=1e-5)


def test_learning_rate_that_makes_up_for_a_constant() -> None:
    other = replace(REGRESSION, loss=read_loss("half_squared_error"), reduction="sum", dtype="float64")
    mean = replace(REGRESSION, dtype="float64")
    page = compare(mean, other)
    assert "A with learning rate gamma takes the step of B with learning rate 2 gamma / N." in page
    (net_a, X, Y), (net_b, _, _) = net_and_data(mean), net_and_data(other)
    net_a.step(X, Y, SGD(lr=GAMMA))
    net_b.step(X, Y, SGD(lr=2 * GAMMA / ROWS))
    assert_equal(net_a.parameters, net_b.parameters, page)


def test_softmax_and_sigmoid_share_the_delta_of_their_own_losses() -> None:
    page = compare(
        NetConfig.create([3, 2], output="softmax", loss="cross_entropy"), NetConfig.create([3, 2], loss="log_loss")
    )
    assert differing(page) == {"L", "dL/dYhat", "dYhat/dO"}
    assert "delta_O is the same formula in both." in page
    assert "Yhat    A" not in page


def test_targets_and_levels_that_a_loss_makes_are_terms() -> None:
    several = replace(REGRESSION, sizes=(3, 4, 6), loss=read_loss("quantile(0.1, 0.9)"))
    page = compare(several, replace(several, loss=read_loss("absolute_error")))
    assert differing(page) == {"T", "tau", "L", "dL/dYhat", "delta_O"}
    assert re.search(r"T +A: repeat\(Y, 2\)\n +B: \(none\)\n", page)
    assert "tau                 A: (0.1, 0.9, 0.1, 0.9, 0.1, 0.9)\n" in page


def test_a_delta_of_one_size_does_not_grow() -> None:
    page = compare(REGRESSION, replace(REGRESSION, loss=read_loss("absolute_error")))
    assert "B: delta_O goes from 1 to 1 as a wrong output goes from 0.9 to 0.99: it does not grow" in page


def test_a_listed_vector_has_entries() -> None:
    unit = Index("l", 3)
    entry = Listed((Fraction(1, 10), Fraction(1, 2), Fraction(9, 10))).entry(Index("i", "N"), unit)
    assert entry.write(TEXT) == "(0.1, 0.5, 0.9)[l]"
    assert [entry.evaluate({}, {"l": at}) for at in range(3)] == [0.1, 0.5, 0.9]


def test_a_rule_does_not_differ_from_itself() -> None:
    page = compare(REGRESSION, REGRESSION)
    assert not differing(page)
    assert "The two rules are the same, formula by formula." in page
