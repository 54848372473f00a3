"""Small neural networks, trained fast and exactly from NumPy.

`Net` is a multilayer perceptron whose forward, backward and update loops run in C++;
`chainrule.reference.Net` is the same network in plain NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import interpreters  # noqa: F401  refuses subinterpreters, in which the core would hang
from ._core import build_info
from .errors import DivergenceError, ModelFormatError
from .forks import import_before_forks
from .net import Net

if TYPE_CHECKING:
    from . import losses, reference, schedules
    from .estimators import MLPClassifier, MLPRegressor
    from .gradcheck import check_gradients
    from .history import FitState, History
    from .losses import CrossEntropy, Huber, Quantile
    from .optimizers import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop, Rprop
    from .trace import Trace

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "CrossEntropy",
    "DivergenceError",
    "FitState",
    "History",
    "Huber",
    "MLPClassifier",
    "MLPRegressor",
    "ModelFormatError",
    "NAdam",
    "Net",
    "Quantile",
    "RMSprop",
    "Rprop",
    "SGD",
    "Trace",
    "__version__",
    "build_info",
    "check_gradients",
    "losses",
    "reference",
    "schedules",
]

__version__: str = build_info()["version"]

#: Names that are imported when first used, so that `import chainrule` stays light.
_LAZY = {
    **dict.fromkeys(("SGD", "Adagrad", "Adam", "AdamW", "NAdam", "RMSprop", "Rprop"), ".optimizers"),
    "CrossEntropy": ".losses",
    "FitState": ".history",
    "History": ".history",
    "MLPClassifier": ".estimators",
    "MLPRegressor": ".estimators",
    "Huber": ".losses",
    "Quantile": ".losses",
    "Trace": ".trace",
    "check_gradients": ".gradcheck",
    "losses": ".losses",
    "reference": ".reference",
    "schedules": ".schedules",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name], __name__)
    return module if _LAZY[name] == f".{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)


import_before_forks()
