"""`MLPClassifier`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from .base import Array, BaseMultilayerPerceptron
from .labels import check_labels, plain_labels
from .parameters import CONSTRAINTS
from .scores import accuracy, decide
from .stochastic import Rows

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMultilayerPerceptron):  # type: ignore[misc]
    """scikit-learn's `MLPClassifier`, trained by chainrule's core.

    Parameters and attributes are scikit-learn's, with the same defaults and meanings, but for what is said here and
    for `MLPRegressor`.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, \
shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, \
beta_1, beta_2, epsilon, n_iter_no_change, max_fun, dropout, n_threads, callback
        As for `MLPRegressor`.
    class_weight : "balanced" or dict of label to float, optional
        Weights of the classes, which multiply `sample_weight`; with ``"balanced"`` rows / (classes * rows of the
        class).

    Attributes
    ----------
    classes_ : ndarray, (classes,)
        Labels, in the order of the outputs.
    net_, coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, \
n_layers_, n_outputs_, out_activation_, t_, n_features_in_, feature_names_in_
        As for `MLPRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from chainrule.estimators import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(solver="lbfgs", random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "class_weight": [None, StrOptions({"balanced"}), dict],
    }

    #: The loss of scikit-learn's classifier, which is no parameter.
    loss: ClassVar[str] = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        class_weight: str | Mapping[Any, float] | None = None,
        n_threads: int | None = None,
        callback: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.class_weight = class_weight
        self.n_threads = n_threads
        self.callback = callback

    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Fit to data.

        Parameters
        ----------
        X : array-like or sparse (CSR, CSC), (rows, features)
            float32 trains a float32 net, anything else a float64 net.
        y : array-like, (rows,), or an indicator matrix (rows, labels)
        sample_weight : array-like, (rows,), optional
        X_val, y_val : array-like, optional
            What early stopping goes by instead of a share of `X`; giving them switches it on.

        Raises
        ------
        ValueError
            Parameters or data are not allowed.
        DivergenceError
            Weights stopped being finite, and early stopping has no better ones.
        """
        self._fit(X, y, sample_weight, X_val, y_val)
        return self

    @available_if(lambda estimator: estimator._is_stochastic())  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Run one epoch over the given data, with the optimizer as the last call left it.

        Parameters
        ----------
        X, y, sample_weight : array-like
            As in `fit`.
        classes : array-like, (classes,), optional
            All labels there will be; needed in the first call.

        Raises
        ------
        ValueError
            `class_weight` is ``"balanced"``, for which all of the data would have to be seen.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not for partial_fit, which sees a part of the data; give the "
                "weight of each class, of which sklearn.utils.class_weight.compute_class_weight makes balanced ones"
            )
        self._fit(X, y, sample_weight, incremental=True, classes=classes)
        return self

    def predict(self, X: Any) -> Array:
        """Return labels (rows,), or an indicator matrix (rows, labels), sparse if that of `fit` was."""
        outputs = self._outputs(X)
        if not math.isfinite(outputs.sum()):  # the first class of all would look like a prediction
            raise ValueError("the net's outputs are not finite, for its parameters or X are not")
        decisions = self._decide(outputs)
        if self._label_binarizer.y_type_.startswith("multilabel"):
            return cast(Array, self._label_binarizer.inverse_transform(decisions))
        labels: Array = self.classes_[decisions]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, or of each label, (rows, classes)."""
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _read_targets(
        self, y: Array, sample_weight: Array | None, dtype: Any, incremental: bool
    ) -> tuple[Array, Array | None]:
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        self._learn_labels(y, incremental)
        Y = self._label_binarizer.transform(y)
        self.n_outputs_ = Y.shape[1]
        softmax = self._label_binarizer.y_type_ == "multiclass"
        self.out_activation_ = "softmax" if softmax else "logistic"
        if self.class_weight is not None:
            of_classes = self._weigh_by_class(y)
            sample_weight = of_classes if sample_weight is None else of_classes * sample_weight
        return (Y.argmax(axis=1) if softmax else Y.astype(dtype)), sample_weight

    def _weigh_by_class(self, y: Array) -> Array:
        """Return the weight of each row's class: of all classes, of which `y` may have some."""
        if isinstance(self.class_weight, str):
            weights: Array = compute_sample_weight(self.class_weight, y)
            return weights
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError("class_weight must be 'balanced' or None where a row has several labels, got a dict")
        of_classes = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        return np.asarray(of_classes[np.searchsorted(self.classes_, y)])

    def _plain_targets(self, name: str, y: Any) -> Any:
        check_labels(name, y)
        return plain_labels(y)

    def _expect_classes(self, y: Any, classes: Any) -> None:
        y, classes = self._plain_targets("y", y), self._plain_targets("classes", classes)
        if _check_partial_fit_first_call(self, classes):
            labels = y if type_of_target(y).startswith("multilabel") else classes
            self._label_binarizer = LabelBinarizer().fit(labels)

    def _learn_labels(self, y: Array, incremental: bool) -> None:
        """Learn the labels, or check that they are those of earlier calls."""
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return
        labels = unique_labels(y)
        if self.warm_start and not incremental and set(labels) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {labels}"
            )
        if len(np.setdiff1d(labels, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {labels}."
            )

    def _decide(self, outputs: Array) -> Array:
        """Return class indices (rows,), or 0 and 1 for each label (rows, labels)."""
        if len(self.classes_) == 1:
            return np.zeros(len(outputs), np.intp)
        return decide(outputs, self.out_activation_ == "softmax")

    def _net_loss(self) -> str:
        return "cross_entropy" if self.out_activation_ == "softmax" else "log_loss"

    def _reported_loss(self, rows: Rows) -> Callable[[float], float]:
        return lambda loss: loss

    def _strata(self, Y: Array) -> Array | None:
        return Y.astype(bool) if self.n_outputs_ == 1 else None

    def _score_outputs(self, held_out: Rows, outputs: Array) -> float:
        targets = held_out.Y[:, 0] if self.n_outputs_ == 1 else held_out.Y
        return accuracy(targets, self._decide(outputs), held_out.weights)
