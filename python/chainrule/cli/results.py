"""What came of a training run: the best epoch, and scores on the test rows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..history import History
from ..tables import baseline_outputs, score
from .problem import Problem

if TYPE_CHECKING:
    from ..net import Net

__all__ = ["Outcome", "Scores", "as_json", "best_epoch", "test_scores"]

#: Scores of the net, and of predicting without the features; empty without test rows.
Scores = tuple[dict[str, float], dict[str, float]]


@dataclass(frozen=True)
class Outcome:
    """A finished run: what was learned and by which net, how that went, and the files that it wrote."""

    problem: Problem
    net: Net
    history: History
    scores: Scores
    files: Mapping[str, Path | None]


def best_epoch(history: History) -> int | None:
    """Return the epoch, from 0, with the lowest validation loss, else training loss; None if there was none."""
    if history.epochs == 0:
        return None
    losses = history.loss if history.validation_loss is None else history.validation_loss
    # Where none is a number, no epoch is put back, and the last is what there is.
    return int(np.nanargmin(losses)) if np.isfinite(losses).any() else history.epochs - 1


def test_scores(problem: Problem, net: Net) -> Scores:
    """Score the net, and a prediction without the features, on the test rows."""
    target, Y, split = problem.encoder.target, problem.Y, problem.split
    if not len(split.test):
        return {}, {}
    without_features = baseline_outputs(target, Y[split.train], len(split.test))
    predicted = net.predict(problem.X[split.test])
    return score(target, predicted, Y[split.test]), score(target, without_features, Y[split.test])


def as_json(args: argparse.Namespace, outcome: Outcome) -> dict[str, Any]:
    """Return all that is worth keeping, ready for JSON."""
    problem, history = outcome.problem, outcome.history
    split, config, best = problem.split, outcome.net.config, best_epoch(history)
    validation = history.validation_loss
    return {
        "data": str(problem.source.path),
        "target": problem.source.target,
        "task": problem.encoder.task,
        "features": [column.name for column in problem.encoder.features],
        "rows": {part: len(getattr(split, part)) for part in ("train", "validation", "test")},
        "sizes": config.sizes,
        "activations": config.activations,
        "loss": str(config.loss),
        "parameters": config.parameter_count,
        "dtype": config.dtype,
        "optimizer": args.optimizer,
        "seed": args.seed,
        "epochs": history.epochs,
        "seconds": history.seconds,
        "stopped": history.stopped,
        "best_epoch": None if best is None else best + 1,
        "training_loss": None if best is None else float(history.loss[best]),
        "validation_loss": None if best is None or validation is None else float(validation[best]),
        "test": outcome.scores[0],
        "baseline": outcome.scores[1],
        **{name: None if path is None else str(path) for name, path in outcome.files.items()},
    }
