"""A training run as one HTML page that needs nothing else: what ``chainrule train --report FILE`` writes.

The page loads nothing: its figures are inside it, it has no script, and its policy forbids both. All text that is not
ours is escaped by `markup`. It needs matplotlib, from the extra ``[plot]``.
"""

from __future__ import annotations

from .command import spell_command
from .page import make_page

__all__ = ["make_page", "spell_command"]
