"""The page of ``chainrule train --report``: what of the options it tells, and the command that repeats the run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import write_atomically
from ..optimizers import OPTIMIZERS
from .errors import UsageError
from .inputs import STANDARD
from .outputs import are_one_file, check_output, writing
from .problem import Problem, Source
from .train_options import add_arguments
from .training import BATCH_SIZE

if TYPE_CHECKING:
    from ..history import History
    from ..net import Net

__all__ = ["check_report", "save_report", "spell_run"]

#: Options that say where results go, not what they are, and those of the parser itself.
WHERE_TO = ("data", "output", "plot", "report", "json", "quiet", "force", "checkpoint", "every")
NOT_SETTINGS = (*WHERE_TO, "command", "version", "run", "error")


def check_report(args: argparse.Namespace, source: Source, others: Sequence[Path]) -> None:
    """Refuse, before anything is computed, a page that could not be written.

    Raises
    ------
    UsageError
        The page would go to standard output, or over another file of the run.
    ValueError
        As `check_output`.
    """
    page: Path | None = args.report
    if page is None:
        return
    if page == STANDARD:
        raise UsageError("--report goes to a file, not to standard output; give another name than -")
    if any(are_one_file(page, other) for other in others):
        raise UsageError(f"--report names the file of another output, {page}")
    check_output(page, force=args.force, inputs=[source.path])


def save_report(path: Path, args: argparse.Namespace, problem: Problem, net: Net, history: History) -> None:
    """Write the page to `path`."""
    from ..report import make_page

    page = make_page(problem, net, history, settings=_settings(args, problem), command=spell_run(args))
    with writing(path):
        write_atomically(path, page.encode("utf-8"))


def spell_run(args: argparse.Namespace) -> str:
    """Return the command that repeats the run, with the options that are not as by default."""
    from ..report import spell_command

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    defaults = {name: parser.get_default(name) for name in vars(args)}
    data = [] if args.data is None else [str(args.data)]
    # A name that begins with a hyphen is no option where a folder comes before it.
    words = [f"./{name}" if name.startswith("-") and name != str(STANDARD) else name for name in data]
    return spell_command(["chainrule", "train", *words], vars(args), defaults, NOT_SETTINGS)


def _settings(args: argparse.Namespace, problem: Problem) -> dict[str, object]:
    """Return the options that were given or have defaults, and what the run has chosen where they left it open."""
    rule = OPTIMIZERS[args.optimizer]
    chosen: dict[str, object] = {
        "target": problem.source.target,
        "task": problem.encoder.task,
        "loss": problem.loss,
        "learning_rate": args.learning_rate or rule().lr,
    }
    if args.batch_size == 0:
        chosen["batch_size"] = None if rule.full_batch else BATCH_SIZE
    told = {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS} | chosen
    return {name: value for name, value in told.items() if value is not None or name in ("batch_size", "patience")}
