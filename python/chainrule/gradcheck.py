"""Gradients held against central differences of the loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import read_number
from .trace import Array

if TYPE_CHECKING:
    from .config import NetConfig

__all__ = ["check_gradients"]


class DifferentiableNet(Protocol):
    """What the check needs of a net; `chainrule.Net` and `chainrule.reference.Net` have it."""

    @property
    def config(self) -> NetConfig: ...

    @property
    def parameters(self) -> Array: ...

    @property
    def gradients(self) -> Array: ...

    def forward(self, X: ArrayLike) -> Any: ...

    def backward(self, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float: ...

    def loss(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float: ...


def check_gradients(
    net: DifferentiableNet,
    X: ArrayLike,
    Y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    eps: float | None = None,
) -> float:
    """Return the largest relative error of the net's gradients against central differences.

    Parameters
    ----------
    net : Net
        A `chainrule.Net` or a `chainrule.reference.Net`. Afterwards its gradients are those of
        these rows; its parameters are restored to the bit, also when an error passes. With
        dropout or input noise, the loss is that of the next training step, whose draw is fixed.
    X : array_like, (rows, features)
    Y : array_like, (rows, outputs), or (rows,) class indices
    sample_weight : array_like, (rows,), optional
    eps : float, optional
        Step for a parameter of size up to 1; beyond, the step grows with the parameter. By
        default the fourth root of the machine epsilon: 1.2e-4 in float64, 0.02 in float32.

    Returns
    -------
    float
        For correct gradients in float64, about 1e-9; below 1e-7 for inputs and weights of
        ordinary size. The differences of a float32 net are only good to two or three digits,
        so a value below 1e-2 there excludes no more than gross mistakes: check in float64.
        Infinite where a loss or a gradient is not finite.

    Raises
    ------
    ValueError, TypeError
        `eps` is not finite, or below the root of the machine epsilon; else as `net.forward` and `net.backward`.

    Notes
    -----
    The derivative by a parameter w is taken as the five-point difference (Abramowitz and
    Stegun, *Handbook of Mathematical Functions*, 25.3.6), whose error falls with h^4::

        n = (8 (L(w + h) - L(w - h)) - (L(w + 2h) - L(w - 2h))) / (12 h)

    The error of an entry a of the gradient is |a - n| / max(|a|, |n|, floor). The floor keeps
    entries near zero from being judged by rounding. It is a thousandth of the largest entry, or
    what rounding leaves uncertain over the root of the machine epsilon, if that is larger:
    epsilon L / h in n, and epsilon w d2L/dw2 in a, which near a minimum is all there is of a. So a loss
    many thousand times the gradients, as for targets far from 0, hides errors of theirs.

    The loss of a relu net has a kink wherever a preactivation is 0, and a difference across
    it is no derivative. An entry in doubt is therefore differentiated again with a tenth and a
    hundredth of the step, where `eps` may be as small, which clears a kink nearby but no wrong
    gradient. A preactivation of exactly 0, such as that of an all-zero row without biases,
    cannot be cleared.

    Each parameter takes four losses: this is for nets of up to some thousand parameters.
    """
    parameters = net.parameters
    precision = float(np.finfo(parameters.dtype).eps)
    step = precision**0.25 if eps is None else read_number("eps", eps, positive=True)
    if step < math.sqrt(precision):
        raise ValueError(
            f"eps must be at least {math.sqrt(precision):.2g}, the root of the machine epsilon, for differences of "
            f"losses to be more than rounding; got {eps!r}"
        )
    net.forward(X)
    loss = net.backward(Y, sample_weight)
    analytic = net.gradients.astype(np.float64)
    if not np.isfinite(analytic).all():
        return math.inf
    original = parameters.copy()
    has_draw = any(net.config.dropout) or net.config.input_noise > 0

    def loss_now() -> float:
        if not has_draw:
            return net.loss(X, Y, sample_weight)
        net.forward(X)
        return net.backward(Y, sample_weight)

    def error_of(entry: int, relative_step: float) -> float:
        size = max(1.0, abs(float(original[entry])))
        h = relative_step * size
        losses = []
        for multiple in (1, -1, 2, -2):
            parameters[entry] = original[entry] + multiple * h
            losses.append(loss_now())
        parameters[entry] = original[entry]
        a, n = float(analytic[entry]), (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h)
        curvature = abs(losses[0] + losses[1] - 2 * loss) / h**2
        resolution = math.sqrt(precision) * (max(map(abs, losses)) / h + curvature * size)
        scale = max(abs(a), abs(n), 1e-3 * largest, resolution)
        return abs(a - n) / scale if scale > 0 else 0.0

    largest = float(np.abs(analytic).max())
    errors = np.full(analytic.shape, math.inf)
    doubtful: NDArray[np.intp] = np.arange(analytic.size)
    try:
        for relative_step in (step, step / 10, step / 100):
            if relative_step < math.sqrt(precision):
                break
            for entry in doubtful:
                # A step that made the error a NaN leaves it infinite.
                errors[entry] = min(errors[entry], error_of(entry, relative_step))
            doubtful = np.flatnonzero(errors > math.sqrt(precision))
    finally:
        parameters[...] = original
    if has_draw:
        loss_now()  # and the gradients are again those of the parameters
    return float(errors.max())
