"""How two update rules differ: term by term, then in words and numbers drawn from the terms.

Not here: how it looks on a page (comparison_page.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..trace import Array
from .expression import Expression, inverse, number, product
from .layer import Layer
from .notation import TEXT
from .rule import GAMMA, Rule
from .symbols import Partial, Symbol

__all__ = ["Sentence", "Term", "compare_numbers", "compare_terms", "explain"]

#: Words and formulas, in order.
Sentence = tuple[str | Expression, ...]

#: Outputs that are undecided, wrong, and very wrong, where the target is 0.
OUTPUTS = (0.5, 0.9, 0.99)

#: The terms that loss, reduction and output activation decide.
OUTPUT_TERMS = {"T", "tau", "L", "dL/dYhat", "dYhat/dO", "delta_O"}


@dataclass(frozen=True)
class Term:
    """One term of two rules, A's and B's; None where a rule does not have it."""

    left: Symbol | Partial
    a: Expression | None
    b: Expression | None

    @property
    def same(self) -> bool:
        """Whether both are the same formula; its symbols may still hold different numbers."""
        return self.a is not None and self.b is not None and self.a.write(TEXT) == self.b.write(TEXT)


def compare_terms(a: Rule, b: Rule) -> list[Term]:
    """Pair the terms of two rules by name."""
    terms_a, terms_b = a.terms, b.terms
    paired = []
    for name in dict.fromkeys([*terms_a, *terms_b]):
        formulas = (terms[name].result if name in terms else None for terms in (terms_a, terms_b))
        paired.append(Term((terms_a | terms_b)[name].left, *formulas))
    return paired


def compare_numbers(a: Rule, b: Rule) -> list[tuple[float, float, float]]:
    """Return (Yhat, delta_O of A, delta_O of B) for a single row, at outputs whose target is 0.

    A second output with target 1 completes the row to the sum of 1 that softmax needs.
    """
    numbers = []
    for output in OUTPUTS:
        at_a, at_b = (float(_delta(rule).evaluate(_values_at(output, rule), {})[0, 0]) for rule in (a, b))
        numbers.append((output, at_a, at_b))
    return numbers


def _values_at(output: float, rule: Rule) -> dict[str, Any]:
    """Return what a delta is made of, for two outputs of one row."""
    values: dict[str, Any] = {"Y": np.array([[0.0, 1.0]]), "Yhat": np.array([[output, 1 - output]]), "N": 1}
    for symbol, meaning in rule.loss.definitions.items():
        values[symbol.name] = meaning.evaluate(values, {})[..., :2]
    layer = rule.layers[-1]
    if layer.activation != "softmax":
        values["O"] = _preactivation(layer, values["Yhat"])
    return values


def _preactivation(layer: Layer, outputs: Array) -> Array:
    """Return where the activation takes these values, by bisection: where it is above 0, each one rises."""
    low, high = np.full_like(outputs, -50), np.full_like(outputs, 50)
    for _ in range(100):
        middle = (low + high) / 2
        below = layer.definition.evaluate({layer.preactivation.name: middle}, {}) < outputs
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high


def explain(a: Rule, b: Rule) -> Iterator[Sentence]:
    """Say in words what the terms and the numbers show."""
    terms = compare_terms(a, b)
    differing = [term.left for term in terms if not term.same]
    if not differing:
        yield ("The two rules are the same, formula by formula.",)
        return
    yield ("Different: ", *_listed(differing), ".")
    inherited = [term.left for term in terms if term.same and isinstance(term.left, Symbol)]
    if inherited:
        yield ("Same formulas, whose numbers differ through their symbols: ", *_listed(inherited), ".")
    names, delta = {left.name for left in differing}, a.terms["delta_O"].left
    if names & OUTPUT_TERMS:
        yield _output_delta("A", a)
        yield _output_delta("B", b)
    if delta not in differing:
        yield (delta, " is the same formula in both.")
        return
    yield from _ratio(a, b, only_output_differs=names <= OUTPUT_TERMS)
    _, numbers_a, numbers_b = zip(*compare_numbers(a, b), strict=True)
    yield _trend("A", delta, numbers_a)
    yield _trend("B", delta, numbers_b)


def _delta(rule: Rule) -> Expression:
    return rule.terms["delta_O"].result


def _listed(lefts: Sequence[Expression]) -> Sentence:
    return tuple(part for at, left in enumerate(lefts) for part in ((", ", left) if at else (left,)))


def _output_delta(label: str, rule: Rule) -> Sentence:
    """Say what became of the output activation's derivative."""
    equation, output = rule.terms["delta_O"], rule.layers[-1]
    result: Sentence = (equation.left, " = ", equation.result, ".")
    by_preactivation = Partial(output.output, output.preactivation)
    for step in equation.steps:
        if step.cancelled is not None:
            return (f"{label}: ", step.cancelled, " of ", by_preactivation, " cancels, and leaves ", *result)
    if output.activation == "softmax":
        return (f"{label}: nothing cancels, and softmax couples the outputs of a row: ", *result)
    if output.slope == number(1):
        return (f"{label}: ", by_preactivation, " = 1, so ", *result)
    return (f"{label}: ", by_preactivation, " = ", output.slope, " remains a factor of ", *result)


def _ratio(a: Rule, b: Rule, only_output_differs: bool) -> Iterator[Sentence]:
    """Divide the two output deltas, and say what a learning rate can make up for."""
    ratio = product(_delta(a), inverse(_delta(b)))
    delta = a.terms["delta_O"].left
    constant = ratio.scalar_part()
    yield (delta, " of A over ", delta, " of B is ", ratio, ".")
    if a.config.reduction != b.config.reduction:
        mean, total = ("A", "B") if a.config.reduction == "mean" else ("B", "A")
        yield (f"The N in it comes from the loss: {mean} averages over the rows, {total} sums them.",)
    if constant == ratio:
        if only_output_differs:
            yield ("A with learning rate ", GAMMA, " takes the step of B with learning rate ", ratio * GAMMA, ".")
    elif constant not in (number(1), number(-1)):
        yield ("Its constant ", constant, " is a matter of the learning rate; the rest is not.")
    else:
        yield ("It changes with the output, so no learning rate makes the two rules equal.",)


def _trend(label: str, delta: Expression, values: Sequence[float]) -> Sentence:
    """Say whether the delta grows with the error from the second to the third output."""
    (_, wrong, very_wrong), (_, before, after) = OUTPUTS, values
    change = f" goes from {before:.4g} to {after:.4g} as a wrong output goes from {wrong} to {very_wrong}: "
    if np.isclose(before, after, rtol=1e-12):
        return (f"{label}: ", delta, change, "it does not grow with the mistake.")
    if abs(after) < abs(before):
        return (f"{label}: ", delta, change, "the surer the mistake, the less is learned from it.")
    return (f"{label}: ", delta, change, "it grows with the mistake.")
