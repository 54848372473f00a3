"""A fit, seen from Python: its arguments checked, its data read, its checkpoint found.

Not here: epochs, which `fit_run` drives; minibatches, passes and updates, which are the engine's, in C++ or in NumPy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import read_flag, read_number
from .config import read_count
from .engine import FitOptions, TrainedNet
from .fit_data import FitData, read_fit_data
from .fit_run import FitRun
from .foreign_arrays import in_place
from .history import FitState, History
from .metrics import read_metrics
from .monitor import Monitor, read_monitor
from .optimizers import check_batch_size, read_optimizer
from .rates import start_rates
from .regularization import Regularization
from .schedules import read_schedule

if TYPE_CHECKING:
    from .checkpoints import Checkpoint

__all__ = ["fit"]


def fit(
    net: TrainedNet,
    X: Any,
    Y: Any,
    sample_weight: Any,
    *,
    epochs: int,
    batch_size: int | None,
    optimizer: Any,
    schedule: Any,
    shuffle: bool,
    class_weight: Any,
    validation: Any,
    metrics: Any,
    monitor: Any,
    patience: int | None,
    tol: float,
    regularization: Regularization,
    time_limit: float | None,
    callback: Callable[[FitState], object] | None,
    progress: bool,
    checkpoint: str | os.PathLike[str] | None,
    every: int,
) -> History:
    """Run `Trainable.fit`, which documents the arguments."""
    epochs = read_count("epochs", epochs, minimum=0)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    progress = read_flag("progress", progress)
    X, Y, sample_weight = map(in_place, (X, Y, sample_weight))
    functions = read_metrics(metrics)
    monitored = read_monitor(monitor, validation is not None, functions)
    options = FitOptions(
        optimizer=read_optimizer(optimizer),
        batch_size=None if batch_size is None else read_count("batch_size", batch_size),
        shuffle=read_flag("shuffle", shuffle),
        regularization=regularization,
        tol=read_number("tol", tol),
        patience=None if patience is None else read_count("patience", patience),
        time_limit=math.inf if time_limit is None else read_number("time_limit", time_limit, positive=True),
        # The engine judges by the validation loss itself, and keeps the best parameters.
        judged_outside=patience is not None and monitor is not None and monitored != Monitor("validation_loss"),
    )
    kept = _open_checkpoint(net, checkpoint, every)
    seed, first_epoch, state = (net.seed, net.epochs_trained, net.schedule_state) if kept is None else kept.start
    rates = start_rates(schedule, options.optimizer, epochs, first_epoch, state, str(monitored))
    data = read_fit_data(
        net.config,
        seed,
        FitData(X, Y, sample_weight),
        class_weight,
        validation,
        check=lambda whole: net._start_fit(whole, options),
    )
    if kept is not None:
        from .run_identity import data_identity, settings_identity

        chosen = read_schedule(schedule, epochs, first_epoch)
        settings = settings_identity(options, epochs, chosen, class_weight, functions, monitored)
        kept.claim(settings | data_identity(X, Y, sample_weight, validation))
        if kept.past.finished:
            net.history = kept.past.history
            kept.leave()
            return net.history
    run = FitRun(net, data, options, rates, monitored, functions, kept)
    if options.optimizer.full_batch:
        check_batch_size(options.optimizer, options.batch_size, np.shape(data.X)[0])
    watchers = [] if callback is None else [callback]
    with ExitStack() as stack:
        if kept is not None:
            stack.callback(kept.leave)
        if progress:
            from .progress import epoch_progress

            watchers.insert(0, stack.enter_context(epoch_progress(epochs)))
        return run.run(epochs, watchers)


def _open_checkpoint(net: TrainedNet, path: str | os.PathLike[str] | None, every: int) -> Checkpoint | None:
    every = read_count("every", every)
    if path is None:
        if every != 1:
            raise ValueError(f"every={every!r} is for checkpoint, which was not given")
        return None
    from .checkpoints import Checkpoint
    from .net import Net

    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path, got {path!r:.80}")
    if not isinstance(net, Net):
        raise TypeError(f"checkpoint needs a chainrule.Net; {type(net).__module__} cannot write model files")
    return Checkpoint(net, path, every)
