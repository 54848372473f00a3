"""Options that describe a network, shared by ``derive`` and ``check``."""

from __future__ import annotations

import argparse

from ..config import ACTIVATIONS, HIDDEN_ACTIVATIONS, OUTPUT_OF_LOSS, REDUCTIONS, NetConfig
from ..losses import Loss
from ..presets import PRESETS
from .errors import UsageError
from .options import LOSS_NAMES, layer_sizes, loss

__all__ = ["add_net_options", "read_config"]

#: What holds where neither an option nor a preset says otherwise; its sizes are never used.
DEFAULT = NetConfig.create([1, 1, 1])


def add_net_options(parser: argparse.ArgumentParser) -> None:
    """Declare sizes, activations, loss, reduction and bias, as `chainrule.Net` has them."""
    add = parser.add_argument
    preset_help = f"a net of the source documents, where no option says otherwise: {', '.join(PRESETS)}"
    add("sizes", nargs="?", type=layer_sizes, metavar="SIZES", help="units per layer, inputs first, such as 3-4-1")
    add("--preset", choices=list(PRESETS), metavar="NAME", help=preset_help)
    add("--hidden", choices=HIDDEN_ACTIVATIONS, help="activation of the hidden layers (default: sigmoid)")
    add("--output", choices=ACTIVATIONS, help="output activation (default: what the loss needs, else sigmoid)")
    add("--loss", type=loss, metavar="LOSS", help=f"{LOSS_NAMES} (default: half_squared_error)")
    add("--reduction", choices=REDUCTIONS, help="of the rows' losses (default: mean)")
    add("--no-bias", action="store_true", help="layers without biases")


def read_config(args: argparse.Namespace, *, loss: Loss | None = None, dtype: str = "float64") -> NetConfig:
    """Return the configuration that the options describe, with another loss if one is given.

    Raises
    ------
    UsageError
        Neither sizes nor a preset is given, or the options do not go together.
    """
    if args.sizes is None and args.preset is None:
        raise UsageError("give SIZES, such as 3-4-1, or --preset NAME")
    base = PRESETS[args.preset].config() if args.preset else DEFAULT
    chosen: Loss = loss or args.loss or base.loss
    try:
        return NetConfig.create(
            args.sizes or base.sizes,
            hidden=args.hidden or base.activations[0],
            output=args.output or OUTPUT_OF_LOSS.get(chosen.name, base.activations[-1]),
            loss=chosen,
            reduction=args.reduction or base.reduction,
            bias=base.bias and not args.no_bias,
            dtype=dtype,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
