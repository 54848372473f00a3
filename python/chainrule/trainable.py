"""The method `fit`, which every kind of net shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .engine import TrainedNet
    from .history import FitState, History
    from .metrics import Metric
    from .optimizers import Optimizer
    from .rates import ScheduleState
    from .schedules import RateFunction, Schedule

__all__ = ["Trainable"]


class Trainable:
    """A net that can be fitted; it has what `TrainedNet` lists.

    Attributes
    ----------
    history : History or None
        The record of the last fit, also of one that was interrupted or diverged.
    schedule_state : dict or None
        What the schedule of the last fit has to remember.
    """

    history: History | None = None
    schedule_state: ScheduleState | None = None

    # The last run that had a checkpoint; see `checkpoints`.
    _run_id: str | None = None
    #: A digest of the state in which that run's last fit left it; None where that is not known.
    _run_left: str | None = None

    def fit(
        self: TrainedNet,
        X: ArrayLike,
        Y: ArrayLike,
        *,
        epochs: int = 100,
        batch_size: int | None = 32,
        optimizer: str | Optimizer = "adam",
        schedule: str | Schedule | RateFunction | None = None,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        class_weight: Literal["balanced"] | Mapping[int, float] | None = None,
        validation: float | Sequence[ArrayLike] | None = None,
        metrics: Mapping[str, Metric] | Sequence[Metric] | None = None,
        monitor: str | tuple[str, str] | None = None,
        patience: int | None = None,
        tol: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        max_norm: float | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalize_biases: bool = False,
        time_limit: float | None = None,
        callback: Callable[[FitState], object] | None = None,
        progress: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int = 1,
    ) -> History:
        """Train: whole epochs of minibatches in one C++ loop, without the GIL.

        Rows are gathered and cast a minibatch at a time; a data set of another dtype, or a memory
        map, is never copied as a whole, unless `validation` splits it.

        A fit that an interrupt or `time_limit` ended within an epoch loses nothing: the next one
        with as many rows, and the same `batch_size` and `shuffle`, goes on with the minibatch that
        comes next, and it is for you to give the same rows. Its first epoch is then the one that was begun, and after
        as many epochs the net is, bit for bit, that of a fit without a break. Patience begins anew with each fit. After
        a divergence, and where the parameters of the best epoch were put back, the next fit begins with a whole epoch.

        Parameters
        ----------
        X, Y, sample_weight : array_like
            As in `forward` and `backward`.
        epochs : int, default 100
        batch_size : int, default 32
            Rows per step; None for all of them. The last minibatch of an epoch may be smaller.
        optimizer : str or Optimizer, default "adam"
            ``"sgd"``, ``"adam"``, ``"adamw"``, ``"nadam"``, ``"rmsprop"``, ``"adagrad"``, ``"rprop"`` (with
            ``batch_size=None``), or an instance such as ``SGD(lr=0.1, momentum=0.9)``. Its moments
            are those that the net kept from earlier steps with the same kind of optimizer.
        schedule : str, Schedule or callable, optional
            The learning rate of each epoch, from the optimizer's: ``"constant"`` (the default), ``"step"``,
            ``"exponential"``, ``"cosine"`` over the epochs of this fit, ``"inverse_scaling"``, ``"plateau"``, an
            instance such as ``Cosine(epochs=100, warmup=5)``, or a function ``schedule(epoch, lr) -> lr`` of the
            epoch and of the rate before it. Epochs are those of the net's life, counted from 0.
        shuffle : bool, default True
            Visit the rows in a new order each epoch, fixed by `seed` and `epochs_trained`.
        class_weight : "balanced" or dict of int to float, optional
            Weights of the classes, which multiply `sample_weight`, for labels: indices for cross_entropy, or
            one column of 0 and 1 for log_loss. ``"balanced"`` is rows / (classes * rows of the class);
            in a dict, classes that are not named weigh 1. A validation set of its own is not weighed.
        validation : float or (X, Y) or (X, Y, sample_weight), optional
            Data whose loss is taken after each epoch; or the share of the rows that is held out for that, in (0, 1).
            These are fixed by `seed` and the number of rows, so that no fit trains on them; labels (see
            `class_weight`) are held out class by class, each class in its share, and their weights with them.
        metrics : dict of str to callable, or sequence of callables, optional
            More numbers to take after each epoch, on the validation data where there are any, else on the training
            data: ``metric(Y, predictions) -> float``. Where `Y` is (rows,) and the net has one output, so are the
            predictions; else they are (rows, outputs).
        monitor : str or (str, {"min", "max"}), optional
            What `patience` and ``schedule="plateau"`` go by: ``"loss"``, ``"validation_loss"`` or the name of a
            metric, such as ``("accuracy", "max")``; of a name alone, less is better. By default the validation loss,
            or without validation data the training loss.
        patience : int, optional
            Stop after this many epochs in a row in which what is monitored did not improve on its best by more
            than `tol`. With validation data or `monitor`, the parameters of the best epoch are put back at
            the end, unless the fit raises.
        tol : float, default 0
            Without `patience`: stop when the training loss changes by at most this between epochs; 0 never stops.
        l1, l2 : float, default 0
            Adds ``l1 sum |w| + l2/2 sum w^2`` to each minibatch's objective, over the weights.
        max_norm : float, optional
            After each step, the weights that enter a unit are scaled down to this Euclidean norm.
        clip_norm, clip_value : float, optional
            Before each step, every number of the gradient is brought into [-clip_value, clip_value], and then the
            gradient as a whole scaled down to the Euclidean norm `clip_norm`.
        penalize_biases : bool, default False
            Whether `l1` and `l2` count the biases too.
        time_limit : float, optional
            Seconds after which the fit ends with the minibatch at hand.
        callback : callable, optional
            Called with a `FitState` after each epoch; a true result stops the fit.
        progress : bool, default False
            Show a progress bar; needs the extra ``[cli]``.
        checkpoint : path, optional
            A file that keeps the whole run: the same call, in a program that was killed at any moment and is started
            again, goes on from there, and ends with the bits of a fit without a break. The file is written
            before the first epoch, after each `every` epochs, at the end, and on Ctrl-C or `time_limit`, then within
            the epoch; each time it is replaced as a whole. A run that is in the file to its end is not trained
            again: its history is returned, and the net is as it was at its end. `Net.load` reads the file as it does
            any other. `History` is that of the whole run, its seconds included; `time_limit` counts anew.

            A file of another run is an error: of another configuration, seed or state of the net at the start, other
            data (a hash is taken), or other arguments than `callback`, `progress`, `time_limit` and `every`. A net
            whose seed was drawn takes over the file's, and the views of its parameters are then new ones.
            Functions (`callback`, metrics, a schedule) are not saved, nor what they remember, and not compared: give
            the same again. After a kill, they see the epochs since the last write once more.
        every : int, default 1
            Epochs between two writes of `checkpoint`. A write waits for the disk, some milliseconds for small nets:
            choose it so that as many epochs take seconds.

        Returns
        -------
        History
            Also kept as `net.history`.

        Raises
        ------
        TypeError, ValueError
            An argument does not fit, or `checkpoint` is of another run, or of one of this net that has been trained or
            changed since, and nothing has been trained; or a metric gives no number, or `schedule` no rate.
        ModelFormatError
            `checkpoint` is no file of chainrule, or damaged.
        OSError
            `checkpoint` cannot be read or written; the net is as it was after the epoch, and the file as it was before.
        DivergenceError
            The loss or a gradient stopped being finite; the parameters are the last finite ones. It says where,
            and what the likely cause is.
        KeyboardInterrupt
            Ctrl-C; the parameters are those after the last whole minibatch.
        """
        from .fitting import fit
        from .regularization import Regularization

        return fit(
            self,
            X,
            Y,
            sample_weight,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            schedule=schedule,
            shuffle=shuffle,
            class_weight=class_weight,
            validation=validation,
            metrics=metrics,
            monitor=monitor,
            patience=patience,
            tol=tol,
            regularization=Regularization(l1, l2, max_norm, clip_norm, clip_value, penalize_biases),
            time_limit=time_limit,
            callback=callback,
            progress=progress,
            checkpoint=checkpoint,
            every=every,
        )
