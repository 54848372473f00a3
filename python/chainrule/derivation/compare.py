"""How two update rules differ: term by term, then in words and numbers drawn from the terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .expression import Expression, Partial, Product, Symbol, cancelled, inverse, number, product
from .notation import TEXT
from .rule import Rule

__all__ = ["Comparison", "Sentence", "Term"]

#: Words and formulas, in order.
Sentence = tuple[str | Expression, ...]

DELTA = Symbol("delta_O")
GAMMA = Symbol("gamma", rank=0)
#: A wrong output of 0.5 (undecided) to 0.99 (sure); the target is 0.
OUTPUTS = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Term:
    """One term of both rules; None where a rule does not have it."""

    left: Symbol | Partial
    a: Expression | None
    b: Expression | None

    @property
    def same(self) -> bool:
        """Whether both are the same formula, though its symbols may hold different numbers."""
        return None not in (self.a, self.b) and self.a.write(TEXT) == self.b.write(TEXT)


class Comparison:
    """Two rules side by side.

    Attributes
    ----------
    a, b : Rule
    terms : list of Term
    """

    def __init__(self, a: Rule, b: Rule) -> None:
        self.a, self.b = a, b
        terms_a, terms_b = a.terms, b.terms
        names = dict.fromkeys([*terms_a, *terms_b])
        self.terms = []
        for name in names:
            equations = [terms.get(name) for terms in (terms_a, terms_b)]
            left = next(equation.left for equation in equations if equation)
            self.terms.append(Term(left, *(equation.result if equation else None for equation in equations)))

    def numbers(self) -> list[tuple[float, float, float]]:
        """Return (Yhat, delta_O of A, delta_O of B) for one row with target 0.

        A second output completes the row to the sum 1 that softmax needs; its target is 1.
        """
        rows = []
        for yhat in OUTPUTS:
            values = {"Y": _row(0.0, 1.0), "Yhat": _row(yhat, 1 - yhat), "N": 1}
            a, b = (float(_delta(rule).evaluate(values, {})[0, 0]) for rule in (self.a, self.b))
            rows.append((yhat, a, b))
        return rows

    def explanation(self) -> Iterator[Sentence]:
        """Say in words what the terms show."""
        differing = [term.left for term in self.terms if not term.same]
        if not differing:
            yield ("The two rules are the same, formula by formula.",)
            return
        yield ("Different: ", *_listed(differing), ".")
        inherited = [term.left for term in self.terms if term.same and isinstance(term.left, Symbol)]
        if DELTA in differing and inherited:
            yield ("Same formulas, whose numbers differ through ", DELTA, " alone: ", *_listed(inherited), ".")
