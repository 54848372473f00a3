"""``chainrule bench``: the options and the work are those of `chainrule.bench`."""

from __future__ import annotations

from ..bench import add_arguments, run

__all__ = ["DESCRIPTION", "EXAMPLES", "USAGE", "add_arguments", "run"]

USAGE = "%(prog)s [options]"
DESCRIPTION = "Measure the C++ core against NumPy, after checking that both compute the same weights."
EXAMPLES = """\
examples:
  chainrule bench
  chainrule bench --json speed.json --plot speed.png
"""
