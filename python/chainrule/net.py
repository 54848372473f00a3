"""The network that users hold: a thin layer of names and checks over the C++ core."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from . import _core
from .checks import read_index
from .config import NetConfig, read_count
from .exchange import Exchangeable
from .freezing import Freezable
from .losses import Loss
from .threads import resolve
from .trainable import Trainable
from .views import LayerViews, layer_views, write_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from .engine import Engine, FitOptions
    from .fit_data import FitData
    from .initializers import Init
    from .optimizers import Optimizer
    from .trace import Array, Trace

__all__ = ["Net"]


class Net(Trainable, Freezable, Exchangeable):
    """A multilayer perceptron, trained by hand-derived backpropagation in C++.

    Layer l computes ``H = A W + b`` and ``Z = g(H)`` from the layer before it, over rows of samples.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer, inputs first, such as ``[3, 4, 1]``.
    hidden : str or sequence of str, default "sigmoid"
        Activation of the hidden layers, one name for all or one for each: ``"identity"``, ``"sigmoid"``,
        ``"hard_sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"`` (slope 0.01), ``"elu"``, ``"selu"``, ``"gelu"``
        (exact), ``"gelu_tanh"``, ``"silu"``, ``"mish"``, ``"softplus"``, ``"softsign"`` or ``"exp"``.
    output : str, default "sigmoid"
        Activation of the output: one of those or ``"softmax"``.
    loss : str or Loss, default "half_squared_error"
        Of d = yhat - y, summed over the outputs of a row: ``"squared_error"`` d^2, ``"half_squared_error"``,
        ``"absolute_error"``, ``"huber"`` (`chainrule.Huber`), ``"quantile"`` (`chainrule.Quantile`, several at once if
        wished), ``"log_cosh"``, ``"hinge"`` (targets 1, and -1 or 0); and, from the logits, ``"poisson"`` (needs an
        exp output), ``"log_loss"`` (needs a sigmoid output; several outputs are several labels) or
        ``"cross_entropy"`` (needs a softmax output; `chainrule.CrossEntropy` smoothes labels). Constants may be given
        as text too: ``"huber(0.5)"``.
    reduction : {"mean", "sum"}, default "mean"
        How the losses of the rows combine: the weighted mean ``sum(w l) / sum(w)``, or ``sum(w l)``.
    bias : bool, default True
    dtype : {"float32", "float64"}, default "float32"
    init : str, callable or sequence, default "glorot_uniform"
        Initial weights. By name, the same numbers on every platform: ``"glorot_uniform"``, ``"glorot_normal"``
        (variance 2 / (fan_in + fan_out)), ``"he_uniform"``, ``"he_normal"`` (2 / fan_in), ``"lecun_uniform"``,
        ``"lecun_normal"`` (1 / fan_in; no normal distribution is truncated), ``"orthogonal"`` (orthonormal rows or
        columns, whichever are fewer; takes seconds for 1000 by 1000 weights) or ``"zeros"``.
        A callable is called as ``init(fan_in, fan_out, random)`` for one layer after the other and returns an array
        (fan_in, fan_out); `random` is one ``numpy.random.Generator`` over a Philox keyed by `seed`, whose
        distributions are NumPy's and may change with its version.
        A sequence gives the array of each layer, ``[W1, W2]``.
        Biases start at zero, unless a pair (weights, biases) is in the place of an array: ``[(W1, b1), (W2, b2)]``.
    seed : int, optional
        Fixes the initial weights and the order of the minibatches on every platform; drawn if not given.
    threads : int, optional
        The most threads to use; by default as many as the process may. Results are the same to the last bit for any
        number, and work too small to share stays on one. Never more than the processors that the process may run on,
        its cgroup's quota, ``OMP_NUM_THREADS``, or a limit set by threadpoolctl.
    dropout : float or sequence of float, default 0
        The share of the outputs of every hidden layer, or of each one, that a training step drops; the others are
        scaled up as much (Srivastava et al., 2014). `forward`, `step` and `fit` train; `predict` and `loss` drop none.
        What is dropped is fixed by `seed`, the number of the step, the row and the unit.
    input_noise : float, default 0
        Standard deviation of normal noise that a training step adds to the inputs.

    Attributes
    ----------
    config : NetConfig
        The checked description of the net.
    seed : int
    epochs_trained : int
        Epochs run by every fit so far; with `seed` it fixes the next epoch's order.

    Notes
    -----
    Wherever rows of inputs are taken, `X` may be a sparse matrix or array of SciPy's: a minibatch at a time is made
    dense, never all of it.

    Raises
    ------
    TypeError, ValueError
        An argument is not allowed; the message names it and lists what is.
    OverflowError, MemoryError
        The sizes are beyond what can be addressed, or what the machine holds.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Adam, Net
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> Y = np.array([[0.0], [1.0], [1.0], [0.0]])
    >>> net = Net([2, 4, 1], hidden="tanh", loss="log_loss", seed=0)
    >>> history = net.fit(X, Y, epochs=1000, batch_size=None, optimizer=Adam(lr=0.05))
    >>> net.predict(X).round().ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """

    # What a checkpoint tells nets apart by; a net that was loaded knows its seed, and the run that its file is of.
    _seed_is_drawn = False
    _drawn_by: str | None = None  # the initialiser of a net that follows from its drawn seed alone

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: str | Sequence[str] = "sigmoid",
        output: str = "sigmoid",
        loss: str | Loss = "half_squared_error",
        reduction: str = "mean",
        bias: bool = True,
        dtype: DTypeLike = "float32",
        init: Init = "glorot_uniform",
        seed: int | None = None,
        threads: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        input_noise: float = 0.0,
    ) -> None:
        config = NetConfig.create(sizes, hidden, output, loss, reduction, bias, dtype, dropout, input_noise)
        # Not with the module: whoever only loads models, or looks around, needs no random numbers.
        from .initializers import initialize, read_seed

        resolved_seed = read_seed(seed)
        self._seed_is_drawn = seed is None
        self._drawn_by = init if seed is None and isinstance(init, str) else None
        self._build(config, resolved_seed, threads if threads is None else read_count("threads", threads))
        initialize(config, init, resolved_seed, self.weights, self.biases)

    def _build(self, config: NetConfig, seed: int, threads: int | None) -> None:
        core = _core.Net32 if config.dtype == "float32" else _core.Net64
        self.config = config
        self._seed = seed
        self._threads = threads
        self._core = core(
            config.sizes,
            config.activations,
            config.loss.name,
            config.loss.constants,
            config.reduction,
            config.bias,
            (*config.dropout, 0.0),
            config.input_noise,
            seed,
            partial(resolve, threads),
        )
        self._weights, self._biases = layer_views(config, self._core.parameters)
        self._weight_gradients, self._bias_gradients = layer_views(config, self._core.gradients)

    def __reduce__(self) -> tuple[object, ...]:
        from .snapshots import Snapshot, others

        return Snapshot.restore, (Snapshot.of(self),), others(self)

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state if isinstance(state, tuple) else (state, {})
        vars(self).update(attributes)
        for name, value in slots.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        c = self.config
        parts = [f"{list(c.sizes)}", f"hidden={list(c.activations[:-1])}", f"output={c.activations[-1]!r}"]
        parts += [f"loss={str(c.loss)!r}", f"reduction={c.reduction!r}", f"bias={c.bias}", f"dtype={c.dtype!r}"]
        parts += [f"dropout={list(c.dropout)}"] if any(c.dropout) else []
        parts += [f"input_noise={c.input_noise}"] if c.input_noise else []
        return f"Net({', '.join(parts)}, seed={self.seed})"

    @property
    def seed(self) -> int:
        """Fixes the order of the rows, dropout and noise, and the first parameters where they were drawn."""
        return self._seed

    @property
    def threads(self) -> int | None:
        """The most threads that the net may use; None is as many as the process may use."""
        return self._threads

    @property
    def parameters(self) -> Array:
        """Flat writable view of all parameters: the weights of every layer, row-major, then the biases.

        Writing into it, or into the views of a layer, changes the net: ``net.parameters[:] = values``. Where the net
        is assigned others, ``net.parameters = values``, an epoch that was left is begun anew.
        """
        return self._core.parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        checked = self._core.parameters.copy()
        write_numbers("parameters", values, checked)
        self._core.begin_epoch_anew()  # or say that the net is busy, before anything is written
        self._core.parameters[...] = checked

    @property
    def gradients(self) -> Array:
        """Flat writable view of all gradients, in the order of `parameters`: those of the last `backward`.

        `fit` uses them as it likes, and need not store them.
        """
        return self._core.gradients

    @gradients.setter
    def gradients(self, values: ArrayLike) -> None:
        write_numbers("gradients", values, self._core.gradients)

    @property
    def weights(self) -> LayerViews:
        """Views of the weights, one (fan_in, fan_out) per layer."""
        return self._weights

    @property
    def biases(self) -> LayerViews:
        """Views of the biases, one (fan_out,) per layer; none if the net has no biases."""
        return self._biases

    @property
    def weight_gradients(self) -> LayerViews:
        """Views of the gradients of the weights, shaped as they are."""
        return self._weight_gradients

    @property
    def bias_gradients(self) -> LayerViews:
        """Views of the gradients of the biases, shaped as they are."""
        return self._bias_gradients

    @property
    def epochs_trained(self) -> int:
        """Epochs run by every fit so far."""
        return self._core.epochs_trained

    def _is_frozen(self, layer: int) -> bool:
        return self._core.is_frozen(layer)

    def _set_frozen(self, layer: int, frozen: bool) -> None:
        self._core.freeze(layer, frozen)

    def forward(self, X: ArrayLike) -> Array:
        """Return the outputs for `X`, and keep what `backward` needs: a training pass, with dropout and noise if any.

        Parameters
        ----------
        X : array_like, (rows, features)
            Any real dtype and any strides; read in place where it has the net's dtype and unit inner
            stride. Do not change it before `backward`.

        Returns
        -------
        ndarray, (rows, outputs)

        Raises
        ------
        TypeError
            The dtype is not a real number's, or is byte-swapped.
        ValueError
            The shape does not fit the net, there are no rows, or a value is not finite.
        """
        return self._core.forward(X)

    def backward(self, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Fill the gradients for the rows of the last `forward`, and return the loss.

        Parameters
        ----------
        Y : array_like
            (rows, outputs), or (rows,) for one output; for cross_entropy class indices (rows,), or
            probabilities (rows, outputs).
        sample_weight : array_like, (rows,), optional
            Weights of the rows, at least 0 and not all 0.

        Returns
        -------
        float

        Raises
        ------
        RuntimeError
            There was no `forward` since the parameters last changed.
        TypeError, ValueError
            `Y` or `sample_weight` does not fit the rows, the net or the loss.
        """
        return self._core.backward(Y, sample_weight)

    def update(self, optimizer: str | Optimizer) -> None:
        """Move the parameters by the gradients: one step of `optimizer`.

        The net keeps the optimizer's moments between steps, until another kind of optimizer is used.

        Raises
        ------
        DivergenceError
            A gradient is not finite, or the step overflows; the parameters keep their last finite values.
        """
        self._core.update(_core_optimizer(optimizer))

    def step(
        self, X: ArrayLike, Y: ArrayLike, optimizer: str | Optimizer, sample_weight: ArrayLike | None = None
    ) -> float:
        """Run `forward`, `backward` and `update` in one call, and return the loss before the update.

        Raises
        ------
        TypeError, ValueError
            As `forward` and `backward`.
        DivergenceError
            The loss or a gradient is not finite; the parameters keep their last finite values.
        """
        return self._core.step(X, Y, sample_weight, _core_optimizer(optimizer))

    def predict(self, X: ArrayLike, out: Array | None = None) -> Array:
        """Return the outputs for `X`, storing nothing in the net. Threads may predict side by side.

        Parameters
        ----------
        X : array_like, (rows, features), or (features,) for one row
        out : ndarray of the net's dtype, (rows, outputs), or (outputs,) for one row, optional
            Where to write; must not overlap `X` or the parameters.

        Returns
        -------
        ndarray
            `out` if given.

        Raises
        ------
        TypeError, ValueError
            As `forward`; or `out` has the wrong dtype, shape or layout, is read-only or overlaps.
        RuntimeError
            Another thread is training the net.
        KeyboardInterrupt
            Of Ctrl-C; `out` is then written in part.
        """
        return self._core.predict(X, out)

    def loss(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss on `X` and `Y`; arguments and errors as for `forward` and `backward`."""
        return self._core.loss(X, Y, sample_weight)

    def _start_fit(self, data: FitData, options: FitOptions) -> Engine:
        from .core_fit import start_core_fit

        return start_core_fit(self._core, self.seed, data, options)

    def trace(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Trace:
        """Run `forward` and `backward`, and return every intermediate under the derivations' names.

        The gradients of the net are those of `X` and `Y` afterwards.

        Returns
        -------
        Trace
            Copies, in the net's dtype.
        """
        from .trace import Trace

        self.forward(X)
        loss = self.backward(Y, sample_weight)
        preactivations, activations, deltas = self._core.intermediates()
        return Trace(
            preactivations=preactivations,
            activations=activations,
            deltas=deltas,
            weight_gradients=[gradient.copy() for gradient in self.weight_gradients],
            bias_gradients=[gradient.copy() for gradient in self.bias_gradients],
            loss=loss,
        )

    def activations(self, X: ArrayLike) -> list[Array]:
        """Return the outputs of every layer for `X`, the hidden ones first, as `predict` computes them.

        Returns
        -------
        list of ndarray, one (rows, fan_out) per layer
        """
        return self._core.activations(X)

    def input_gradient(
        self,
        X: ArrayLike,
        Y: ArrayLike | None = None,
        *,
        output: int | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Array:
        """Return how the loss, or an output, changes with the inputs.

        Parameters
        ----------
        X : array_like, (rows, features)
        Y : array_like, optional
            Targets as in `backward`: then dL/dX, L the loss of all rows.
        output : int, optional
            The output j whose dYhat_j/dX is wanted instead; not needed where there is one.
        sample_weight : array_like, (rows,), optional
            Weights of the rows in the loss.

        Returns
        -------
        ndarray, (rows, features)

        Raises
        ------
        TypeError, ValueError
            As `forward` and `backward`; or neither or both of `Y` and `output` are given.
        IndexError
            There is no such output.
        """
        if Y is not None:
            if output is not None:
                raise ValueError("Y is for the gradient of the loss, output for that of an output; both were given")
            return self._core.loss_input_gradient(X, Y, sample_weight)
        outputs = self.config.outputs
        if sample_weight is not None:
            raise ValueError("sample_weight is for the gradient of the loss, which needs Y")
        if output is None and outputs > 1:
            raise ValueError(f"input_gradient needs Y, or which output from 0 to {outputs - 1}")
        number = 0 if output is None else read_index("output", output)
        if not -outputs <= number < outputs:
            raise IndexError(f"output must be from 0 to {outputs - 1}, or from -1 to -{outputs}; got {number}")
        return self._core.output_input_gradient(X, number % outputs)

    def jacobian(self, X: ArrayLike) -> Array:
        """Return how every output changes with every input, dYhat_j/dX_i for each row.

        Returns
        -------
        ndarray, (rows, outputs, features)
        """
        return self._core.output_input_gradient(X, None)

    def summary(self) -> str:
        """Return a table of the layers: shapes, activations, parameters, what is frozen or dropped."""
        from .summary import summarize

        return summarize(self.config, self.frozen)

    def derivation(self, latex: bool = False) -> str:
        """Return the update rule of this net, symbol by symbol, as text or as LaTeX."""
        from .derivation import derive

        return derive(self.config, latex=latex)

    def save(self, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
        """Write the net to a safetensors file: parameters, optimizer state, random state, exactly.

        The file replaces an older one only when it is complete on disk.

        Parameters
        ----------
        path : path
        metadata : dict of str to str, optional
            More entries for the file's metadata. The one named ``chainrule`` is the net's own, and the one named
            ``chainrule.run`` that of a checkpoint, whatever is given.

        Raises
        ------
        TypeError
            `metadata` is not a dict of str to str.
        OSError
            The file cannot be written; an older file of that name is untouched.
        """
        from .files import save

        save(self, path, {} if metadata is None else metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Net:
        """Read a net that `save` wrote.

        Raises
        ------
        OSError
            The file cannot be read.
        ModelFormatError
            It is not a file of `save`, or is damaged.
        """
        from .files import load

        return load(cls, path)


def _core_optimizer(optimizer: str | Optimizer) -> _core.Optimizer:
    # Imported when first used: the rules' dataclasses take as long to make as the rest of the package to import.
    from .optimizers import core_optimizer

    return core_optimizer(optimizer)
