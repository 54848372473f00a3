"""How Sphinx builds the site: `sphinx-build --fail-on-warning --keep-going docs build/docs`.

Sphinx, and not MkDocs with its theme Material: MkDocs 1 has had no release since August 2024, and the theme is in
maintenance.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

import chainrule

project = "chainrule"
author = "The chainrule authors"
copyright = author
version = release = chainrule.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"chainrule {release}"

# Pages are Markdown, with formulas between dollars.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# A name in single backticks in a docstring is a link where the site has it, and plain where not.
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_typehints = "none"  # docstrings say it, with shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}


def escape_bars(app: Sphinx, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """In a docstring, bars outside of literals are an absolute value, and not the name of a substitution."""
    lines[:] = [
        re.sub(r"``.*?``|\|", lambda found: found[0].replace("|", r"\|", found[0] == "|"), line) for line in lines
    ]


def setup(app: Sphinx) -> None:
    """Register what docstrings pass through."""
    app.connect("autodoc-process-docstring", escape_bars)
