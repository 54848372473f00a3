"""``chainrule train``: a table goes in; a model file, a picture and a test score come out."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import DTYPES, HIDDEN_ACTIVATIONS
from ..datasets import DATASETS
from ..errors import DivergenceError
from ..files import write_atomically
from ..optimizers import OPTIMIZERS, Optimizer
from ..tables.task import TASK_RULE, TASKS
from .errors import UsageError
from .exit_codes import DONE, INTERRUPTED
from .interrupt import stop_on_interrupt
from .options import count, fraction, hidden_sizes, non_negative, positive, seed
from .outputs import check_output
from .problem import Problem, Source, choose_source, prepare

if TYPE_CHECKING:
    from ..history import History
    from ..net import Net
    from .report import Report

USAGE = "%(prog)s [DATA.csv --target COL] [options]"
DESCRIPTION = f"""\
Train a network on a CSV file, or on a data set that comes with chainrule, and save it.

Columns of numbers are standardised, columns of text one-hot encoded; the encoding is saved in
the model. Part of the rows is kept for the test score, and part to stop training at the
epoch with the lowest validation loss.

{TASK_RULE}
"""
EXAMPLES = """\
examples:
  chainrule train                                   bundled data: classify penguins
  chainrule train --dataset auto_mpg                bundled data: predict fuel consumption
  chainrule train houses.csv --target price         your own data
  chainrule train houses.csv --target price --hidden 128,64 --epochs 2000 --output houses.safetensors
"""
PLOT_FORMATS = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule train``."""
    _add_data_options(parser.add_argument_group("data").add_argument)
    _add_network_options(parser.add_argument_group("network").add_argument)
    _add_training_options(parser.add_argument_group("training").add_argument)
    _add_output_options(parser.add_argument_group("output").add_argument)


def _add_data_options(add: Callable[..., object]) -> None:
    share = "share of the rows (default: %(default)s)"
    add("data", nargs="?", type=Path, metavar="DATA.csv", help="CSV file whose first line names the columns")
    add("--target", metavar="COL", help="column to predict")
    add("--dataset", choices=list(DATASETS), help="bundled data set (default: penguins)")
    add("--ignore", action="append", default=[], metavar="COL", help="column to leave out; may be repeated")
    add("--task", choices=["auto", *TASKS], default="auto", help="(default: by the target column)")
    add("--test-fraction", type=fraction, default=0.2, metavar="F", help=share)
    add("--validation-fraction", type=fraction, default=0.15, metavar="F", help=share)


def _add_network_options(add: Callable[..., object]) -> None:
    hidden_help = "sizes of the hidden layers, or none (default: 64,32)"
    add("--hidden", type=hidden_sizes, default=(64, 32), metavar="64,32", help=hidden_help)
    add("--activation", choices=HIDDEN_ACTIVATIONS, default="relu", help="of hidden layers (default: %(default)s)")
    add("--dtype", choices=DTYPES, default="float32", help="(default: %(default)s)")


def _add_training_options(add: Callable[..., object]) -> None:
    patience_help = "stop after N epochs without improvement (default: %(default)s)"
    threads_help = "threads to use (default: chosen by the size of the work)"
    add("--epochs", type=count, default=500, metavar="N", help="at most (default: %(default)s)")
    add("--batch-size", type=count, default=32, metavar="N", help="rows per update (default: %(default)s)")
    add("--optimizer", choices=list(OPTIMIZERS), default="adam", help="(default: %(default)s)")
    add("--lr", type=positive, help="learning rate (default: the optimizer's own)")
    add("--l2", type=non_negative, default=0.0, help="penalty l2/2 sum W^2 on the weights (default: 0)")
    add("--patience", type=count, default=50, metavar="N", help=patience_help)
    add("--seed", type=seed, default=0, help="of the split, the weights and the shuffling (default: 0)")
    add("--threads", type=count, metavar="N", help=threads_help)


