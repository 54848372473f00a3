"""What the two estimators share: a net that is built, fitted, predicted with, copied and saved.

Not here: what targets and outputs mean.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..config import NetConfig
from ..losses import Loss
from ..net import Net
from ..snapshots import Snapshot
from ..views import write_numbers
from .callbacks import CallbackSupport, FitHooks, with_callbacks
from .initial_weights import draw_seed, draw_weights
from .lbfgs import Objective, fit_lbfgs
from .parameters import CONSTRAINTS, check_whole_numbers, drawn_activations, hidden_activations, hidden_sizes
from .refusals import refuse_no_numbers, unchanged_if_refused
from .saving import load_estimator, save_estimator
from .stochastic import Rows, StochasticFit, start_record

__all__ = ["BaseMultilayerPerceptron"]

Array = NDArray[Any]

#: Dtypes of a net; what is neither becomes the first.
DTYPES = (np.float64, np.float32)

#: Losses that scikit-learn takes of probabilities, which it keeps from 0 and 1; the core takes them of logits.
LOSSES_OF_PROBABILITIES = ("log_loss", "cross_entropy")


class BaseMultilayerPerceptron(CallbackSupport, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of `MLPClassifier` and `MLPRegressor`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = CONSTRAINTS

    # Set by fits; the rest of scikit-learn's attributes are listed by the estimators.
    coefs_: list[Array]
    intercepts_: list[Array]
    n_outputs_: int
    out_activation_: str

    @property
    def net_(self) -> Net:
        """The net that the estimator trains and predicts with; the fast way to predict."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        return self._trained_net()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a safetensors file, without pickle; `Net.load` reads its net.

        Parameters, fitted attributes and the optimizer's state are written exactly; a callback is not.

        Raises
        ------
        OSError
            The file cannot be written; an older file of that name is untouched.
        TypeError
            A parameter, or a class label, has no place in JSON.
        sklearn.exceptions.NotFittedError
            There is nothing to save yet.
        """
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an estimator that `save` wrote.

        Raises
        ------
        OSError
            The file cannot be read.
        ModelFormatError
            It is not a file of this estimator's `save`, or is damaged.
        """
        estimator: Self = load_estimator(cls, path)
        return estimator

    def _validate_params(self) -> None:
        if get_config()["skip_parameter_validation"]:
            return
        super()._validate_params()
        check_whole_numbers(self.get_params(deep=False))

    @with_callbacks  # type: ignore[untyped-decorator]
    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any = None,
        y_val: Any = None,
        incremental: bool = False,
        classes: Any = None,
    ) -> None:
        with unchanged_if_refused(self):
            self._check_arguments(X_val, y_val, incremental)
            if incremental:
                self._expect_classes(y, classes)
            train = self._prepare(X, y, sample_weight, X_val, y_val, incremental)
            hooks = FitHooks(self, X, y, sample_weight)
        train(hooks)

    def _check_arguments(self, X_val: Any, y_val: Any, incremental: bool) -> None:
        self._validate_params()
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together")
        if X_val is not None and self.solver == "lbfgs":
            raise ValueError("X_val and y_val are for early stopping, which solver='lbfgs' does not have")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, incremental: bool
    ) -> Callable[[FitHooks], None]:
        """Check everything, and return what trains the net; a net that has been trained is not written to yet."""
        hidden = hidden_sizes(self.hidden_layer_sizes)
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        rows = self._read_rows(X, y, sample_weight, first, incremental)
        random = check_random_state(self.random_state)
        sizes = [rows.X.shape[1], *hidden, self.n_outputs_]
        net = self._new_net(sizes, rows, random) if first else self._net_as_described(sizes)
        self._adopt(net)
        self._stops_early = self.solver != "lbfgs" and (bool(self.early_stopping) or X_val is not None)
        if first or self._judged_otherwise():
            start_record(self)
        if self.solver == "lbfgs":
            if any(net.config.dropout):
                raise ValueError("dropout must be 0 with solver='lbfgs', whose objective must not be random")
            with self._capped_losses(net):
                objective = Objective(net, rows, float(self.alpha))
            return functools.partial(fit_lbfgs, self, net, objective, self._reported_loss(rows))
        held_out = None
        if X_val is not None:
            held_out = self._read_held_out(X_val, y_val, net)
        elif self.early_stopping:
            rows, held_out = self._split(rows, random)
        if held_out is not None:
            self._check_scorable(held_out)
            if not held_out.weight_sum > 0:
                raise ValueError("sample_weight is 0 for every row that early stopping holds out, and could go by")
        return StochasticFit(self, net, rows, held_out, self._reported_loss(rows), incremental).run

    def _read_held_out(self, X_val: Any, y_val: Any, net: Net) -> Rows:
        held_out = self._read_rows(X_val, y_val, None, reset=False, incremental=True, name="y_val")
        if self.n_outputs_ != net.config.outputs:
            raise ValueError("y_val must have as many targets as y")
        return held_out

    def _judged_otherwise(self) -> bool:
        """Return whether the record so far is of a fit that went by something else."""
        by_scores = getattr(self, "best_validation_score_", None) is not None
        return self.solver != "lbfgs" and (by_scores != self._stops_early or not hasattr(self, "loss_curve_"))

    def _read_rows(self, X: Any, y: Any, sample_weight: Any, reset: bool, incremental: bool, name: str = "y") -> Rows:
        y = self._plain_targets(name, y)
        refuse_no_numbers(X=X, sample_weight=sample_weight)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=("csr", "csc"),
            multi_output=True,
            y_numeric=self._y_numeric,
            dtype=DTYPES,
            reset=reset,
        )
        X = X.tocsr() if issparse(X) else X
        y = y.astype(y.dtype.newbyteorder("="), copy=False)  # which scikit-learn does for X alone
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        Y, weights = self._read_targets(y, sample_weight, X.dtype, incremental)
        return Rows(X, Y, weights)

    def _new_net(self, sizes: list[int], rows: Rows, random: np.random.RandomState) -> Net:
        # What is wrong with the description, or too large for any memory, is said before the weights are drawn.
        NetConfig.create(**self._describe_net(sizes, rows.X.dtype))
        init = draw_weights(random, sizes, drawn_activations(self.activation, len(sizes) - 2))
        return self._build_net(sizes, rows.X.dtype, init, draw_seed(random))

    def _build_net(self, sizes: list[int], dtype: Any, init: Any, seed: int) -> Net:
        return Net(**self._describe_net(sizes, dtype), init=init, seed=seed, threads=self.n_threads)

    def _describe_net(self, sizes: list[int], dtype: Any) -> dict[str, Any]:
        """Return the arguments of a net, or of its configuration, that the parameters ask for."""
        return {
            "sizes": sizes,
            "hidden": hidden_activations(self.activation, len(sizes) - 2),
            "output": {"logistic": "sigmoid"}.get(self.out_activation_, self.out_activation_),
            "loss": self._net_loss(),
            "dtype": dtype,
            "dropout": self.dropout,
        }

    def _net_as_described(self, sizes: list[int]) -> Net:
        """Return the net of earlier calls, as the parameters now are: they may have changed, but for the sizes."""
        net = self._trained_net()
        if list(net.config.sizes) != sizes:
            raise ValueError(
                f"warm_start and partial_fit go on with a net of {list(net.config.sizes)} units per layer; "
                f"hidden_layer_sizes and the data now ask for {sizes}"
            )
        config = NetConfig.create(**self._describe_net(sizes, net.config.dtype))
        if (config, self.n_threads) == (net.config, net.threads):
            return net
        return replace(Snapshot.of(net), config=config, threads=self.n_threads).restore()

    def _adopt(self, net: Net) -> None:
        """Make the net's own weights, not copies, those of the estimator."""
        self._net = net
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self.n_layers_ = len(net.config.sizes)

    def _trained_net(self) -> Net:
        """Return the net, with what a user may have put in the place of its weights."""
        net: Net | None = self.__dict__.get("_net")
        if net is None:
            shapes = [np.shape(weights) for weights in self.coefs_]
            init = list(zip(self.coefs_, self.intercepts_, strict=True))
            sizes = [shapes[0][0], *(fan_out for _, fan_out in shapes)]
            net = self._build_net(sizes, np.asarray(self.coefs_[0]).dtype, init, draw_seed(check_random_state(None)))
            self._adopt(net)
        for name, given, views in (("coefs_", self.coefs_, net.weights), ("intercepts_", self.intercepts_, net.biases)):
            if len(given) != len(views):
                raise ValueError(f"{name} must have an array for each of {len(views)} layers; got {len(given)}")
            for layer, view in enumerate(views):
                if given[layer] is not view:
                    write_numbers(f"{name}[{layer}]", given[layer], view)
                    given[layer] = view
        return net

    def _split(self, rows: Rows, random: np.random.RandomState) -> tuple[Rows, Rows]:
        """Hold out a share of the rows, those that scikit-learn holds out."""
        training, held_out = train_test_split(
            np.arange(len(rows)),
            random_state=random,
            test_size=self.validation_fraction,
            stratify=self._strata(rows.Y),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return rows.at(training), rows.at(held_out)

    def _outputs(self, X: Any) -> Array:
        """Return the net's outputs, (rows, outputs)."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)  # which takes longer than a small net
        net = self._trained_net()
        if type(X) is np.ndarray and X.ndim == 2 and X.dtype in DTYPES and not hasattr(self, "feature_names_in_"):
            try:
                return net.predict(X)
            except (TypeError, ValueError):
                pass  # scikit-learn says what is wrong with the data, in its words
        refuse_no_numbers(X=X)
        X = validate_data(self, X, accept_sparse=("csr", "csc"), dtype=DTYPES, reset=False)
        return net.predict(X)

    def _is_stochastic(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if "_net" in state:
            net = self._trained_net()
            state["_net"] = Snapshot.of(net)
            for name in ("coefs_", "intercepts_"):
                state.pop(name)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        snapshot = state.pop("_net", None)
        super().__setstate__(state)
        if snapshot is not None:
            self._adopt(snapshot.restore())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @contextlib.contextmanager
    def _capped_losses(self, net: Net) -> Iterator[None]:
        """Report losses of probabilities as scikit-learn does, which takes none to be below the machine epsilon."""
        cap = -math.log(np.finfo(net.config.dtype).eps)
        net._core.most_loss = cap if net.config.loss.name in LOSSES_OF_PROBABILITIES else math.inf
        try:
            yield
        finally:
            net._core.most_loss = math.inf

    _y_numeric: ClassVar[bool] = False

    @abstractmethod
    def _plain_targets(self, name: str, y: Any) -> Any:
        """Check targets as they were given; return them in a form that scikit-learn reads without loss."""

    def _expect_classes(self, y: Any, classes: Any) -> None:
        """Take the labels that `partial_fit` announces."""

    def _check_scorable(self, held_out: Rows) -> None:
        """Check that outputs can be judged by these rows."""

    @abstractmethod
    def _read_targets(
        self, y: Array, sample_weight: Array | None, dtype: Any, incremental: bool
    ) -> tuple[Array, Array | None]:
        """Return targets as the net takes them, and the rows' weights; set `n_outputs_` and `out_activation_`."""

    @abstractmethod
    def _net_loss(self) -> str | Loss:
        """Return the loss of the net."""

    def _loss_constants(self, rows: Rows) -> Array | None:
        """Return what the net's losses of the rows, (rows,) or (rows, targets), leave out; None for nothing."""
        return None

    @abstractmethod
    def _reported_loss(self, rows: Rows) -> Callable[[float], float]:
        """Return what turns the net's loss into scikit-learn's."""

    @abstractmethod
    def _strata(self, Y: Array) -> Array | None:
        """Return the groups in which rows are held out, or None."""

    @abstractmethod
    def _score_outputs(self, held_out: Rows, outputs: Array) -> float:
        """Return the score of outputs for rows that were held out."""
