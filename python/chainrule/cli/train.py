"""``chainrule train``: a table goes in; a model file, a picture and a test score come out."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DivergenceError
from ..plots import plot_history
from ..plots.canvas import new_figure, save_figure
from ..tables.task import TASK_RULE
from .errors import UsageError
from .exit_codes import DONE, INTERRUPTED, of_signal
from .inputs import STANDARD
from .interrupt import Interrupts, catch_interrupts
from .outputs import are_one_file, check_output, flush_output, noting, save_elsewhere, to_json, writing
from .pictures import check_picture, warm_up
from .problem import Problem, Source, choose_source, prepare
from .results import Outcome, as_json, test_scores
from .train_options import add_arguments
from .train_report import check_report, save_report
from .training import IndexWeight, build_net, check_checkpoint, check_layers, read_class_weight, train

if TYPE_CHECKING:
    from ..history import History
    from ..net import Net
    from .report import Report

__all__ = ["DESCRIPTION", "EXAMPLES", "USAGE", "add_arguments", "run"]

USAGE = "%(prog)s [DATA --target COL] [options]"
DESCRIPTION = f"""\
Train a network on a table, or on a data set that comes with chainrule, and save it.

Columns of numbers are standardised, columns of text one-hot encoded; the encoding is saved in
the model. Part of the rows is kept for the test score, and part to stop training at the
epoch with the lowest validation loss. Ctrl-C ends the training after the epoch at hand, and
saves the best network so far; pressed twice, it saves the network as it is. With --checkpoint,
it ends at once, and the same command goes on from there, as it does after a crash or --time-limit.
SIGTERM and SIGHUP do what Ctrl-C does; the exit code is 130 after Ctrl-C, else 143 or 129.

{TASK_RULE}
"""
EXAMPLES = """\
examples:
  chainrule train                                   bundled data: classify penguins
  chainrule train --dataset auto_mpg                bundled data: predict fuel consumption
  chainrule train houses.csv --target price         your own data
  chainrule train houses.csv --target price --report houses.html
  chainrule train houses.csv --target price --hidden 128,64 --epochs 2000 --output houses.safetensors
  chainrule train houses.parquet --target price --loss 'huber(0.5)' --dropout 0.1 --schedule cosine
  chainrule train houses.csv --target price --epochs 5000 --checkpoint houses.run --every 50
  chainrule train arrays.npz --target y --class-weight balanced --time-limit 60
  zcat houses.csv.gz | chainrule train - --target price --output houses.safetensors --json
"""


def run(args: argparse.Namespace) -> int:
    """Train, save, report."""
    _require_extra()
    check_layers(args)
    source = choose_source(args.data, args.target, args.dataset)
    model_path, plot_path = _choose_outputs(args, source)
    check_report(args, source, [model_path, plot_path])
    check_checkpoint(args, [source.path, model_path, plot_path, args.report])
    _warm_up(plot_path)
    from .report import Report

    report = Report(quiet=args.quiet or args.json)
    problem = prepare(
        source,
        task=None if args.task == "auto" else args.task,
        loss=args.loss,
        ignore=args.ignore,
        validation=args.validation,
        test=args.test,
        seed=args.seed,
    )
    class_weight = read_class_weight(args.class_weight, problem)
    report.show_data(problem)
    net = build_net(args, problem)
    with catch_interrupts() as interrupts:
        history = _train_and_save(net, args, problem, class_weight, model_path, interrupts, progress=report.live)
        with noting(f"the model is in {model_path}"):
            interrupts.spare(0)
            files = {"model": model_path, **_save_pictures(args, problem, net, history, plot_path)}
            _tell(report, args, Outcome(problem, net, history, test_scores(problem, net), files))
            if interrupts.first is not None or history.stopped in ("callback", "interrupted"):
                _tell_interrupted(args, net, history, model_path)
                return INTERRUPTED if interrupts.first is None else of_signal(interrupts.first)
            data = "DATA" if source.path == STANDARD else shlex.quote(str(source.path))
            report.show_next(f"chainrule predict {shlex.quote(str(model_path))} {data}")
            flush_output()
            return DONE


def _warm_up(plot: Path) -> None:
    with catch_interrupts() as interrupts:
        warm_up(plot)
        interrupts.raise_caught()


def _train_and_save(
    net: Net,
    args: argparse.Namespace,
    problem: Problem,
    class_weight: IndexWeight | None,
    path: Path,
    interrupts: Interrupts,
    *,
    progress: bool,
) -> History:
    """Train, and write the model to `path`: also what was learned before training diverged, or a checkpoint failed."""
    try:
        history = train(net, args, problem, class_weight, interrupts, progress=progress)
    except (DivergenceError, OSError) as error:
        if net.history is not None and net.history.epochs > 0:
            with noting(" ".join(str(error).split())):
                _save_model(net, problem, path)
            error.add_note(f"the network as it was before that is in {path}")
        raise
    _save_model(net, problem, path)
    return history


def _save_model(net: Net, problem: Problem, path: Path) -> None:
    """Write the model; where that fails, to the system's temporary folder, and raise OSError all the same."""
    metadata = {"table": json.dumps(problem.encoder.to_dict())}
    try:
        with writing(path):
            net.save(path, metadata)
    except OSError as error:
        # What may have taken hours to learn is not lost for want of a folder.
        spare = save_elsewhere(path, lambda elsewhere: net.save(elsewhere, metadata))
        if spare is not None:
            error.add_note(f"the model is in {spare}")
        raise


