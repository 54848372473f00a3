"""HTML from Python: what is not `Markup` already is text, and is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "element", "heading", "pairs", "table"]

#: Elements without an end.
VOID = frozenset({"img", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: str) -> Markup:
    """Return an element; names of attributes lose underscores: ``class_`` is class, ``aria_label`` aria-label."""
    opening = "".join(f' {name.rstrip("_").replace("_", "-")}="{_text(value)}"' for name, value in attributes.items())
    if tag in VOID:
        return Markup(f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{''.join(map(_content, children))}</{tag}>")


def heading(title: str, *content: Markup) -> Markup:
    """Return a section under its heading."""
    return element("section", element("h2", title), *content)


def pairs(rows: Iterable[tuple[str, object]]) -> Markup:
    """Return names and values as a list of definitions."""
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in rows))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = ()) -> Markup:
    """Return a table that scrolls by itself where it is wider than the page; columns `numeric` are set to the right."""

    def line(tag: str, cells: Sequence[object], **scope: str) -> Markup:
        sides = ({"class_": "number"} if column in numeric else {} for column in range(len(cells)))
        return element("tr", *(element(tag, cell, **side, **scope) for cell, side in zip(cells, sides, strict=True)))

    head = element("thead", line("th", header, scope="col"))
    body = element("tbody", *(line("td", row) for row in rows))
    return element(
        "div", element("table", head, body), class_="wide", tabindex="0", role="region", aria_label=header[0]
    )


def _content(child: object) -> str:
    return child if isinstance(child, Markup) else _text(child)


def _text(value: object) -> str:
    """Escape, and replace what HTML forbids even as a number: control characters and halves of characters."""
    text = "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in str(value)
    )
    return escape(text)
