"""How formulas are written: plain text for a terminal, and LaTeX.

Not here: what a formula is (expression.py). A style only puts strings together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

__all__ = ["LATEX", "TEXT", "Quotient", "Style"]


@dataclass(frozen=True)
class Quotient:
    """A product of written factors over others: scalars and the rest apart.

    `leading` asks for all scalars in front, as in ``1/(2 N) sum_i ...``; `elementwise` says
    that arrays are multiplied or divided entry by entry.
    """

    negative: bool
    scalars: Sequence[str]
    factors: Sequence[str]
    divisors: Sequence[str]
    scalar_divisors: Sequence[str]
    elementwise: bool
    leading: bool


class Style(Protocol):
    """The ways to write each kind of expression.

    `stacks` says that a fraction stands on two lines, so that its parts need no parentheses.
    """

    stacks: bool

    def symbol(self, name: str, indices: Sequence[str]) -> str:
        """Write a named array, or one entry of it."""

    def partial(self, of: str, by: str) -> str:
        """Write a partial derivative."""

    def group(self, inner: str) -> str:
        """Put parentheses around."""

    def power(self, base: str, exponent: int) -> str:
        """Write a power of every entry."""

    def transpose(self, inner: str) -> str:
        """Write a transposed matrix."""

    def call(self, name: str, argument: str) -> str:
        """Write a function of every entry, or a sum of rows or columns."""

    def total(self, letter: str, size: int | str, body: str) -> str:
        """Write a sum over an index."""

    def number(self, value: Fraction) -> str:
        """Write a positive decimal, to the digits that a float has."""

    def ceiling(self, letter: str, divisor: int) -> str:
        """Write an index over a number, rounded up."""

    def indicator(self, left: str, relation: str, right: str) -> str:
        """Write the number that is 1 where the relation holds, else 0."""

    def quotient(self, quotient: Quotient) -> str:
        """Write a product of factors over others."""


class Text:
    """Plain ASCII."""

    stacks = False

    def symbol(self, name: str, indices: Sequence[str]) -> str:
        return f"{name}[{','.join(indices)}]" if indices else name

    def partial(self, of: str, by: str) -> str:
        return f"d{of}/d{by}"

    def group(self, inner: str) -> str:
        return f"({inner})"

    def power(self, base: str, exponent: int) -> str:
        return f"{base}^{exponent}"

    def transpose(self, inner: str) -> str:
        return f"{inner}^T"

    def call(self, name: str, argument: str) -> str:
        return f"{name}({argument})"

    def total(self, letter: str, size: int | str, body: str) -> str:
        return f"sum_{letter} {body}"

    def number(self, value: Fraction) -> str:
        return str(value) if value.denominator == 1 else repr(float(value))

    def ceiling(self, letter: str, divisor: int) -> str:
        return f"ceil({letter}/{divisor})"

    def indicator(self, left: str, relation: str, right: str) -> str:
        return f"[{left} {relation} {right}]"

    def quotient(self, quotient: Quotient) -> str:
        times, over = (" .* ", " ./ ") if quotient.elementwise else (" ", " / ")
        scalars, below = " ".join(quotient.scalars), self._below(quotient.scalar_divisors, " ")
        if quotient.leading and below:
            scalars, below = f"{scalars or '1'}/{below}", ""
        written = " ".join(part for part in (scalars, times.join(quotient.factors)) if part) or "1"
        if quotient.divisors:
            written += over + self._below(quotient.divisors, times)
        if below:
            written += f" / {below}"
        return f"-{written}" if quotient.negative else written

    def _below(self, divisors: Sequence[str], joint: str) -> str:
        return self.group(joint.join(divisors)) if len(divisors) > 1 else "".join(divisors)


class Latex:
    """LaTeX mathematics, for amsmath."""

    stacks = True

    def symbol(self, name: str, indices: Sequence[str]) -> str:
        if gradient := re.fullmatch(r"d([Wb]\d+)", name):
            return self.partial("L", self.symbol(gradient[1], indices))
        letter, subscript = _latex_name(name)
        subscript = ",".join(part for part in (subscript, "".join(indices)) if part)
        return f"{letter}_{{{subscript}}}" if subscript else letter

    def partial(self, of: str, by: str) -> str:
        return rf"\frac{{\partial {of}}}{{\partial {by}}}"

    def group(self, inner: str) -> str:
        return rf"\left({inner}\right)"

    def power(self, base: str, exponent: int) -> str:
        return f"{base}^{{{exponent}}}"

    def transpose(self, inner: str) -> str:
        return rf"{inner}^{{\top}}"

    def call(self, name: str, argument: str) -> str:
        match name:
            case "abs":
                return rf"\left|{argument}\right|"
            case "sqrt":
                return rf"\sqrt{{{argument}}}"
            case "exp" | "log" | "tanh" | "cosh" | "Phi" | "phi":
                return rf"\{name}\left({argument}\right)"
        upright = name.replace("_", r"\_")
        return rf"\mathrm{{{upright}}}\left({argument}\right)"

    def total(self, letter: str, size: int | str, body: str) -> str:
        return rf"\sum_{{{letter}=1}}^{{{size}}} {body}"

    def number(self, value: Fraction) -> str:
        digits, _, exponent = TEXT.number(value).partition("e")
        return rf"{digits} \cdot 10^{{{int(exponent)}}}" if exponent else digits

    def ceiling(self, letter: str, divisor: int) -> str:
        return rf"\lceil {letter}/{divisor} \rceil"

    def indicator(self, left: str, relation: str, right: str) -> str:
        relation = {"<=": r"\leq", ">=": r"\geq"}.get(relation, relation)
        return rf"\left[{left} {relation} {right}\right]"

    def quotient(self, quotient: Quotient) -> str:
        times = r" \odot " if quotient.elementwise else r" \, "
        factors, divisors = times.join(quotient.factors), times.join(quotient.divisors)
        above = [*quotient.scalars, "" if quotient.leading else factors]
        written = r" \, ".join(part for part in above if part)
        below = r" \, ".join(part for part in (*quotient.scalar_divisors, divisors) if part)
        if below:
            written = rf"\frac{{{written or '1'}}}{{{below}}}"
        if quotient.leading:
            written = rf"{written} {factors}".lstrip()
        return ("-" if quotient.negative else "") + (written or "1")


def _latex_name(name: str) -> tuple[str, str]:
    """Split a name of `Trace` into letter and subscript: W1 is W_1, delta_H2 is delta_{H_2}."""
    if name.startswith("delta_"):
        letter, number = _latex_name(name.removeprefix("delta_"))
        return r"\delta", f"{letter}_{{{number}}}" if number else letter
    special = {"Yhat": r"\hat{Y}", "gamma": r"\gamma", "pi": r"\pi", "tau": r"\tau"}
    if name in special:
        return special[name], ""
    letter = name.rstrip("0123456789")
    return letter, name.removeprefix(letter)


TEXT = Text()
LATEX = Latex()
