"""chainrule in NumPy: the same `Net`, written to be read.

It is the oracle that the tests hold the C++ core against, and the NumPy side of
``chainrule bench``. `activations`, `losses` and `optimizers` are tables of formulas,
`layers` is the chain rule, `draws` what training leaves to chance, `training` the loop over minibatches.

Not here: speed beyond whole-matrix NumPy, refusal of NaN in the input, model files.
"""

from .net import Net

__all__ = ["Net"]
