"""Networks of other libraries, read into a net and made from one.

Not here: files and code for other programs (`chainrule.export`).
"""

from __future__ import annotations

__all__ = ["scikit_learn", "torch_modules"]