def _tell_interrupted(args: argparse.Namespace, net: Net, history: History, path: Path) -> None:
    """Say on stderr which network was saved."""
    saved = "the network as it then was" if history.stopped == "interrupted" else "the best network so far"
    message = f"interrupted after epoch {net.epochs_trained}; {saved} is in {path}"
    if args.checkpoint is not None:
        message += f"; to go on from {args.checkpoint}, give the same command with --force"
    print(f"chainrule: {message}", file=sys.stderr)


def _tell(report: Report, args: argparse.Namespace, outcome: Outcome) -> None:
    """Print how it went: for the eyes, or as JSON."""
    report.show_training(outcome.net.config, args, outcome.history)
    report.show_scores(outcome.problem, outcome.scores)
    report.show_files(outcome.files)
    if args.json:
        print(to_json(as_json(args, outcome)))


def _require_extra() -> None:
    absent = [name for name in ("rich", "matplotlib") if importlib.util.find_spec(name) is None]
    if absent:
        raise ImportError(f"'train' needs {' and '.join(absent)}: pip install 'chainrule[cli]'")


def _choose_outputs(args: argparse.Namespace, source: Source) -> tuple[Path, Path]:
    """Paths of the model and of the picture, both of which may be written."""
    model = args.output or Path(f"{source.name}.safetensors")
    if STANDARD in (model, args.plot):
        raise UsageError("a model and a picture go to files, not to standard output; give another name than -")
    check_output(model, force=args.force, inputs=[source.path])
    plot = args.plot or model.with_name(f"{model.stem}-loss.png")
    check_picture(plot)
    if are_one_file(plot, model):
        raise UsageError(f"--plot and --output name the same file, {plot}")
    check_output(plot, force=args.force, inputs=[source.path])
    return model, plot


def _save_pictures(
    args: argparse.Namespace, problem: Problem, net: Net, history: History, plot: Path
) -> dict[str, Path | None]:
    """Write the loss curves and the report, and return where."""
    drawn = _save_plot(history, plot, problem.source.name)
    if args.report is not None:
        save_report(args.report, args, problem, net, history)
    return {"plot": drawn, "report": args.report}


def _save_plot(history: History, path: Path, name: str) -> Path | None:
    """Draw the losses, and return where, or None if no epoch was completed."""
    if history.epochs == 0:
        return None
    figure = new_figure(7, 4.2)
    name = os.fsencode(name).decode("utf-8", "replace")  # of a file it may have bytes that are no text
    plot_history(history, figure.subplots()).set_title(f"{name}: loss per epoch", parse_math=False)
    with writing(path):
        save_figure(figure, path)
    return path
