"""The update rule of a net, derived: forward pass, loss, chain rule layer by layer, update.

Not here: how it looks on a page (page.py), or what a formula is (expression.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import NetConfig
from .expression import Expression, Product, cancelled, number, product, without_minus
from .formulas import LossFormula, loss_formula, softmax, softmax_derivative
from .functions import Function, Indicator
from .layer import Layer, layers_of
from .matrix import ColumnSum, MatrixProduct, RowSum, Total, Transpose, total
from .symbols import Index, Partial, Symbol

__all__ = ["Equation", "Rule", "Section", "Step"]

ROW = Index("i", "N")
COUNT = Symbol("N", rank=0)
LOSS = Symbol("L", rank=0)
GAMMA = Symbol("gamma", rank=0)


@dataclass(frozen=True)
class Step:
    """One right-hand side; it follows from the one before by cancelling, or by what the reason says."""

    right: Expression
    cancelled: Expression | None = None
    reason: str = ""


@dataclass(frozen=True)
class Equation:
    """A symbol, an entry or a derivative, and equal right-hand sides; the last one is the result."""

    left: Symbol | Partial
    steps: tuple[Step, ...]

    @property
    def result(self) -> Expression:
        """The last right-hand side."""
        return self.steps[-1].right

    def indices(self) -> tuple[Index, ...]:
        """Every index with a range of more than one, in alphabetical order."""
        found = {*self.left.indices(), *(index for step in self.steps for index in step.right.indices())}
        return tuple(sorted((index for index in found if index.size != 1), key=lambda index: index.letter))


@dataclass(frozen=True)
class Section:
    """Equations under a title; `chain` is the chain rule whose factors they work out.

    `assigns` says that the left sides are given new values.
    """

    title: str
    equations: tuple[Equation, ...]
    chain: tuple[Partial, ...] = ()
    assigns: bool = False

    @property
    def chained(self) -> Partial:
        """What the chain rule gives: its first numerator by its last denominator."""
        return Partial(self.chain[0].of, self.chain[-1].by)


class Rule:
    """The derivation of one net's update rule.

    Attributes
    ----------
    config : NetConfig
    layers : list of Layer
    loss : LossFormula
    sections : tuple of Section
        In reading order. A chain rule stands before its factors; all other right-hand sides have
        only symbols that stand above them, X, Y, N, gamma and the parameters.
    """

    def __init__(self, config: NetConfig) -> None:
        self.config = config
        self.layers = layers = layers_of(config)
        self.loss = loss = loss_formula(config.loss, config.outputs)
        by_output = _scale(config) * loss.derivative(loss.y, layers[-1].output)
        delta = _output_delta(layers[-1], by_output, loss.y)
        sections = [
            _forward(layers, config.bias),
            _loss(config, layers[-1], loss),
            _output(config, layers, by_output, delta),
        ]
        for at in reversed(range(len(layers) - 1)):
            sections.append(_hidden(config, layers, at, delta[-1].right))
        self.sections = (*sections, _update(layers, config.bias))

    @property
    def terms(self) -> dict[str, Equation]:
        """What the rule is made of, by name: L, dL/dYhat, dYhat/dO, delta_O, dW2, ...

        Factors of the chain rule are in element form, all else in matrix form.
        """
        equations = [equation for section in self.sections[1:-1] for equation in section.equations]
        return {
            equation.left.name: equation
            for equation in equations
            if isinstance(equation.left, Partial) or not equation.left.subscripts
        }


def _equation(left: Symbol | Partial, *rights: Expression) -> Equation:
    return Equation(left, tuple(Step(right) for right in rights))


def _forward(layers: Sequence[Layer], bias: bool) -> Section:
    equations = []
    for layer in layers:
        h, i, unit = layer.preactivation, ROW, layer.unit_index()
        affine: Expression = MatrixProduct(layer.inputs, layer.weights, layer.input_index())
        affine = affine + layer.bias if bias else affine
        equations += [_equation(h, affine), _equation(h.entry(i, unit), affine.entry(i, unit))]
        if layer.activation == "softmax":
            meaning = softmax(h, layer.unit_index("j"))
            equations.append(_equation(layer.output, Function("softmax", h, meaning), meaning))
            equations.append(_equation(layer.output.entry(i, unit), meaning.entry(i, unit)))
        else:
            meaning = layer.definition
            named = () if meaning in (h, Function(layer.activation, h)) else (Function(layer.activation, h, meaning),)
            equations.append(_equation(layer.output, *named, meaning))
    return Section("Forward pass", tuple(equations))


def _scale(config: NetConfig) -> Expression:
    return 1 / COUNT if config.reduction == "mean" else number(1)


def _loss(config: NetConfig, output: Layer, formula: LossFormula) -> Section:
    i, unit = ROW, output.unit_index()
    equations = []
    for symbol, meaning in formula.definitions.items():
        equations.append(_equation(symbol, meaning))
        if symbol == formula.y:
            equations.append(_equation(symbol.entry(i, unit), meaning.entry(i, unit)))
    value = formula.value(formula.y, output.output).entry(i, unit)
    equations.append(_equation(LOSS, _scale(config) * total(i, total(unit, value))))
    title = f"Loss: {config.loss}, {config.reduction} over the rows (all of weight 1), sum over the outputs"
    return Section(title, tuple(equations))


def _output(config: NetConfig, layers: Sequence[Layer], by_output: Expression, delta: tuple[Step, ...]) -> Section:
    layer, i = layers[-1], ROW
    unit = layer.unit_index()
    coupled = layer.activation == "softmax"
    other = layer.unit_index("j") if coupled else unit
    output = layer.output.entry(i, other)
    outer, inner = Partial(LOSS, output), Partial(output, layer.preactivation.entry(i, unit))
    slope = (
        softmax_derivative(output, layer.output.entry(i, unit), Indicator(other, "=", unit))
        if coupled
        else layer.slope.entry(i, unit)
    )
    by_weights, by_bias = _by_parameters(config, layer)
    result = delta[-1].right
    equations = (
        _chain_rule(layer, (i, other) if coupled else (i,), (outer, inner, by_weights.left)),
        _equation(outer, by_output.entry(i, other)),
        _equation(inner, slope),
        by_weights,
        *by_bias,
        Equation(layer.delta, delta),
        _equation(
            layer.delta.entry(i, unit), *([total(other, outer * inner)] if coupled else []), result.entry(i, unit)
        ),
        *_gradients(config, layer, result),
    )
    return Section(f"Output layer ({layer.weights.name})", equations, _chain(layers, len(layers) - 1))


def _output_delta(layer: Layer, by_output: Expression, target: Symbol) -> tuple[Step, ...]:
    """Return the steps from dL/dYhat and dYhat/dO to delta_O, in matrix form."""
    if layer.activation == "softmax":
        return _softmax_delta(layer, by_output, target)
    first = Step(Product(numerator=(Partial(LOSS, layer.output), Partial(layer.output, layer.preactivation))))
    last = product(by_output, layer.slope)
    if gone := cancelled(by_output, layer.slope):
        return first, Step(Product(numerator=(by_output, layer.slope))), Step(last, product(*gone))
    return first, Step(last)


def _softmax_delta(layer: Layer, by_output: Expression, target: Symbol) -> tuple[Step, ...]:
    """Return delta_O where every output depends on every preactivation of its row.

    The sum over j of a_j p_j ([j = l] - p_l) is p_l (a_l - sum_j a_j p_j).
    """
    yhat, across = layer.output, layer.unit_index("j")
    unknown = Partial(LOSS, yhat)
    first = Step(yhat * (unknown - RowSum(unknown * yhat, across)))
    scalar = by_output.scalar_part()
    rest = by_output / scalar
    weighted = rest * yhat
    gone = cancelled(rest, yhat)
    if not gone:
        return first, Step(product(scalar, yhat, rest - RowSum(weighted, across)))
    steps = [first, Step(product(scalar, weighted - yhat * RowSum(weighted, across)), product(*gone))]
    if weighted == target:
        reason = f"each row of {target.name} sums to 1"
        steps.append(Step(without_minus(product(scalar, target - yhat)), reason=reason))
    return tuple(steps)


def _hidden(config: NetConfig, layers: Sequence[Layer], at: int, output_delta: Expression) -> Section:
    layer, after = layers[at], layers[at + 1]
    i, unit, above = ROW, layer.unit_index(), after.unit_index("m")
    slope = layer.slope
    through = Partial(after.preactivation.entry(i, above), layer.output.entry(i, unit))
    activation = Partial(layer.output.entry(i, unit), layer.preactivation.entry(i, unit))
    by_weights, by_bias = _by_parameters(config, layer)
    chain = (after.delta.entry(i, above), through, activation, by_weights.left)
    delta = _backward(after.delta, after, slope)
    # Written out down to the forward pass, the delta of a deeper layer would fill the page.
    in_full = _backward(output_delta, after, slope) if after is layers[-1] else None
    equations = (
        _chain_rule(layer, (i, above), chain),
        _equation(through, after.weights.entry(unit, above)),
        _equation(activation, slope.entry(i, unit)),
        by_weights,
        *by_bias,
        _equation(layer.delta, delta),
        _equation(layer.delta.entry(i, unit), delta.entry(i, unit)),
        *_gradients(config, layer, in_full),
    )
    return Section(f"Hidden layer ({layer.weights.name})", equations, _chain(layers, at))


def _backward(delta_after: Expression, after: Layer, slope: Expression) -> Expression:
    return product(MatrixProduct(delta_after, Transpose(after.weights), after.unit_index("m")), slope)


def _chain_rule(layer: Layer, summed: Sequence[Index], factors: Sequence[Expression]) -> Equation:
    """Return the chain rule for one weight, its factors in their order behind all sum signs."""
    chain: Expression = Product(numerator=tuple(factors))
    for index in reversed(summed):
        chain = chain if index.size == 1 else Total(index, chain)
    return _equation(_gradient(layer.weights).entry(layer.input_index(), layer.unit_index()), chain)


def _by_parameters(config: NetConfig, layer: Layer) -> tuple[Equation, tuple[Equation, ...]]:
    """Return the derivatives of a preactivation by its weight and, if there is one, its bias."""
    unit, inputs = layer.unit_index(), layer.input_index()
    h = layer.preactivation.entry(ROW, unit)
    by_weights = _equation(Partial(h, layer.weights.entry(inputs, unit)), layer.inputs.entry(ROW, inputs))
    by_bias = _equation(Partial(h, layer.bias.entry(unit)), number(1))
    return by_weights, (by_bias,) if config.bias else ()


def _gradient(parameter: Symbol) -> Symbol:
    return Symbol(f"d{parameter.name}", parameter.rank)


def _gradients(config: NetConfig, layer: Layer, in_full: Expression | None) -> list[Equation]:
    """Return the gradients in matrix and in element form, the latter written out where a delta is given."""
    deltas = [layer.delta, *([in_full] if in_full else [])]
    rows, columns = layer.input_index(), layer.unit_index()
    by_weights = [MatrixProduct(Transpose(layer.inputs), delta, ROW) for delta in deltas]
    by_bias = [ColumnSum(delta, ROW) for delta in deltas]
    weights, bias = _gradient(layer.weights), _gradient(layer.bias)
    equations = [
        _equation(weights, by_weights[0]),
        _equation(weights.entry(rows, columns), *(form.entry(rows, columns) for form in by_weights)),
    ]
    if config.bias:
        equations += [
            _equation(bias, by_bias[0]),
            _equation(bias.entry(columns), *(form.entry(columns) for form in by_bias)),
        ]
    return equations


def _chain(layers: Sequence[Layer], at: int) -> tuple[Partial, ...]:
    """Return the derivatives from the loss down to the weights of one layer."""
    path = [layers[at].weights]
    for layer in layers[at:]:
        path += [layer.preactivation, layer.output]
    path.append(LOSS)
    return tuple(Partial(of, by) for by, of in zip(path[-2::-1], path[:0:-1], strict=True))


def _update(layers: Sequence[Layer], bias: bool) -> Section:
    parameters = [symbol for layer in reversed(layers) for symbol in (layer.weights, *([layer.bias] if bias else []))]
    equations = tuple(_equation(each, each - GAMMA * _gradient(each)) for each in parameters)
    return Section("Update, with learning rate gamma, once all gradients are known", equations, assigns=True)
