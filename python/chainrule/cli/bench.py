"""``chainrule bench``: its options, and what they ask `chainrule.bench` to measure."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ..atomic_files import named_file
from ..bench.cases import CASES, ONE_ROW_CASES, Case, create_case, one_row
from ..bench.peers import installed, peer_names
from ..bench.plan import Plan, cores, run_apart
from ..config import ACTIVATIONS, DTYPES, HIDDEN_ACTIVATIONS
from ..optimizers import OPTIMIZERS
from .errors import UsageError
from .options import LOSS_NAMES, count, layer_sizes, loss, positive, seed
from .outputs import check_output
from .pictures import check_picture

__all__ = ["DESCRIPTION", "EXAMPLES", "USAGE", "add_arguments", "run"]

USAGE = "%(prog)s [options]"
DESCRIPTION = """\
Measure training steps, or predictions of one row, of the C++ core and of its peers, side by
side: on the same cores, in turn, after checking that all of them compute the same.
"""
EXAMPLES = """\
examples:
  chainrule bench                                     against NumPy, half a minute or less
  chainrule bench --peers                             against all peers that are installed
  chainrule bench --peers numpy,jax --only 784        some peers, some cases
  chainrule bench --net 20-100-1 --batch 64           a net of your own
  chainrule bench --threads 2 --dtype float64
  chainrule bench --predict --peers                   predictions of one row
  chainrule bench --peers --seconds 2 --time-limit 60 as many cases as a minute has room for
  chainrule bench --json speed.json --plot speed.png

The instruction set is that of CHAINRULE_ISA, as ever; to hold PyTorch to AVX2 as well:
  CHAINRULE_ISA=x86-64-v3 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 \\
      chainrule bench --peers torch
"""

#: Options that describe a net of one's own, and those of them that only training has.
NET_OPTIONS = ("hidden", "output", "loss", "batch", "optimizer")
TRAINING_OPTIONS = ("loss", "batch", "optimizer")

MINIBATCH_OPTIMIZERS = [name for name, rule in OPTIMIZERS.items() if not rule.full_batch]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    _add_case_options(parser)
    group = parser.add_argument_group("how")
    peers_help = f"whom to measure against: all that are installed, or some of {', '.join(_all_peers())}"
    plot_help = "draw a chart, .png, .pdf or .svg (default FILE: bench.png)"
    group.add_argument("--peers", metavar="A,B", nargs="?", const="all", default="numpy", help=peers_help)
    group.add_argument("--dtype", choices=DTYPES, default="float32", help="(default: %(default)s)")
    group.add_argument("--threads", type=count, default=1, metavar="N", help="and cores, for all (default: 1)")
    group.add_argument(
        "--seconds", type=positive, default=0.5, help="to spend on each case and library (default: %(default)s)"
    )
    group.add_argument("--time-limit", type=positive, metavar="SECONDS", help="begin no further case after so long")
    group.add_argument("--seed", type=seed, default=0, help="of first weights and data (default: 0)")
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", metavar="FILE", type=named_file, nargs="?", const=Path("-"), help="write JSON, or print it"
    )
    group.add_argument("--plot", metavar="FILE", type=named_file, nargs="?", const=Path("bench.png"), help=plot_help)
    group.add_argument("--force", action="store_true", help="replace files that exist")


def _add_case_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what").add_argument
    net_help = "a net of your own, units per layer, such as 20-100-1; may be repeated"
    add("--predict", action="store_true", help="predictions of one row instead of training steps")
    add("--only", metavar="TEXT", help="only the named cases whose name contains TEXT")
    add("--net", type=layer_sizes, action="append", metavar="SIZES", help=net_help)
    add("--batch", type=count, metavar="N", help="rows of a step of --net (default: 32)")
    add("--hidden", choices=HIDDEN_ACTIVATIONS, help="activation of --net's hidden layers (default: relu)")
    add("--output", choices=ACTIVATIONS, help="of --net (default: what the loss needs, else identity)")
    add("--loss", type=loss, metavar="LOSS", help=f"of --net: {LOSS_NAMES} (default: half_squared_error)")
    add("--optimizer", choices=MINIBATCH_OPTIMIZERS, help="of --net (default: adam)")


def run(args: argparse.Namespace) -> int:
    """Check the options, measure, and return the exit code."""
    available = len(cores())
    if args.threads > available:
        raise UsageError(f"--threads must be at most {available}, the cores that are free to use; got {args.threads}")
    plan = Plan(
        cases=tuple(replace(case, seed=args.seed) for case in _read_cases(args)),
        peers=tuple(_read_peers(args.peers, predict=args.predict)),
        dtype=args.dtype,
        threads=args.threads,
        seconds=args.seconds,
        time_limit=args.time_limit,
        predict=args.predict,
        json=args.json,
        plot=args.plot,
    )
    for path in (args.json, args.plot):
        if path is not None and path != Path("-"):
            check_output(path, force=args.force)
    if args.plot is not None:
        check_picture(args.plot)
    return run_apart(plan)


def _read_cases(args: argparse.Namespace) -> list[Case]:
    if args.net is not None:
        return _read_own_cases(args)
    for option in NET_OPTIONS:
        if getattr(args, option) is not None:
            raise UsageError(f"--{option} describes a net of your own: give --net SIZES too")
    named = ONE_ROW_CASES if args.predict else CASES
    chosen = [case for case in named if (args.only or "") in case.name]
    if not chosen:
        names = "; ".join(case.name for case in named)
        raise UsageError(f"--only {args.only!r} is in the name of no case; there are: {names}")
    return chosen


def _read_own_cases(args: argparse.Namespace) -> list[Case]:
    if args.only is not None:
        raise UsageError("--only chooses among the named cases: give it or --net")
    for option in TRAINING_OPTIONS:
        if args.predict and getattr(args, option) is not None:
            raise UsageError(f"--{option} is for training, and --predict only predicts")
    options = (args.hidden, args.output, args.loss, args.batch, args.optimizer)
    try:
        cases = [create_case(sizes, *options) for sizes in args.net]
    except ValueError as error:
        raise UsageError(str(error)) from None
    return [one_row(case) for case in cases] if args.predict else cases


def _read_peers(words: str, *, predict: bool) -> list[str]:
    """Return the names of the chosen peers, each once, or raise an error that lists what is allowed."""
    kind, known = "predictions" if predict else "training", peer_names(predict=predict)
    available = [peer for peer in known if installed(peer)]
    if words == "all":
        return available
    for peer in words.split(","):
        if peer not in available:
            fault = "is not installed" if peer in known else f"is no peer for {kind}"
            raise UsageError(f"--peers: {peer!r} {fault}; allowed here: {', '.join(available)}, or all")
    return list(dict.fromkeys(words.split(",")))


def _all_peers() -> list[str]:
    return list(dict.fromkeys(peer_names(predict=False) + peer_names(predict=True)))
