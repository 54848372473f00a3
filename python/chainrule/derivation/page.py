"""A rule on a page: as text for a terminal, at most 100 columns wide, or as one LaTeX block."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from ..config import NetConfig
from .notation import LATEX, TEXT
from .rule import Equation, Rule, Section, Step
from .symbols import Index

__all__ = ["WIDTH", "describe", "latex_page", "latex_words", "text_page", "wrapped"]

WIDTH = 100
INDENT = "  "
NO_BREAK = "\x00"

TEXT_NOTATION = """\
Rows of X (N, {features}) and Y (N, {targets}) are samples; the names are those of net.trace(X, Y).
A B is the product of matrices or of numbers, A^T the transpose; .* and ./ go entry by entry.
A[i,l] is one entry, counted from 1; sum_i adds over i; [c] is 1 where c holds, else 0.
colsum(A) adds up each column of A, rowsum(A) each row. delta_O is dL/dO, dW1 is dL/dW1."""

#: What is said of a function where it occurs.
TEXT_NOTES = {
    "Phi(": "Phi(h) is the probability that a standard normal number is below h, and phi(h) its density.",
    "repeat(": "repeat(A, n) is A with each column n times, side by side; ceil rounds up.",
}

LATEX_NOTATION = (
    r"\text{Products } A \odot B \text{ and fractions of matrices go entry by entry; } "
    r"[c] = 1 \text{ where } c \text{ holds, else } 0;",
    r"\mathrm{colsum} \text{ adds up each column, } \mathrm{rowsum} \text{ each row; } "
    r"\delta_{O} = \frac{\partial L}{\partial O}.",
)
LATEX_NOTES = {
    r"\Phi\left(": r"\Phi \text{ is the standard normal distribution function, } \phi \text{ its density.}",
    r"\mathrm{repeat}": r"\mathrm{repeat}\left(A, n\right) \text{ is } A \text{ with each column } n \text{ times, "
    r"side by side.}",
}


def describe(config: NetConfig) -> str:
    """Return one line that says which net and which loss."""
    sizes = "-".join(str(size) for size in config.sizes)
    activations = ", ".join(config.activations)
    return f"{sizes} ({activations}), {config.loss}, {config.reduction}, {'biases' if config.bias else 'no biases'}"


def _ranges(indices: tuple[Index, ...], dots: str, joint: str) -> str:
    """Write the range of each index, such as ``i = 1..N, k = 1..3``."""
    return joint.join(f"{index.letter} = 1{dots}{index.size}" for index in indices)


def text_page(rule: Rule) -> str:
    """Write a rule as plain text."""
    notation = TEXT_NOTATION.format(features=rule.config.features, targets=rule.config.target_columns)
    lines = []
    for at, section in enumerate(rule.sections, start=1):
        lines += ["", f"{at}. {section.title}", *_text_section(section)]
    heading = [*textwrap.wrap(f"Update rule of the net {describe(rule.config)}", WIDTH), "", *notation.splitlines()]
    return "\n".join([*heading, *_notes(TEXT_NOTES, lines), *lines])


def _notes(notes: Mapping[str, str], lines: Iterable[str]) -> list[str]:
    """Return the notes on what occurs in these lines."""
    return [note for mark, note in notes.items() if any(mark in line for line in lines)]


def _text_section(section: Section) -> Iterator[str]:
    relation = "<-" if section.assigns else "="
    margin = max(len(equation.left.write(TEXT)) for equation in section.equations)
    if section.chain:
        chain = (
            f"{section.chained.write(TEXT):<{margin}} = {' * '.join(factor.write(TEXT) for factor in section.chain)}"
        )
        yield from wrapped(chain, margin + 5)
    for equation in section.equations:
        yield from _text_equation(equation, margin, relation)


def _text_equation(equation: Equation, margin: int, relation: str) -> Iterator[str]:
    lines = []
    left = equation.left.write(TEXT)
    for step in equation.steps:
        lines += wrapped(f"{left:<{margin}} {relation} {_text_step(step)}", margin + 5)
        left = ""
    where = _ranges(equation.indices(), "..", ", ")
    if where and len(lines[0]) + len(where) + 3 <= WIDTH:
        lines[0] += where.rjust(WIDTH - len(lines[0]))
    elif where:
        lines.append(where.rjust(WIDTH))
    yield from lines


def _text_step(step: Step) -> str:
    reason = f"{step.cancelled.write(TEXT)} cancels" if step.cancelled else step.reason
    return step.right.write(TEXT) + (f"   ({reason})" if reason else "")


def wrapped(line: str, hang: int) -> list[str]:
    """Break a long line at spaces that are as few parentheses deep as it takes."""
    kept, deepest = line, max(_depths(line))
    for least in range(1, deepest + 2):
        kept = "".join(
            NO_BREAK if character == " " and depth >= least else character
            for character, depth in zip(line, _depths(line), strict=True)
        )
        broken = textwrap.wrap(
            kept,
            WIDTH,
            initial_indent=INDENT,
            subsequent_indent=INDENT + " " * hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        if max(map(len, broken)) <= WIDTH:
            break
    return [part.replace(NO_BREAK, " ") for part in broken]


def _depths(line: str) -> list[int]:
    """Return how many parentheses and brackets each character is inside of."""
    return list(accumulate((character in "([") - (character in ")]") for character in line))


def latex_page(rule: Rule) -> str:
    """Write a rule as one ``align*`` environment of amsmath."""
    rows: list[str] = []
    for at, section in enumerate(rule.sections, start=1):
        rows += [rf"&\textbf{{{at}. {latex_words(section.title)}}}", *_latex_section(section)]
    heading = [rf"\textbf{{Update rule of the net {latex_words(describe(rule.config))}}}", *LATEX_NOTATION]
    heading += _notes(LATEX_NOTES, rows)
    return "\\begin{align*}\n" + " \\\\\n".join([*(f"&{line}" for line in heading), *rows]) + "\n\\end{align*}"


def _latex_section(section: Section) -> Iterator[str]:
    relation = r"\leftarrow" if section.assigns else "="
    if section.chain:
        chain = r" \cdot ".join(factor.write(LATEX) for factor in section.chain)
        yield f"{section.chained.write(LATEX)} &= {chain}"
    for equation in section.equations:
        left = equation.left.write(LATEX)
        where = _ranges(equation.indices(), r", \ldots, ", r";\ ")
        for step in equation.steps:
            margin = rf" \qquad {where}" if where else ""
            yield f"{left} &{relation} {step.right.write(LATEX)}{_latex_reason(step)}{margin}"
            left = where = ""


def _latex_reason(step: Step) -> str:
    reason = rf"{step.cancelled.write(LATEX)} \text{{ cancels}}" if step.cancelled else rf"\text{{{step.reason}}}"
    return rf" \quad ({reason})" if step.cancelled or step.reason else ""


def latex_words(words: str) -> str:
    """Escape the underscores of names for LaTeX text."""
    return words.replace("_", r"\_")
