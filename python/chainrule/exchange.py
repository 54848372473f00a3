"""What a net exchanges with other programs and libraries; each way is a module of its own, imported when used."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from .config import NetConfig
    from .losses import Loss
    from .views import LayerViews

__all__ = ["Exchangeable"]


class Exchangeable(ABC):
    """A net that can be exported, and made from those of other libraries."""

    config: NetConfig

    @property
    @abstractmethod
    def weights(self) -> LayerViews:
        """Views of the weights, one (fan_in, fan_out) per layer."""

    @property
    @abstractmethod
    def biases(self) -> LayerViews:
        """Views of the biases, one (fan_out,) per layer; none if the net has no biases."""

    def to_onnx(self, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
        """Write the prediction of this net as an ONNX model (extra ``[onnx]``).

        The model has the input ``x`` (rows, features), any number of rows, the output ``y`` (rows, outputs), and the
        net's dtype; it is of operator set 20. Dropout and noise are for training and left out. onnxruntime has
        some functions in float32 alone, so a float64 model is written in those it has in float64; the one exception is
        the error function of ``"gelu"``, computed in float32 (right to 1e-7).

        Parameters
        ----------
        path : path
            An older file is replaced when the new one is complete on disk.
        metadata : dict of str to str, optional
            Entries for the model's metadata, beside ``chainrule``, which holds sizes, activations and loss as JSON.

        Raises
        ------
        ImportError
            The package onnx is missing.
        ValueError
            The net is too large for the format, 2 GB.
        OSError
            The file cannot be written.
        """
        from .atomic_files import named_file, write_atomically
        from .export.onnx_model import to_onnx_bytes

        write_atomically(named_file(path), to_onnx_bytes(self, metadata or {}))

    def to_c(self, path: str | os.PathLike[str], name: str = "net") -> None:
        """Write the prediction of this net as one file of C99, which is also C++ and needs no other than ``<math.h>``.

        It holds the weights exactly, as constants, and ``void NAME_predict(const float *x, float *y)`` for one row, or
        with ``double`` for a float64 net, which allocates nothing and may run in many threads at once. The sizes of
        ``x`` and ``y``, which must not overlap, are defined as ``NAME_FEATURES`` and ``NAME_OUTPUTS``, in capitals.

        Parameters
        ----------
        path : path
            An older file is replaced when the new one is complete on disk.
        name : str, default "net"
            What the names in the file begin with.

        Raises
        ------
        TypeError, ValueError
            `name` is no identifier of C, or a parameter is not finite.
        OSError
            The file cannot be written.
        """
        from .atomic_files import named_file, write_atomically
        from .export.c_source import to_c_source

        write_atomically(named_file(path), to_c_source(self, name).encode())

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Return a net that predicts as a fitted MLPRegressor or MLPClassifier does.

        Its outputs are those of ``predict`` of a regressor, as columns, and of ``predict_proba`` of a classifier; with
        two classes, or several labels at once, one column for each probability of a 1. The parameters are copied.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPRegressor or MLPClassifier, or chainrule's

        Raises
        ------
        TypeError
            It is no such estimator.
        ValueError
            It is not fitted, or has an activation that is not known here.
        """
        from .interop.scikit_learn import read_estimator

        build: Callable[..., Self] = cls
        return build(**read_estimator(estimator))

    @classmethod
    def from_torch(cls, module: Any, output: str | None = None, loss: str | Loss | None = None) -> Self:
        """Return a net that computes what a ``torch.nn.Sequential`` does in evaluation.

        Parameters
        ----------
        module : torch.nn.Sequential
            Of Linear, activations, Dropout and Identity, and Sequentials of these: each Linear may be followed by one
            activation, and that of a hidden layer by one Dropout. Weights are copied, from any device.
        output : str, optional
            Activation to put behind a last Linear that has none: networks of PyTorch often end with logits, whose
            softmax is in the loss. ``output="softmax"`` makes probabilities of them, which ``"cross_entropy"`` needs.
        loss : str or Loss, optional
            By default that which goes with the output: ``"log_loss"`` with sigmoid, ``"cross_entropy"`` with softmax,
            ``"poisson"`` with exp, else ``"half_squared_error"``.

        Raises
        ------
        TypeError
            It is no Sequential, or a module in it is not allowed; the message names it and lists what is.
        ValueError
            Modules are in another order, or an argument of one has no equivalent here.
        """
        from .interop.torch_modules import read_sequential

        build: Callable[..., Self] = cls
        return build(**read_sequential(module, output, loss))

    def to_torch(self) -> Any:
        """Return a ``torch.nn.Sequential`` that computes what this net does, in evaluation mode.

        Its parameters are copies, in the net's dtype, and can be trained; call ``train()`` first if there is dropout.
        A softmax is its last module, so logits, as PyTorch's losses want them, are those of ``[:-1]``. The exponential,
        which PyTorch has no module for, is `chainrule.interop.torch_modules.Exp`. Noise on the inputs is left out.
        """
        from .interop.torch_modules import to_sequential

        return to_sequential(self)
