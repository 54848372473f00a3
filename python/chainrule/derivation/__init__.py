"""The update rule of any net, derived and written out, and how two rules differ.

Formulas are values (`expression`, `symbols`, `functions`, `matrix`) that write themselves
in a notation (`notation`) and evaluate on arrays. `formulas` is the table of activations
and losses; `rule` applies the chain rule to the layers of a net (`layer`), `page` writes
it down; `comparison` sets two rules side by side, `comparison_page` writes that; `plain` gives both to programs.
"""

from __future__ import annotations

from ..config import NetConfig
from .comparison_page import latex_comparison, text_comparison
from .page import latex_page, text_page
from .rule import Rule

__all__ = ["compare", "derive"]


def derive(config: NetConfig, latex: bool = False) -> str:
    r"""Derive the update rule of a net, symbol by symbol.

    Forward pass, loss, the chain rule of every layer with each factor's own formula, the
    gradients in matrix and in element form, and the gradient descent step. The names are
    those of `Trace`, so every symbol can be looked up in ``net.trace(X, Y)``. Sample weights
    are left out: all are 1.

    Parameters
    ----------
    config : NetConfig
        The net: ``net.config``, or ``NetConfig.create([3, 4, 1])``.
    latex : bool, default False
        Return an ``align*`` environment of amsmath instead of text; it is longer than a page,
        so a document wants ``\allowdisplaybreaks``.

    Returns
    -------
    str
        Text of at most 100 columns, or LaTeX.
    """
    rule = Rule(config)
    return latex_page(rule) if latex else text_page(rule)


def compare(config_a: NetConfig, config_b: NetConfig, latex: bool = False) -> str:
    """Say term by term how the update rules of two nets differ.

    A table of all terms with both formulas, what became of the output activation's
    derivative in each, the ratio of the two output deltas, and its size for an output that
    is undecided, wrong and very wrong.

    Parameters
    ----------
    config_a, config_b : NetConfig
        The nets, called A and B in the text.
    latex : bool, default False
        Return LaTeX (amsmath) instead of text.

    Returns
    -------
    str
        Text of at most 100 columns, or LaTeX.
    """
    a, b = Rule(config_a), Rule(config_b)
    return latex_comparison(a, b) if latex else text_comparison(a, b)
