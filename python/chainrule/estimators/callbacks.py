"""scikit-learn's callback protocol, from its version 1.9 on: an epoch is a task of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["STATE_OF_A_FIT", "CallbackSupport", "FitHooks", "with_callbacks"]

#: Attributes that scikit-learn sets when a fit begins, and reads and deletes when it is over.
STATE_OF_A_FIT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")

Method = TypeVar("Method", bound=Callable[..., Any])

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback import with_callbacks
except ImportError:  # scikit-learn 1.6 to 1.8

    class CallbackSupport:  # type: ignore[no-redef]
        """Nothing: this scikit-learn has no callbacks."""

    def with_callbacks(method: Method) -> Method:
        """Return the method as it is."""
        return method


class FitHooks:
    """The callbacks of one fit, told of its epochs; nothing where nobody listens.

    Parameters
    ----------
    estimator : BaseMultilayerPerceptron
    X, y, sample_weight : array-like
        As they were given to the fit.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self._estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._context: Any = None
        self._epoch: Any = None
        if hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx"):
            # scipy's minimize begins an iteration more than it ends.
            self._context = estimator._init_callback_context(max_subtasks=int(estimator.max_iter) + 1)
            self._context.call_on_fit_task_begin(**self._given)

    @property
    def listened_to(self) -> bool:
        """Whether there are callbacks."""
        return self._context is not None

    def begin_epoch(self) -> None:
        """Tell that an epoch begins."""
        if self._context is not None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._given, reconstruction_attributes=self._fitted)

    def end_epoch(self) -> bool:
        """Tell that it is over, and return whether to stop."""
        if self._epoch is None:
            return False
        epoch, self._epoch = self._epoch, None
        return bool(epoch.call_on_fit_task_end(**self._given, reconstruction_attributes=self._fitted))

    def end_fit(self) -> None:
        """Tell that the fit is over."""
        self.end_epoch()
        if self._context is not None:
            self._context.call_on_fit_task_end(**self._given, reconstruction_attributes=self._fitted)

    def _fitted(self) -> dict[str, Any]:
        """Return what a copy of the estimator needs to predict as it would now."""
        fitted = {name: value for name, value in vars(self._estimator).items() if name.endswith("_")}
        for name in ("coefs_", "intercepts_"):
            fitted[name] = [array.copy() for array in fitted[name]]
        if hasattr(self._estimator, "_label_binarizer"):
            fitted["_label_binarizer"] = self._estimator._label_binarizer
        return fitted
