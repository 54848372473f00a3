"""`MLPRegressor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import xlogy
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from ..config import choose
from ..losses import Loss, read_loss
from .base import Array, BaseMultilayerPerceptron
from .parameters import CONSTRAINTS
from .refusals import refuse_no_numbers
from .scores import r2
from .stochastic import Rows

__all__ = ["MLPRegressor"]

LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile", "log_cosh")


class MLPRegressor(RegressorMixin, BaseMultilayerPerceptron):  # type: ignore[misc]
    """scikit-learn's `MLPRegressor`, trained by chainrule's core.

    Parameters and attributes are scikit-learn's, with the same defaults and meanings, but for what is said here.

    Parameters
    ----------
    loss : str or Loss, default "squared_error"
        ``"squared_error"`` (half of it, as in scikit-learn) or ``"poisson"``; beyond scikit-learn
        ``"absolute_error"``, ``"huber"``, ``"quantile"``, ``"log_cosh"``, an instance such as ``Huber(0.5)``, or text
        such as ``"quantile(0.9)"``.
    hidden_layer_sizes : int or array-like of int, default (100,)
    activation : str or sequence of str, default "relu"
        Of all hidden layers, or of each: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``, or any that
        `chainrule.Net` has.
    solver : str or Optimizer, default "adam"
        ``"lbfgs"``, ``"sgd"``, ``"adam"``; beyond scikit-learn ``"adamw"``, ``"nadam"``, ``"rmsprop"``,
        ``"adagrad"``, ``"rprop"``, or an optimizer such as ``chainrule.AdamW(lr=0.01)``, whose constants then count.
    alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, \
warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon, \
n_iter_no_change, max_fun
        As in scikit-learn. The initial weights and the rows held out are the same for the same `random_state`; the
        order of the minibatches is another.
    dropout : float or sequence of float, default 0
        Share of the outputs of all hidden layers, or of each, that a training step drops.
    n_threads : int, optional
        The most threads to use; see `chainrule.Net`.
    callback : callable, optional
        Called with a `chainrule.FitState` after each epoch; a true result stops the fit.

    Attributes
    ----------
    net_ : chainrule.Net
        What predicts; ``net_.predict`` without scikit-learn's checks.
    coefs_, intercepts_ : list of ndarray
        Views of the net's weights (fan_in, fan_out) and biases (fan_out,).
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, n_layers_, n_outputs_, \
out_activation_, t_, n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule.estimators import MLPRegressor
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> model = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
    >>> model.score(X, X[:, 0] ** 2) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**CONSTRAINTS, "loss": [str, Loss]}
    _y_numeric: ClassVar[bool] = True

    def __init__(
        self,
        loss: str | Loss = "squared_error",
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
        n_threads: int | None = None,
        callback: Any = None,
    ) -> None:
        self.loss = loss
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
        self.n_threads = n_threads
        self.callback = callback

    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Fit to data.

        Parameters
        ----------
        X : array-like or sparse (CSR, CSC), (rows, features)
            float32 trains a float32 net, anything else a float64 net.
        y : array-like, (rows,) or (rows, targets)
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Run one epoch over the given data, with the optimizer as the last call left it; arguments as in `fit`."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Return predictions, (rows,) or (rows, targets), in the dtype of the net."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _read_targets(
        self, y: Array, sample_weight: Array | None, dtype: Any, incremental: bool
    ) -> tuple[Array, Array | None]:
        if isinstance(self.loss, str):
            choose("loss", self.loss.partition("(")[0].strip(), LOSSES)
        loss = read_loss(self.loss)
        choose("loss", loss.name, LOSSES)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        columns = 1 if y.ndim == 1 else y.shape[1]
        self.n_outputs_ = columns * loss.outputs_per_target
        self.out_activation_ = "exp" if loss.name == "poisson" else "identity"
        return y, sample_weight

    def _plain_targets(self, name: str, y: Any) -> Any:
        refuse_no_numbers(**{name: y})
        return y

    def _net_loss(self) -> str | Loss:
        # scikit-learn's squared error has a half before it.
        return "half_squared_error" if self.loss == "squared_error" else self.loss

    def _reported_loss(self, rows: Rows) -> Callable[[float], float]:
        constants = self._loss_constants(rows)
        if constants is not None:
            # Half of the deviance, which is 0 where predictions are perfect.
            shift = np.average(constants, weights=rows.weights, axis=0).sum()
            return lambda loss: float(loss + shift)
        # Of several outputs scikit-learn reports the mean, and follows the gradient of the sum.
        share = self.n_outputs_ if self.loss == "squared_error" else 1
        return lambda loss: loss / share

    def _loss_constants(self, rows: Rows) -> Array | None:
        return xlogy(rows.Y, rows.Y) - rows.Y if read_loss(self.loss).name == "poisson" else None

    def _strata(self, Y: Array) -> Array | None:
        return None

    def _check_scorable(self, held_out: Rows) -> None:
        if held_out.Y.size != len(held_out) * self.n_outputs_:
            raise ValueError(f"early stopping needs one output for each target; loss={self.loss!r} has several")
        if len(held_out) < 2:
            raise ValueError("X_val must have at least 2 rows, whose spread the score is a share of; got 1")

    def _score_outputs(self, held_out: Rows, outputs: Array) -> float:
        return r2(held_out.Y, outputs, held_out.weights)
