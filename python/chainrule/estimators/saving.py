"""Estimators on disk: the net's own file, with parameters and fitted attributes as JSON in its metadata."""

from __future__ import annotations

import json
import math
import os
from types import NoneType
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from ..config import choose
from ..errors import ModelFormatError
from ..files import load_with_metadata
from ..net import Net
from .plain_values import from_plain, to_plain
from .step_size import MODES, StepSize

__all__ = ["load_estimator", "save_estimator"]

FORMAT_VERSION = 1

#: The entry of the metadata.
ENTRY = "chainrule.estimator"

#: What a file holds beside the net, the step size and the labels; and what each may be.
FITTED: dict[str, tuple[type, ...]] = {
    "n_features_in_": (int,),
    "feature_names_in_": (np.ndarray,),
    "n_outputs_": (int,),
    "n_layers_": (int,),
    "out_activation_": (str,),
    "classes_": (np.ndarray,),
    "n_iter_": (int,),
    "t_": (int,),
    "loss_": (int, float),
    "best_loss_": (int, float, NoneType),
    "loss_curve_": (list,),
    "validation_scores_": (list, NoneType),
    "best_validation_score_": (int, float, NoneType),
    "_no_improvement_count": (int,),
    "_stops_early": (bool,),
}
#: Of those, what not every fitted estimator has.
NOT_ALWAYS = {"feature_names_in_", "classes_", "loss_"}
#: What L-BFGS does not record; there is all of it or nothing.
RECORD = {"best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_", "_no_improvement_count"}

#: Counts are below.
MOST = 2**63

#: Kinds of a classifier's targets, and the activation of the outputs of each.
KINDS = {"binary": "sigmoid", "multiclass": "softmax", "multilabel-indicator": "sigmoid"}


def save_estimator(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to `path`; see `BaseMultilayerPerceptron.save`."""
    check_is_fitted(estimator)
    parameters = estimator.get_params(deep=False)
    if "callback" in parameters:  # a subclass may have less to be given
        parameters["callback"] = None
    fitted = {name: value for name, value in vars(estimator).items() if name in FITTED}
    pace = getattr(estimator, "_optimizer", None)
    description = {
        "format": FORMAT_VERSION,
        "estimator": type(estimator).__name__,
        "parameters": {name: to_plain(name, value) for name, value in parameters.items()},
        "fitted": {name: to_plain(name, value) for name, value in fitted.items()},
        "step_size": None if pace is None else vars(pace),
        "labels": _labels(estimator),
        "sparse_labels": is_classifier(estimator) and bool(estimator._label_binarizer.sparse_input_),
    }
    estimator.net_.save(path, {ENTRY: json.dumps(description)})


def load_estimator(cls: type[Any], path: str | os.PathLike[str]) -> Any:
    """Read an estimator from `path`; see `BaseMultilayerPerceptron.load`."""
    # One reading for all of it: a save in between would mix one model's net with another's labels.
    net, metadata = load_with_metadata(path)
    text = metadata.get(ENTRY)
    if text is None:
        raise ModelFormatError(f"{path}: a net, and no estimator; Net.load reads it")
    if not np.isfinite(net.parameters).all():  # the first class of all would look like a prediction
        raise ModelFormatError(f"{path}: the parameters of the net are not finite; Net.load reads it as it is")
    try:
        description = json.loads(text)
        if description["format"] != FORMAT_VERSION:
            raise ValueError(f"format {description['format']!r} is not known; this version reads {FORMAT_VERSION}")
        if description["estimator"] != cls.__name__:
            raise ValueError(f"it holds an estimator of class {description['estimator']!r}")
        return _build(cls, description, net)
    except KeyError as error:
        raise ModelFormatError(f"{path}: not a file of {cls.__name__}.save: {error.args[0]!r} is missing") from error
    except MemoryError:
        raise
    except Exception as error:  # constructors, scikit-learn and NumPy get values of any kind here, and raise as much
        raise ModelFormatError(f"{path}: not a file of {cls.__name__}.save: {error}") from error


def _build(cls: type[Any], description: dict[str, Any], net: Net) -> Any:
    estimator = cls(**{name: from_plain(value) for name, value in description["parameters"].items()})
    estimator._validate_params()
    for name, value in _read_fitted(description["fitted"]).items():
        setattr(estimator, name, value)
    found = (estimator.n_features_in_, estimator.n_outputs_, estimator.n_layers_)
    if found != (net.config.features, net.config.outputs, len(net.config.sizes)):
        raise ValueError("its net is of other sizes than the estimator")
    output = estimator.out_activation_
    if {"logistic": "sigmoid"}.get(output, output) != net.config.activations[-1]:
        raise ValueError(f"its net has no output for out_activation_ {output!r}")
    if (given := description["step_size"]) is not None:
        estimator._optimizer = _read_step_size(given)
    if is_classifier(estimator):
        _learn_labels(estimator, choose("labels", description["labels"], tuple(KINDS)), net)
        estimator._label_binarizer.sparse_input_ = bool(description.get("sparse_labels"))
    estimator._adopt(net)
    return estimator


def _read_fitted(description: dict[str, Any]) -> dict[str, Any]:
    """Return the fitted attributes, each of which is what a fit would have left."""
    fitted = {name: from_plain(value) for name, value in description.items()}
    has_record = not RECORD.isdisjoint(fitted)
    for name in FITTED.keys() - NOT_ALWAYS - (set() if has_record else RECORD) - fitted.keys():
        raise KeyError(name)
    for name, value in fitted.items():
        if name not in FITTED:
            raise ValueError(f"{name!r} is no fitted attribute")
        counts = FITTED[name] != (int,) or 0 <= value < MOST
        numbers = not isinstance(value, list) or all(isinstance(each, int | float) for each in value)
        if not isinstance(value, FITTED[name]) or not counts or not numbers:
            raise ValueError(f"{name} cannot be {value!r:.80}")
    by_scores = fitted.get("best_validation_score_") is not None
    scored, lost = fitted.get("validation_scores_") is not None, fitted.get("best_loss_") is None
    if has_record and not scored == lost == by_scores:
        raise ValueError("best_loss_, or validation_scores_ and best_validation_score_, must be None, not both")
    names = fitted.get("feature_names_in_")
    if names is not None and (names.shape != (fitted["n_features_in_"],) or not all(map(_is_text, names))):
        raise ValueError(f"feature_names_in_ must be a name for each feature, got {names!r:.80}")
    return fitted


def _read_step_size(given: dict[str, Any]) -> StepSize:
    initial, power_t, rate = (given[name] for name in ("initial", "power_t", "learning_rate"))
    for value in (initial, power_t, rate):
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise ValueError(f"step_size must have finite numbers that are not negative, got {value!r:.80}")
    step_size = StepSize(choose("step_size's mode", given["mode"], MODES), float(initial), float(power_t))
    step_size.learning_rate = float(rate)
    return step_size


def _is_text(value: object) -> bool:
    return isinstance(value, str)


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
    # Two rows say how many columns there are; one for each would be the square of what the file holds.
    binarizer = LabelBinarizer().fit(np.eye(2, len(classes), dtype=int) if several else classes)
    if not np.array_equal(binarizer.classes_, classes):
        raise ValueError(f"classes_ must be sorted, and each once, got {classes!r:.80}")
    estimator._label_binarizer = binarizer