def _add_output_options(add: Callable[..., object]) -> None:
    add("--output", type=Path, metavar="FILE", help="model file (default: the name of the data, .safetensors)")
    add("--plot", type=Path, metavar="FILE", help="loss curves, .png, .pdf or .svg (default: beside the model)")
    add("--force", action="store_true", help="replace existing output files")
    add("--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Train, save, report."""
    _require_extra()
    source = choose_source(args.data, args.target, args.dataset)
    model_path, plot_path = _choose_outputs(args, source)
    from .report import Report

    report = Report(quiet=args.quiet)
    problem = prepare(
        source,
        task=None if args.task == "auto" else args.task,
        ignore=args.ignore,
        validation=args.validation_fraction,
        test=args.test_fraction,
        seed=args.seed,
    )
    report.show_data(problem)
    net = _build_net(args, problem)
    history = _fit(net, args, problem, report)
    net.save(model_path, metadata={"table": json.dumps(problem.encoder.to_dict())})
    _save_plot(history, plot_path, source.name)
    report.show_training(net.config, args, history)
    report.show_scores(problem, net)
    report.show_files(model_path, plot_path)
    if history.stopped == "callback":
        message = f"interrupted after epoch {history.epochs}; the best network so far is in {model_path}"
        print(f"chainrule: {message}", file=sys.stderr)
        return INTERRUPTED
    report.show_next(f"chainrule predict {shlex.quote(str(model_path))} {shlex.quote(str(source.path))}")
    return DONE


def _require_extra() -> None:
    absent = [name for name in ("rich", "matplotlib") if importlib.util.find_spec(name) is None]
    if absent:
        raise ImportError(f"'train' needs {' and '.join(absent)}: pip install 'chainrule[cli]'")


def _choose_outputs(args: argparse.Namespace, source: Source) -> tuple[Path, Path]:
    """Paths of the model and of the picture, both of which may be written."""
    model = args.output or Path(f"{source.name}.safetensors")
    check_output(model, force=args.force, inputs=[source.path])
    plot = args.plot or model.with_name(f"{model.stem}-loss.png")
    if plot.suffix.lower() not in PLOT_FORMATS:
        raise UsageError(f"--plot must end in {', '.join(PLOT_FORMATS)}; got {plot}")
    if plot.absolute() == model.absolute():
        raise UsageError(f"--plot and --output name the same file, {plot}")
    check_output(plot, force=args.force, inputs=[source.path])
    return model, plot


def _build_net(args: argparse.Namespace, problem: Problem) -> Net:
    from ..net import Net

    classify = problem.encoder.task == "classification"
    return Net(
        [problem.X.shape[1], *args.hidden, problem.encoder.outputs],
        hidden=args.activation,
        output="softmax" if classify else "identity",
        loss="cross_entropy" if classify else "squared_error",
        dtype=args.dtype,
        seed=args.seed,
        threads=args.threads,
    )


def _fit(net: Net, args: argparse.Namespace, problem: Problem, report: Report) -> History:
    X, Y, split = problem.X, problem.Y, problem.split
    try:
        with stop_on_interrupt() as callback:
            return net.fit(
                X[split.train],
                Y[split.train],
                epochs=args.epochs,
                batch_size=args.batch_size,
                optimizer=_read_optimizer(args),
                validation=(X[split.validation], Y[split.validation]) if len(split.validation) else None,
                patience=args.patience,
                l2=args.l2,
                callback=callback,
                progress=report.live,
            )
    except DivergenceError as error:
        raise DivergenceError(f"{error}; try a smaller --lr") from None


def _read_optimizer(args: argparse.Namespace) -> Optimizer:
    rule = OPTIMIZERS[args.optimizer]
    return rule() if args.lr is None else rule(lr=args.lr)


def _save_plot(history: History, path: Path, name: str) -> None:
    from matplotlib.figure import Figure

    from ..plots import plot_history

    # A Figure of its own, without pyplot, needs no display and leaves no state behind.
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    plot_history(history, figure.subplots()).set_title(f"{name}: loss per epoch", parse_math=False)
    picture = BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower())
    write_atomically(path, picture.getvalue())
