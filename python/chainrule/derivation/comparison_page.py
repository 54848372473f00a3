"""Two rules side by side on a page: as text for a terminal, or as LaTeX."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from .comparison import Sentence, Term, compare_numbers, compare_terms, explain
from .expression import Expression
from .notation import LATEX, TEXT
from .page import WIDTH, describe, latex_words, wrapped
from .rule import Rule

__all__ = ["latex_comparison", "text_comparison", "shows_numbers"]

NUMBERS_TITLE = "delta_O for a single row (N = 1) whose target is 0"


def text_comparison(a: Rule, b: Rule) -> str:
    """Write a comparison as plain text."""
    terms = compare_terms(a, b)
    lines = [
        "Two update rules, term by term",
        f"  A: {describe(a.config)}",
        f"  B: {describe(b.config)}",
        "= marks the same formula, * different ones; notation and names are those of a derivation.",
        "",
        *_text_terms(terms),
        "",
    ]
    for sentence in explain(a, b):
        words = "".join(part if isinstance(part, str) else part.write(TEXT) for part in sentence)
        lines += textwrap.wrap(words, WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    if shows_numbers(terms):
        lines += ["", f"{NUMBERS_TITLE}:", f"  {'Yhat':<6}{'A':<12}{'B':<12}A / B"]
        lines += [f"  {y:<6g}{at_a:<12.6g}{at_b:<12.6g}{at_a / at_b:.6g}" for y, at_a, at_b in compare_numbers(a, b)]
    return "\n".join(lines)


def _text_terms(terms: list[Term]) -> Iterator[str]:
    margin = max(len(term.left.write(TEXT)) for term in terms)
    for term in terms:
        name = f"{term.left.write(TEXT):<{margin}}"
        if term.same:
            yield from wrapped(f"= {name}     {_text_formula(term.a)}", margin + 7)
        else:
            yield from wrapped(f"* {name}  A: {_text_formula(term.a)}", margin + 7)
            yield from wrapped(f"  {'':<{margin}}  B: {_text_formula(term.b)}", margin + 7)


def _text_formula(formula: Expression | None) -> str:
    return "(none)" if formula is None else formula.write(TEXT)


def shows_numbers(terms: list[Term]) -> bool:
    """Return whether the deltas differ, so that their sizes are worth a table."""
    return not all(term.same for term in terms if term.left.name == "delta_O")


def latex_comparison(a: Rule, b: Rule) -> str:
    """Write a comparison as LaTeX: an array of terms, sentences, an array of numbers."""
    terms = compare_terms(a, b)
    rows = [r"& \textbf{A} & \textbf{B}"]
    rows += [f"{term.left.write(LATEX)} & {_latex_pair(term)}" for term in terms]
    parts = [
        *(
            rf"\noindent {label}: {latex_words(describe(rule.config))}"
            for label, rule in zip("AB", (a, b), strict=True)
        ),
        _latex_array("lll", rows),
        *(_latex_sentence(sentence) for sentence in explain(a, b)),
    ]
    if shows_numbers(terms):
        numbers = [f"{y:g} & {at_a:.6g} & {at_b:.6g} & {at_a / at_b:.6g}" for y, at_a, at_b in compare_numbers(a, b)]
        parts += [
            rf"\noindent {latex_words(NUMBERS_TITLE)}:",
            _latex_array("llll", [r"\hat{Y} & \text{A} & \text{B} & \text{A} / \text{B}", *numbers]),
        ]
    return "\n\n".join(parts)


def _latex_pair(term: Term) -> str:
    formulas = [r"\text{none}" if formula is None else formula.write(LATEX) for formula in (term.a, term.b)]
    return rf"{formulas[0]} & \text{{the same}}" if term.same else " & ".join(formulas)


def _latex_array(columns: str, rows: list[str]) -> str:
    body = " \\\\[1ex]\n".join(rows)
    return f"\\[\n\\begin{{array}}{{{columns}}}\n{body}\n\\end{{array}}\n\\]"


def _latex_sentence(sentence: Sentence) -> str:
    return r"\noindent " + "".join(
        latex_words(part) if isinstance(part, str) else f"${part.write(LATEX)}$" for part in sentence
    )
