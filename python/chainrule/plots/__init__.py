"""Pictures, in the manner of scikit-learn's Display classes; they need matplotlib, from the extra ``[plot]``.

Each class keeps what it draws, and draws it with ``plot(ax=None)``, which returns the object itself with the axes as
``ax_`` and their figure as ``figure_``. Class methods named ``from_...`` take the data from where it is, and draw.
Nothing is shown or saved, and matplotlib is imported only to draw.
"""

from __future__ import annotations

from .bars import BenchDisplay
from .confusion import ConfusionDisplay, confusion_matrix
from .curves import LossCurveDisplay, plot_history
from .network import NetworkDisplay
from .predictions import PredictionErrorDisplay

__all__ = [
    "BenchDisplay",
    "ConfusionDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "PredictionErrorDisplay",
    "confusion_matrix",
    "plot_history",
]
