"""The page of a run: its parts in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from . import figures, sections
from .markup import Markup, element, heading, pairs

if TYPE_CHECKING:
    from ..cli.problem import Problem
    from ..history import History
    from ..net import Net

__all__ = ["make_page"]

#: No script, and nothing from elsewhere: whatever a file's text may say, a browser will not do it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def make_page(problem: Problem, net: Net, history: History, *, settings: Mapping[str, object], command: str) -> str:
    """Return the page of a training run, as text.

    Parameters
    ----------
    problem : Problem
        The table, how it was encoded and split, and the arrays that were learned from.
    net : Net
        As it was after the fit.
    history : History
        What the fit returned.
    settings : mapping of str to object
        The options of the run, by name.
    command : str
        The line for the shell that repeats the run.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    title = f"{problem.source.target} of {sections.data_name(problem)}"
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"chainrule: {title}"),
        element("style", Markup(style)),
    )
    body = element("body", *_parts(title, problem, net, history, settings, command))
    return "<!DOCTYPE html>\n" + element("html", head, "\n", body, lang="en") + "\n"


def _parts(
    title: str, problem: Problem, net: Net, history: History, settings: Mapping[str, object], command: str
) -> Iterator[Markup]:
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    subtitle = f"{problem.encoder.task.capitalize()} with {sections.net_name(net)}, written {written}"
    yield element("header", element("h1", title), element("p", subtitle))
    yield sections.warning(history)
    yield sections.tiles(problem, net, history)
    yield heading("Scores on held-out rows", *sections.scores(problem, net))
    curves = [figures.loss_curves(history)] if history.epochs else []
    yield heading("Training", *curves, pairs(sections.timing(problem, history)))
    yield heading("Network", sections.layers(net), figures.diagram(net, problem.encoder))
    yield heading("Data", *sections.data(problem))
    yield heading("Settings", sections.settings(settings))
    yield heading("Environment", sections.environment(net))
    yield heading("Reproduce", *sections.reproduce(problem, history, command))
    yield element("footer", "Written by chainrule. This page is complete in itself and loads nothing.")
