"""``chainrule check``: the gradients of a network against finite differences and the reference."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import DTYPES, NetConfig
from ..random_rows import random_rows
from .exit_codes import DONE, FAILED
from .net_options import add_net_options, read_config
from .options import count, seed

USAGE = "%(prog)s SIZES [options]"
DESCRIPTION = """\
Check the C++ core on a network with random weights and random rows: its gradients against central
differences of its loss, and its outputs, loss and gradients against the NumPy reference.
"""
EXAMPLES = """\
examples:
  chainrule check 3-4-1
  chainrule check 16-32-10 --hidden tanh --loss cross_entropy --rows 100
  chainrule check 3-4-1 --dtype float32
"""
#: Largest relative errors that pass: of central differences, and between core and reference.
DIFFERENCE_LIMIT = {"float64": 1e-7, "float32": 1e-2}
REFERENCE_LIMIT = {"float64": 1e-12, "float32": 1e-4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule check``."""
    add_net_options(parser)
    parser.add_argument("--dtype", choices=DTYPES, default="float64", help="(default: %(default)s)")
    parser.add_argument("--rows", type=count, default=20, metavar="N", help="random rows (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="of weights and rows (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Check and print every error beside its limit."""
    from ..gradcheck import check_gradients
    from ..net import Net
    from ..reference import Net as ReferenceNet

    config = read_config(args, dtype=args.dtype)
    nets = [_build(net_class, config, args.seed) for net_class in (Net, ReferenceNet)]
    net, reference = nets
    # With random biases too, for a relu has no derivative at exactly 0, where zero biases may put it.
    net.parameters[...] = np.random.default_rng(args.seed).normal(scale=0.5, size=net.parameters.size)
    reference.parameters[...] = net.parameters
    X, Y = random_rows(config, args.rows, np.random.default_rng(args.seed))
    errors = {"gradients against central differences": check_gradients(net, X, Y)}
    outputs = [each.forward(X) for each in nets]
    losses = [np.array(each.backward(Y)) for each in nets]
    errors["outputs against the reference"] = _relative_error(*outputs)
    errors["loss against the reference"] = _relative_error(*losses)
    errors["gradients against the reference"] = _relative_error(net.gradients, reference.gradients)
    return _report(config, errors)


def _build(net_class: Any, config: NetConfig, seed: int) -> Any:
    return net_class(
        config.sizes,
        hidden=config.activations[:-1],
        output=config.activations[-1],
        loss=config.loss,
        reduction=config.reduction,
        bias=config.bias,
        dtype=config.dtype,
        seed=seed,
    )


def _relative_error(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference, relative to the largest expected number."""
    scale = max(float(np.max(np.abs(expected))), float(np.finfo(expected.dtype).tiny))
    return float(np.max(np.abs(given - expected))) / scale


def _report(config: NetConfig, errors: dict[str, float]) -> int:
    passed = True
    sizes = "-".join(map(str, config.sizes))
    print(f"network: {sizes}, {config.loss}, {config.parameter_count} parameters, {config.dtype}")
    for name, error in errors.items():
        limits = DIFFERENCE_LIMIT if "differences" in name else REFERENCE_LIMIT
        good = error <= limits[config.dtype]
        passed = passed and good
        print(f"{'pass' if good else 'FAIL'}  {name}: {error:.2e} (limit {limits[config.dtype]:.0e})")
    return DONE if passed else FAILED
