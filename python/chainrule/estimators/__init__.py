"""`MLPRegressor` and `MLPClassifier`: scikit-learn's estimators, trained by the C++ core; extra ``[sklearn]``.

scikit-learn is imported here and in this package's modules, and nowhere else.
"""

from __future__ import annotations

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 - new in 1.6
except ImportError as error:
    raise ImportError(
        "MLPRegressor and MLPClassifier need scikit-learn 1.6 or later: pip install chainrule[sklearn]"
    ) from error

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
