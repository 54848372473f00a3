"""Options that describe a network, shared by ``derive`` and ``check``."""

from __future__ import annotations

import argparse

from ..config import ACTIVATIONS, HIDDEN_ACTIVATIONS, LOSSES, OUTPUT_OF_LOSS, REDUCTIONS, NetConfig
from .errors import UsageError
from .options import layer_sizes

__all__ = ["add_net_options", "read_config"]


def add_net_options(parser: argparse.ArgumentParser) -> None:
    """Declare sizes, activations, loss, reduction and bias, as `chainrule.Net` has them."""
    parser.add_argument(
        "sizes", nargs="?", type=layer_sizes, metavar="SIZES", help="units per layer, inputs first, such as 3-4-1"
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="a network of the source documents instead of SIZES and options"
    )
    parser.add_argument(
        "--hidden", choices=HIDDEN_ACTIVATIONS, help="activation of the hidden layers (default: sigmoid)"
    )
    parser.add_argument(
        "--output", choices=ACTIVATIONS, help="activation of the output (default: what the loss needs, else sigmoid)"
    )
    parser.add_argument("--loss", choices=LOSSES, help="(default: half_squared_error)")
    parser.add_argument("--reduction", choices=REDUCTIONS, help="of the rows' losses (default: mean)")
    parser.add_argument("--no-bias", action="store_true", help="layers without biases")


def read_config(args: argparse.Namespace, *, loss: str | None = None, dtype: str = "float64") -> NetConfig:
    """Return the configuration that the options describe, with another loss if one is given.

    Raises
    ------
    UsageError
        The options do not go together, or neither or both of sizes and preset are given.
    """
    if (args.sizes is None) == (args.preset is None):
        raise UsageError("give either SIZES, such as 3-4-1, or --preset NAME")
    loss = loss or args.loss or "half_squared_error"
    try:
        return NetConfig.create(
            args.sizes,
            hidden=args.hidden or "sigmoid",
            output=args.output or OUTPUT_OF_LOSS.get(loss, "sigmoid"),
            loss=loss,
            reduction=args.reduction or "mean",
            bias=not args.no_bias,
            dtype=dtype,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
