"""Measures chainrule against its peers: training steps and predictions of one row, results compared first.

Not here: the options of ``chainrule bench``, which are those of `chainrule.cli.bench`.
"""

from __future__ import annotations
