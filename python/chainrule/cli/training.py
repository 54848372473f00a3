"""A net for a problem, and its fit, as the options of ``chainrule train`` say."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..config import OUTPUT_OF_LOSS
from ..errors import DivergenceError
from ..history import History
from ..optimizers import OPTIMIZERS
from ..tables import Categories
from ..tables.table import listed
from .errors import UsageError
from .inputs import STANDARD
from .interrupt import Interrupts
from .options import ClassWeight
from .outputs import are_one_file, check_output
from .problem import Problem

if TYPE_CHECKING:
    from ..net import Net

__all__ = ["IndexWeight", "build_net", "check_checkpoint", "check_layers", "read_class_weight", "train"]

BATCH_SIZE = 32

#: Weights of classes as `Net.fit` takes them.
IndexWeight: TypeAlias = Literal["balanced"] | dict[int, float]


def check_layers(args: argparse.Namespace) -> None:
    """Raise UsageError where an option has a value for each hidden layer, but not as many as there are layers."""
    for name in ("activation", "dropout"):
        given = len(getattr(args, name))
        if given not in (1, len(args.hidden)):
            raise UsageError(f"--{name} has {given} values for {len(args.hidden)} hidden layers; give 1 or as many")


def check_checkpoint(args: argparse.Namespace, others: Sequence[Path | None]) -> None:
    """Refuse, before anything is computed, a checkpoint that could not be written, or would be over another output.

    Raises
    ------
    UsageError, ValueError
        As `check_report`; that there is such a file already is no error.
    """
    path: Path | None = args.checkpoint
    if path is None:
        if args.every is not None:
            raise UsageError("--every is for --checkpoint FILE")
        return
    if path == STANDARD:
        raise UsageError("--checkpoint is a file, not standard output; give another name than -")
    if any(are_one_file(path, other) for other in others if other is not None):
        raise UsageError(f"--checkpoint names the file of another output, {path}")
    check_output(path, force=True)


def build_net(args: argparse.Namespace, problem: Problem) -> Net:
    """Return the net, with its first weights."""
    from ..net import Net

    layers = len(args.hidden)
    return Net(
        [problem.X.shape[1], *args.hidden, problem.encoder.outputs],
        hidden=args.activation * layers if len(args.activation) == 1 else args.activation,
        output=OUTPUT_OF_LOSS.get(problem.loss.name, "identity"),
        loss=problem.loss,
        dtype=args.dtype,
        seed=args.seed,
        threads=args.threads,
        dropout=args.dropout * layers if len(args.dropout) == 1 else args.dropout,
    )


def train(
    net: Net,
    args: argparse.Namespace,
    problem: Problem,
    class_weight: IndexWeight | None,
    interrupts: Interrupts,
    *,
    progress: bool,
) -> History:
    """Fit the net; Ctrl-C ends the fit after the epoch, and once more, or with a checkpoint, at once.

    After the fit all further signals are spared, for what was learned is to be saved.
    """
    X, Y, split = problem.X, problem.Y, problem.split
    rule = OPTIMIZERS[args.optimizer]
    default_batch = None if rule.full_batch else BATCH_SIZE
    # A callback that stops a run ends it for good; a run with a checkpoint is to go on.
    stops_gently = args.checkpoint is None
    try:
        interrupts.spare(1 if stops_gently else 0)
        try:
            return net.fit(
                X[split.train],
                Y[split.train],
                epochs=args.epochs,
                batch_size=default_batch if args.batch_size == 0 else args.batch_size,
                optimizer=rule() if args.learning_rate is None else rule(lr=args.learning_rate),
                schedule=None if args.schedule == "constant" else args.schedule,
                class_weight=class_weight,
                validation=(X[split.validation], Y[split.validation]) if len(split.validation) else None,
                patience=args.patience,
                l2=args.l2,
                time_limit=args.time_limit,
                callback=interrupts.stop if stops_gently else None,
                progress=progress,
                checkpoint=args.checkpoint,
                every=args.every or 1,
            )
        finally:
            interrupts.spare(math.inf)
    except DivergenceError as error:
        raise DivergenceError(f"{error}; try a smaller --lr") from None
    except (KeyboardInterrupt, OSError) as error:
        # With a terminal that hangs up, the progress bar fails too.
        learned = net.history is not None or net.epochs_trained > 0
        if not learned or (isinstance(error, OSError) and interrupts.first is None):
            raise
        # An interrupt just when the fit ended may have cost its record; the net is whole.
        return net.history or History(stopped="interrupted")


def read_class_weight(given: ClassWeight | None, problem: Problem) -> IndexWeight | None:
    """Return weights of classes by their indices, for weights by their labels; UsageError if there are none such."""
    target = problem.encoder.target
    if given is None:
        return None
    if not isinstance(target, Categories):
        raise UsageError(f"--class-weight is for classification, and {target.name!r} is a column of numbers to predict")
    if given == "balanced":
        return "balanced"
    unknown = [label for label in given if label not in target.labels]
    if unknown:
        raise UsageError(f"--class-weight: no class is called {listed(unknown)}; there are {listed(target.labels)}")
    return {target.labels.index(label): weight for label, weight in given.items()}
