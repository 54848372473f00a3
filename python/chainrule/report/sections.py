"""The sections of a report, each from what it tells of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tables import Categories, baseline_outputs, score
from . import figures
from .columns import summarize_columns
from .command import spell_value
from .environment import describe_environment, sha256
from .markup import Markup, element, pairs, table

if TYPE_CHECKING:
    from ..cli.problem import Problem
    from ..history import History
    from ..net import Net

__all__ = [
    "data",
    "data_name",
    "environment",
    "layers",
    "net_name",
    "reproduce",
    "scores",
    "settings",
    "tiles",
    "timing",
    "warning",
]

#: A table of more columns is cut.
MAX_COLUMNS = 100

STOPPED = {
    "epochs": "all epochs were run",
    "converged": "the training loss changed no more",
    "patience": "the validation loss improved no more",
    "time": "the time limit had passed",
    "callback": "interrupted",
    "interrupted": "interrupted",
    "diverged": "the loss was no longer finite",
}
#: Runs that the clock or a person ended; another run may end elsewhere.
ENDED_FROM_OUTSIDE = ("time", "callback", "interrupted")

SCORE_HELP = {
    "accuracy": "share of rows whose class was found",
    "R²": "share of the variance that is explained; 1 is perfect",
    "RMSE": "root of the mean squared error, in the unit of the target",
}


def data_name(problem: Problem) -> str:
    """Return the name of the file, or of standard input."""
    name = problem.source.path.name
    return "standard input" if name == "-" else name


def net_name(net: Net) -> str:
    """Return the units of each layer."""
    return f"a {'-'.join(map(str, net.config.sizes))} network"


def warning(history: History) -> Markup:
    """Say that a run was broken off."""
    if history.stopped not in ("callback", "interrupted"):
        return Markup("")
    return element("p", f"This run was interrupted after epoch {history.epochs}; it is incomplete.", class_="warning")


def tiles(problem: Problem, net: Net, history: History) -> Markup:
    """Return the few numbers that are looked for first."""
    found, split = _scores(problem, net, "test"), problem.split
    shown = [(_digits(name, value), f"{name} on {len(split.test)} held-out rows") for name, value in found.items()]
    shown.append((f"{problem.table.rows}", f"rows, {len(problem.encoder.features)} feature columns"))
    shown.append((f"{net.config.parameter_count}", "parameters"))
    shown.append((f"{history.seconds:.3g} s", f"to train {history.epochs} epochs"))
    return element(
        "div", *(element("div", element("b", b), element("span", s), class_="tile") for b, s in shown), class_="tiles"
    )


def scores(problem: Problem, net: Net) -> Iterator[Markup]:
    """Compare the parts of the data with each other and with a prediction that looks at no feature."""
    split, target = problem.split, problem.encoder.target
    if not len(split.test):
        yield element("p", "No rows were held out for a test.", class_="note")
        return
    found = [(f"test, {len(split.test)} rows", _scores(problem, net, "test"))]
    rule = "always the most frequent class" if isinstance(target, Categories) else "always the mean"
    baseline = baseline_outputs(target, problem.Y[split.train], len(split.test))
    found.append((f"same rows without features: {rule}", _score(problem, baseline, problem.Y[split.test])))
    if len(split.validation):
        name = f"validation, {len(split.validation)} rows (chose the epoch)"
        found.append((name, _scores(problem, net, "validation")))
    found.append((f"training, {len(split.train)} rows", _scores(problem, net, "train")))
    names = list(found[0][1])
    rows = [(part, *(_digits(name, values[name]) for name in names)) for part, values in found]
    yield table(("rows", *names), rows, numeric=range(1, 1 + len(names)))
    yield element("p", "; ".join(f"{name}: {SCORE_HELP[name]}" for name in names if name in SCORE_HELP), class_="note")
    yield figures.predictions(target, net.predict(problem.X[split.test]), problem.Y[split.test])


def timing(problem: Problem, history: History) -> Iterator[tuple[str, str]]:
    """Tell how long the training took, and why it ended."""
    yield "epochs", f"{history.epochs}; {STOPPED.get(history.stopped, history.stopped)}"
    yield "time", f"{history.seconds:.3g} s"
    if not history.epochs:
        return
    losses = history.loss if history.validation_loss is None else history.validation_loss
    kind = "training" if history.validation_loss is None else "validation"
    if not np.isnan(losses).all():
        best = int(np.nanargmin(losses))
        yield "best epoch", f"{best + 1}, {kind} loss {losses[best]:.4g}"
    if history.seconds > 0:
        rows = len(problem.split.train) * history.epochs / history.seconds
        yield "per epoch", f"{1e3 * history.seconds / history.epochs:.3g} ms, {rows:,.0f} rows a second"


def layers(net: Net) -> Markup:
    """Return a table of the layers."""
    header = ("layer", "inputs", "units", "activation", "parameters", "remarks")
    return table(header, (_layer_row(net, layer) for layer in range(len(net.weights))), numeric=(1, 2, 4))


def data(problem: Problem) -> Iterator[Markup]:
    """Tell what the table holds, and how its rows were split."""
    split, encoder, source = problem.split, problem.encoder, problem.source
    parts = f"{len(split.train)} training, {len(split.validation)} validation, {len(split.test)} test"
    facts: list[tuple[str, object]] = [
        ("file", data_name(problem)),
        ("rows", f"{problem.table.rows}: {parts}"),
        ("columns", f"{len(problem.table.names)}, of which {len(encoder.features)} are features"),
        ("inputs", f"{len(encoder.feature_names)}, after one-hot encoding"),
        ("target", f"{source.target} ({encoder.task})"),
    ]
    if source.note:
        facts.append(("note", source.note))
    yield pairs(facts)
    columns = summarize_columns(problem.table, encoder)
    header = ("column", "part", "holds", "missing", "range or most frequent values", "mean")
    yield table(header, map(astuple, columns[:MAX_COLUMNS]), numeric=(3, 5))
    if len(columns) > MAX_COLUMNS:
        yield element("p", f"… and {len(columns) - MAX_COLUMNS} more columns.", class_="note")


def settings(given: Mapping[str, object]) -> Markup:
    """Return the options of the run."""
    return pairs((name.replace("_", " "), _describe_setting(name, value)) for name, value in given.items())


def environment(net: Net) -> Markup:
    """Tell on what the net was trained."""
    threads = "as many as the work pays for" if net.threads is None else str(net.threads)
    return pairs([*describe_environment(), ("threads", threads)])


def reproduce(problem: Problem, history: History, command: str) -> Iterator[Markup]:
    """Return the command that repeats the run, and what it needs."""
    yield element("pre", element("code", command))
    same = "The same data, version and instruction set give the same network to the last bit, on any number of threads."
    if history.stopped in ENDED_FROM_OUTSIDE:
        same = "This run was ended from outside, so that another one may end after another epoch."
    yield element("p", same, class_="note")
    digest = sha256(problem.source.path)
    if digest:
        yield pairs([("SHA-256 of the data", element("code", digest))])


def _layer_row(net: Net, layer: int) -> tuple[object, ...]:
    config = net.config
    fan_in, fan_out = config.layer_shapes[layer]
    last = layer == len(config.activations) - 1
    dropped = 0.0 if last else config.dropout[layer]
    parameters = fan_in * fan_out + (fan_out if config.bias else 0)
    kind = "output" if last else f"hidden {layer + 1}"
    remarks = f"loss {config.loss}" if last else f"dropout {dropped:g}" if dropped else ""
    return kind, fan_in, fan_out, config.activations[layer], parameters, remarks


def _scores(problem: Problem, net: Net, part: str) -> dict[str, float]:
    rows = getattr(problem.split, part)
    return _score(problem, net.predict(problem.X[rows]), problem.Y[rows]) if len(rows) else {}


def _score(problem: Problem, outputs: Any, Y: Any) -> dict[str, float]:
    found = score(problem.encoder.target, outputs, Y)
    return {name.replace("^2", "²"): value for name, value in found.items()}


def _digits(name: str, value: float) -> str:
    """Write shares with four decimals, errors with four digits."""
    return f"{value:.4g}" if name == "RMSE" else f"{round(value, 4) + 0.0:.4f}"  # + 0.0 makes -0 zero


def _describe_setting(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == []:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else spell_value(name, value)
