"""``chainrule derive``: the update rule of a network, and how two losses' rules differ."""

from __future__ import annotations

import argparse

from .exit_codes import DONE
from .net_options import add_net_options, read_config
from .options import LOSS_NAMES, loss

USAGE = "%(prog)s SIZES [options]"
DESCRIPTION = """\
Print the forward pass, the deltas, the gradients and the update rule of a network, derived by
the chain rule, symbol by symbol; with --against, how they differ from those of another loss.
"""
EXAMPLES = """\
examples:
  chainrule derive 3-4-1
  chainrule derive 3-4-1 --loss log_loss --latex
  chainrule derive 3-4-1 --output sigmoid --loss log_loss --against half_squared_error
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule derive``."""
    add_net_options(parser)
    parser.add_argument("--latex", action="store_true", help="LaTeX instead of plain text")
    parser.add_argument("--against", type=loss, metavar="LOSS", help=f"compare with this loss: {LOSS_NAMES}")


def run(args: argparse.Namespace) -> int:
    """Print the derivation."""
    from ..derivation import compare, derive

    config = read_config(args)
    if args.against is None:
        print(derive(config, latex=args.latex))
    else:
        print(compare(config, read_config(args, loss=args.against), latex=args.latex))
    return DONE
