"""Estimators on disk: the net's own file, with parameters and fitted attributes as JSON in its metadata."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from ..config import choose
from ..errors import ModelFormatError
from ..files import read_metadata
from ..net import Net
from .plain_values import from_plain, to_plain
from .step_size import StepSize

__all__ = ["load_estimator", "save_estimator"]

FORMAT_VERSION = 1

#: The entry of the metadata.
ENTRY = "chainrule.estimator"

#: What a file holds beside the net, the step size and the labels.
FITTED = {
    "n_features_in_",
    "feature_names_in_",
    "n_outputs_",
    "n_layers_",
    "out_activation_",
    "classes_",
    "n_iter_",
    "t_",
    "loss_",
    "best_loss_",
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
    "_stops_early",
}

#: Kinds of a classifier's targets, and the activation of the outputs of each.
KINDS = {"binary": "sigmoid", "multiclass": "softmax", "multilabel-indicator": "sigmoid"}


def save_estimator(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to `path`; see `BaseMultilayerPerceptron.save`."""
    check_is_fitted(estimator)
    parameters = estimator.get_params(deep=False) | {"callback": None}
    fitted = {name: value for name, value in vars(estimator).items() if name in FITTED}
    pace = getattr(estimator, "_optimizer", None)
    description = {
        "format": FORMAT_VERSION,
        "estimator": type(estimator).__name__,
        "parameters": {name: to_plain(name, value) for name, value in parameters.items()},
        "fitted": {name: to_plain(name, value) for name, value in fitted.items()},
        "step_size": None if pace is None else vars(pace),
        "labels": _labels(estimator),
    }
    estimator.net_.save(path, {ENTRY: json.dumps(description)})


def load_estimator(cls: type[Any], path: str | os.PathLike[str]) -> Any:
    """Read an estimator from `path`; see `BaseMultilayerPerceptron.load`."""
    net = Net.load(path)
    text = read_metadata(path).get(ENTRY)
    if text is None:
        raise ModelFormatError(f"{path}: a net, and no estimator; Net.load reads it")
    try:
        description = json.loads(text)
        if description["format"] != FORMAT_VERSION:
            raise ValueError(f"format {description['format']!r} is not known; this version reads {FORMAT_VERSION}")
        if description["estimator"] != cls.__name__:
            raise ValueError(f"it holds an estimator of class {description['estimator']!r}")
        return _build(cls, description, net)
    except KeyError as error:
        raise ModelFormatError(f"{path}: not a file of {cls.__name__}.save: {error.args[0]!r} is missing") from error
    except (TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not a file of {cls.__name__}.save: {error}") from error


def _build(cls: type[Any], description: dict[str, Any], net: Net) -> Any:
    estimator = cls(**{name: from_plain(value) for name, value in description["parameters"].items()})
    estimator._validate_params()
    for name, value in description["fitted"].items():
        if name not in FITTED:
            raise ValueError(f"{name!r} is no fitted attribute")
        setattr(estimator, name, from_plain(value))
    found = (estimator.n_features_in_, estimator.n_outputs_, estimator.n_layers_)
    if found != (net.config.features, net.config.outputs, len(net.config.sizes)):
        raise ValueError("its net is of other sizes than the estimator")
    if (given := description["step_size"]) is not None:
        estimator._optimizer = StepSize(str(given["mode"]), float(given["initial"]), float(given["power_t"]))
        estimator._optimizer.learning_rate = float(given["learning_rate"])
    if is_classifier(estimator):
        _learn_labels(estimator, choose("labels", description["labels"], tuple(KINDS)), net)
    estimator._adopt(net)
    return estimator


def _labels(estimator: Any) -> str | None:
    """Return the kind of a classifier's targets."""
    return str(estimator._label_binarizer.y_type_) if is_classifier(estimator) else None


def _learn_labels(estimator: Any, kind: str, net: Net) -> None:
    """Make the binarizer of a classifier, whose labels have to fit the net."""
    classes = estimator.classes_
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        raise ValueError(f"classes_ must be an array of labels, got {classes!r:.80}")
    fits = len(classes) in (1, 2) if kind == "binary" else len(classes) == net.config.outputs
    if net.config.activations[-1] != KINDS[kind] or not fits:
        raise ValueError(f"{len(classes)} classes, {kind}, do not fit a net of {net.config.outputs} outputs")
    several = kind == "multilabel-indicator"
    estimator._label_binarizer = LabelBinarizer().fit(np.eye(len(classes), dtype=int) if several else classes)
