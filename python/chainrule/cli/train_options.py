"""The options of ``chainrule train``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ..atomic_files import named_file
from ..config import DTYPES
from ..datasets import DATASETS
from ..optimizers import OPTIMIZERS
from ..schedules import SCHEDULES
from ..tables.task import TASKS
from . import options
from .inputs import DATA_HELP
from .options import count, fraction, non_negative, positive
from .problem import LOSSES_OF_TASK

__all__ = ["add_arguments"]

DEFAULT_LOSS = " or ".join(losses[0] for losses in LOSSES_OF_TASK.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule train``."""
    _add_data_options(parser.add_argument_group("data").add_argument)
    _add_network_options(parser.add_argument_group("network").add_argument)
    _add_training_options(parser.add_argument_group("training").add_argument)
    _add_output_options(parser.add_argument_group("output").add_argument)


def _add_data_options(add: Callable[..., object]) -> None:
    share = "share of the rows (default: %(default)s)"
    add("data", nargs="?", type=Path, metavar="DATA", help=DATA_HELP)
    add("--target", metavar="COL", help="column to predict")
    add("--dataset", choices=list(DATASETS), help="bundled data set (default: penguins)")
    add("--ignore", action="append", default=[], metavar="COL", help="column to leave out; may be repeated")
    add("--task", choices=["auto", *TASKS], default="auto", help="(default: by the target column)")
    add("--test", "--test-fraction", type=fraction, default=0.2, metavar="F", help=share)
    add("--validation", "--validation-fraction", type=fraction, default=0.15, metavar="F", help=share)


def _add_network_options(add: Callable[..., object]) -> None:
    hidden_help = "sizes of the hidden layers, or none (default: 64,32)"
    activation_help = "of all hidden layers, or of each: relu,tanh (default: relu)"
    dropout_help = "share of each hidden layer's outputs to drop, or of every one: 0.2,0.1 (default: 0)"
    loss_help = f"by which to learn, such as 'huber(0.5)' (default: {DEFAULT_LOSS})"
    add("--hidden", type=options.hidden_sizes, default=(64, 32), metavar="64,32", help=hidden_help)
    add("--activation", type=options.activations, default=("relu",), metavar="NAME", help=activation_help)
    add("--dropout", type=options.fractions, default=(0.0,), metavar="F", help=dropout_help)
    add("--loss", type=options.loss, metavar="LOSS", help=loss_help)
    add("--dtype", choices=DTYPES, default="float32", help="(default: %(default)s)")


def _add_training_options(add: Callable[..., object]) -> None:
    patience_help = "stop after N epochs without improvement, or none (default: %(default)s)"
    batch_help = "rows per update, or all (default: 32; all for rprop)"
    weight_help = "balanced, or weights of classes such as yes=10,no=1"
    limit_help = "stop after so long, with the best network so far"
    checkpoint_help = "keep the run in FILE; the same command, after a crash, goes on from there"
    every_help = "epochs between two writes of it (default: 1)"
    threads_help = "threads to use (default: chosen by the size of the work)"
    add("--epochs", type=count, default=500, metavar="N", help="at most (default: %(default)s)")
    add("--batch-size", type=options.batch_size, default=0, metavar="N", help=batch_help)
    add("--optimizer", choices=list(OPTIMIZERS), default="adam", help="(default: %(default)s)")
    add("--learning-rate", "--lr", type=positive, metavar="LR", help="(default: the optimizer's own)")
    add("--schedule", choices=list(SCHEDULES), default="constant", help="of the learning rate (default: %(default)s)")
    add("--l2", type=non_negative, default=0.0, help="penalty l2/2 sum W^2 on the weights (default: 0)")
    add("--class-weight", type=options.class_weight, metavar="WEIGHTS", help=weight_help)
    add("--patience", type=options.patience, default=50, metavar="N", help=patience_help)
    add("--time-limit", type=positive, metavar="SECONDS", help=limit_help)
    add("--checkpoint", type=named_file, metavar="FILE", help=checkpoint_help)
    add("--every", type=count, metavar="N", help=every_help)
    add("--seed", type=options.seed, default=0, help="of the split, the weights and the shuffling (default: 0)")
    add("--threads", type=count, metavar="N", help=threads_help)


def _add_output_options(add: Callable[..., object]) -> None:
    add("--output", type=named_file, metavar="FILE", help="model file (default: the name of the data, .safetensors)")
    add("--plot", type=named_file, metavar="FILE", help="loss curves, .png, .pdf or .svg (default: beside the model)")
    add(
        "--report",
        type=named_file,
        metavar="FILE",
        help="all about the run on one page of HTML that needs no other file",
    )
    add("--force", action="store_true", help="replace existing output files")
    add("--json", action="store_true", help="print the results as JSON, and nothing else")
    add("--quiet", action="store_true", help="print nothing but errors")
