"""L-BFGS: SciPy drives, the objective and its gradient are computed by the C++ core."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from sklearn.exceptions import ConvergenceWarning

from ..errors import DivergenceError
from ..history import FitState, asks_to_stop
from ..net import Net
from .callbacks import FitHooks
from .stochastic import NOT_FINITE, Rows

__all__ = ["Objective", "fit_lbfgs"]


class Objective:
    """The mean loss of all rows plus ``alpha / 2 sum w^2 / sum(weights)``, as a function of the parameters.

    Parameters
    ----------
    net : Net
    rows : Rows
    alpha : float

    Raises
    ------
    ValueError
        The net refuses the rows; its parameters are what they were.
    """

    def __init__(self, net: Net, rows: Rows, alpha: float) -> None:
        self._net, self._rows = net, rows
        self._l2 = alpha / rows.weight_sum
        self._weights = sum(weights.size for weights in net.weights)
        # Where a search begins. Taken here, so that rows are refused before anything has changed.
        self._start: tuple[float, NDArray[np.float64]] | None = self._evaluate(self.parameters)

    @property
    def parameters(self) -> NDArray[np.float64]:
        """A copy of the net's parameters."""
        return self._net.parameters.astype(np.float64)

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the objective and its gradient; leaves `parameters` in the net."""
        start, self._start = self._start, None
        if start is not None and np.array_equal(parameters, self.parameters):
            return start
        return self._evaluate(parameters)

    def _evaluate(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self._net.parameters[...] = parameters  # infinite where a step of the search is beyond float32
        self._net.forward(self._rows.X)
        loss = self._net.backward(self._rows.Y, self._rows.weights)
        gradient = self._net.gradients.astype(np.float64)
        w = parameters[: self._weights]
        gradient[: self._weights] += self._l2 * w
        return loss + self.penalty(), gradient

    def penalty(self) -> float:
        """Return the penalty of the net's parameters."""
        w = self._net.parameters[: self._weights]
        return 0.5 * self._l2 * float(np.dot(w, w))


def fit_lbfgs(
    estimator: Any, net: Net, objective: Objective, reported: Callable[[float], float], hooks: FitHooks
) -> None:
    """Minimize the objective, and write the results into the estimator.

    Raises
    ------
    DivergenceError
        The objective is not finite where the search ends.

    References
    ----------
    Byrd, Lu, Nocedal and Zhu, *A Limited Memory Algorithm for Bound Constrained Optimization*, 1995.
    """
    hooks.begin_epoch()
    with estimator._capped_losses(net):
        result = minimize(
            objective,
            objective.parameters,
            method="L-BFGS-B",
            jac=True,
            callback=_watch(estimator, net, hooks),
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
    net.parameters[...] = result.x
    if not math.isfinite(result.fun):
        raise DivergenceError(NOT_FINITE)
    estimator.n_iter_ = min(int(result.nit), int(estimator.max_iter))
    penalty = objective.penalty()
    estimator.loss_ = reported(float(result.fun) - penalty) + penalty
    if result.status not in (0, STOPPED_BY_CALLBACK):
        iterations = estimator.n_iter_
        more = f"Increase the number of iterations to improve the convergence (max_iter={iterations}).\n"
        warnings.warn(
            f"lbfgs failed to converge after {iterations} iteration(s) (status={result.status}):\n{result.message}\n\n"
            f"{more if iterations == estimator.max_iter else ''}You might also want to scale the data as shown in:\n"
            "    https://scikit-learn.org/stable/modules/preprocessing.html",
            ConvergenceWarning,
            stacklevel=5,
        )
    hooks.end_fit()


#: SciPy's status where the callback raised StopIteration.
STOPPED_BY_CALLBACK = 99


def _watch(estimator: Any, net: Net, hooks: FitHooks) -> Callable[[OptimizeResult], None] | None:
    """Return what SciPy calls after each iteration, or None if nobody looks on."""
    if estimator.callback is None and not estimator.verbose and not hooks.listened_to:
        return None
    iteration, start = 0, time.perf_counter()

    def watch(intermediate_result: OptimizeResult) -> None:
        nonlocal iteration
        iteration += 1
        loss = float(intermediate_result.fun)
        if estimator.verbose:
            print(f"Iteration {iteration}, loss = {loss:.8f}")
        net.parameters[...] = intermediate_result.x
        state = FitState(net, iteration, loss, None, {}, 1.0, time.perf_counter() - start)
        stops = hooks.end_epoch()
        if (estimator.callback is not None and asks_to_stop(estimator.callback(state))) or stops:
            raise StopIteration
        hooks.begin_epoch()

    return watch
