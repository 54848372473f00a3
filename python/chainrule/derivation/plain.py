"""A rule, or a comparison of two, as plain values for programs: what the pages say, formula by formula."""

from __future__ import annotations

from typing import Any

from ..config import NetConfig
from .comparison import Sentence, Term, compare_numbers, compare_terms, explain
from .comparison_page import shows_numbers
from .notation import LATEX, TEXT, Style
from .page import describe
from .rule import Equation, Rule, Section

__all__ = ["plain_comparison", "plain_rule"]


def plain_rule(config: NetConfig, latex: bool = False) -> dict[str, Any]:
    """Return the derivation of a net's update rule: sections of equations, whose right-hand sides are all equal.

    Parameters
    ----------
    config : NetConfig
    latex : bool, default False
        Formulas in LaTeX instead of plain text.
    """
    style = LATEX if latex else TEXT
    return {"network": describe(config), "sections": [_section(each, style) for each in Rule(config).sections]}


def plain_comparison(config_a: NetConfig, config_b: NetConfig, latex: bool = False) -> dict[str, Any]:
    """Return the terms of two nets' rules side by side, None where a rule lacks one, and what is to be said of them."""
    style = LATEX if latex else TEXT
    a, b = Rule(config_a), Rule(config_b)
    terms = compare_terms(a, b)
    numbers = compare_numbers(a, b) if shows_numbers(terms) else []
    return {
        "a": describe(config_a),
        "b": describe(config_b),
        "terms": [_term(term, style) for term in terms],
        "sentences": [_sentence(sentence, style) for sentence in explain(a, b)],
        "deltas_of_target_0": [{"output": y, "a": of_a, "b": of_b} for y, of_a, of_b in numbers],
    }


def _term(term: Term, style: Style) -> dict[str, Any]:
    a, b = (None if formula is None else formula.write(style) for formula in (term.a, term.b))
    return {"term": term.left.write(style), "a": a, "b": b, "same": term.same}


def _sentence(sentence: Sentence, style: Style) -> str:
    """Write a sentence; LaTeX's formulas stand between dollar signs."""
    mark = "$" if style is LATEX else ""
    return "".join(part if isinstance(part, str) else f"{mark}{part.write(style)}{mark}" for part in sentence)


def _section(section: Section, style: Style) -> dict[str, Any]:
    return {
        "title": section.title,
        "chain": [factor.write(style) for factor in section.chain],
        "assigns": section.assigns,
        "equations": [_equation(equation, style) for equation in section.equations],
    }


def _equation(equation: Equation, style: Style) -> dict[str, Any]:
    return {
        "left": equation.left.write(style),
        "right": [step.right.write(style) for step in equation.steps],
        "counts_to": {index.letter: index.size for index in equation.indices()},
    }
