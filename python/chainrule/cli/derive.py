"""``chainrule derive``: the update rule of a network, and how two losses' rules differ."""

from __future__ import annotations

import argparse

from .exit_codes import DONE
from .net_options import add_net_options, read_config
from .options import LOSS_NAMES, loss
from .outputs import to_json

USAGE = "%(prog)s SIZES [options]"
DESCRIPTION = """\
Print the forward pass, the deltas, the gradients and the update rule of a network, derived by
the chain rule, symbol by symbol; with --against, how they differ from those of another loss.
"""
EXAMPLES = """\
examples:
  chainrule derive 3-4-1
  chainrule derive 3-4-1 --loss log_loss --latex
  chainrule derive 3-4-1 --loss log_loss --json
  chainrule derive 3-4-1 --output sigmoid --loss log_loss --against half_squared_error
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule derive``."""
    add_net_options(parser)
    parser.add_argument("--latex", action="store_true", help="LaTeX instead of plain text")
    parser.add_argument("--against", type=loss, metavar="LOSS", help=f"compare with this loss: {LOSS_NAMES}")
    parser.add_argument("--json", action="store_true", help="print JSON, formula by formula, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Print the derivation."""
    from ..derivation import compare, derive
    from ..derivation.plain import plain_comparison, plain_rule

    config = read_config(args)
    if args.against is None:
        print(to_json(plain_rule(config, args.latex)) if args.json else derive(config, args.latex))
    else:
        other = read_config(args, loss=args.against)
        print(to_json(plain_comparison(config, other, args.latex)) if args.json else compare(config, other, args.latex))
    return DONE
