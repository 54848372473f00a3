"""Who takes part: every library by the name of its column, and whether it is installed."""

from __future__ import annotations

from importlib.util import find_spec

from .peer_jax import JaxRunner
from .peer_onnx import predict_onnxruntime
from .peer_sklearn import SklearnRunner, SklearnTwin, predict_sklearn
from .peer_torch import CompiledTorchRunner, TorchRunner, predict_torch
from .predictors import PredictorFactory, predict_net, predict_numpy
from .runners import RunnerFactory, train_net, train_reference

__all__ = ["OURS", "PREDICTORS", "RUNNERS", "TWINS", "installed", "peer_names"]

#: The name of the side that the others are compared with.
OURS = "chainrule"

RUNNERS: dict[str, RunnerFactory] = {
    OURS: train_net,
    "numpy": train_reference,
    "jax": JaxRunner,
    "torch": TorchRunner,
    "torch-compile": CompiledTorchRunner,
    "sklearn": SklearnRunner,
}

#: Chainrule with a peer's own reading of an update rule: whom the peer is compared with, and never timed.
TWINS: dict[str, RunnerFactory] = {"sklearn": SklearnTwin}

PREDICTORS: dict[str, PredictorFactory] = {
    OURS: predict_net,
    "numpy": predict_numpy,
    "torch": predict_torch,
    "sklearn": predict_sklearn,
    "onnxruntime": predict_onnxruntime,
}

#: What a peer imports, where that is not the module of its name.
MODULES = {"torch-compile": ("torch",), "onnxruntime": ("onnxruntime", "onnx")}


def peer_names(*, predict: bool) -> list[str]:
    """Names of all peers, installed or not, that predict one row, or that train."""
    return [name for name in (PREDICTORS if predict else RUNNERS) if name != OURS]


def installed(peer: str) -> bool:
    """Whether everything that the peer imports is installed."""
    return all(find_spec(module) is not None for module in MODULES.get(peer, (peer,)))
