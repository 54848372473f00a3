"""Small neural networks, trained fast and exactly from NumPy.

`Net` is a multilayer perceptron whose forward, backward and update loops run in C++;
`chainrule.reference.Net` is the same network in plain NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._core import build_info
from .errors import DivergenceError, ModelFormatError
from .net import Net
from .optimizers import SGD, Adam

if TYPE_CHECKING:
    from . import reference
    from .gradcheck import check_gradients
    from .history import FitState, History
    from .trace import Trace

__all__ = [
    "Adam",
    "DivergenceError",
    "FitState",
    "History",
    "ModelFormatError",
    "Net",
    "SGD",
    "Trace",
    "__version__",
    "build_info",
    "check_gradients",
    "reference",
]

__version__: str = build_info()["version"]

#: Names that are imported when first used, so that `import chainrule` stays light.
_LAZY = {
    "FitState": ".history",
    "History": ".history",
    "Trace": ".trace",
    "check_gradients": ".gradcheck",
    "reference": ".reference",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name], __name__)
    return module if name == "reference" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
