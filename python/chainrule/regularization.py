"""What keeps a fit's weights and gradients small, as plain values; checked once, for every kind of net."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .checks import keep, read_flag, read_number

__all__ = ["Regularization"]


@dataclass(frozen=True)
class Regularization:
    """Penalties, clipping of gradients and a limit of weights, in the order in which a step applies them.

    The gradient of a minibatch's loss gets the penalties' gradients; then it is clipped by value, then by norm;
    the optimizer moves the parameters; then the weights are brought below `max_norm`.

    Attributes
    ----------
    l1 : float, default 0
        Adds ``l1 sum |w|`` to each minibatch's objective, so ``l1 sign(w)`` to the gradient, with sign(0) = 0.
    l2 : float, default 0
        Adds ``l2/2 sum w^2`` to each minibatch's objective, so ``l2 w`` to the gradient.
    clip_value : float, optional
        Every number of the gradient is brought into ``[-clip_value, clip_value]``.
    clip_norm : float, optional
        Where the Euclidean norm of the gradient by all parameters is larger, the gradient is scaled down to it.
    max_norm : float, optional
        Where the Euclidean norm of the weights that enter a unit (a column of W) is larger, they are scaled down
        to it after the step. Biases do not count.
    penalize_biases : bool, default False
        Whether l1 and l2 count the biases too.
    per_weight : bool, default False
        Whether l1 and l2 are divided by the sum of the minibatch's weights, or its number of rows, as scikit-learn
        does with its ``alpha``.

    Raises
    ------
    TypeError, ValueError
        A penalty is not finite or below 0, or a limit is neither None nor finite and positive.

    References
    ----------
    Pascanu et al., *On the Difficulty of Training Recurrent Neural Networks*, 2013, algorithm 1 (`clip_norm`);
    Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, 2014, section 5.1
    (`max_norm`).
    """

    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    penalize_biases: bool = False
    per_weight: bool = False

    def __post_init__(self) -> None:
        keep(self, l1=read_number("l1", self.l1), l2=read_number("l2", self.l2))
        for limit in ("max_norm", "clip_norm", "clip_value"):
            if getattr(self, limit) is not None:
                keep(self, **{limit: read_number(limit, getattr(self, limit), positive=True)})
        read_flag("penalize_biases", self.penalize_biases)
        read_flag("per_weight", self.per_weight)

    def of_minibatch(self, weight_sum: float) -> Regularization:
        """Return the same for a minibatch of that weight."""
        if not self.per_weight:
            return self
        share = 1 / weight_sum if weight_sum else 0.0
        return replace(self, l1=self.l1 * share, l2=self.l2 * share, per_weight=False)
