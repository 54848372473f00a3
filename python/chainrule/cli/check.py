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
from .outputs import to_json

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
  chainrule check 64-100-10 --loss cross_entropy --threads 2 --json
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
    parser.add_argument("--threads", type=count, metavar="N", help="of the C++ core (default: by the size of the work)")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Check and print every error beside its limit."""
    from ..gradcheck import check_gradients
    from ..net import Net
    from ..reference import Net as ReferenceNet

    config = read_config(args, dtype=args.dtype)
    net, reference = _build(Net, config, args.seed, threads=args.threads), _build(ReferenceNet, config, args.seed)
    # With random biases too, for a relu has no derivative at exactly 0, where zero biases may put it.
    net.parameters[...] = np.random.default_rng(args.seed).normal(scale=0.5, size=net.parameters.size)
    reference.parameters[...] = net.parameters
    X, Y = random_rows(config, args.rows, np.random.default_rng(args.seed))
    errors = {"gradients against central differences": check_gradients(net, X, Y)}
    outputs = [each.forward(X) for each in (net, reference)]
    losses = [np.array(each.backward(Y)) for each in (net, reference)]
    errors["outputs against the reference"] = _relative_error(*outputs)
    errors["loss against the reference"] = _relative_error(*losses)
    errors["gradients against the reference"] = _relative_error(net.gradients, reference.gradients)
    checks = [
        {"check": name, "error": error, "limit": limit, "passed": error <= limit}
        for name, error in errors.items()
        for limit in [(DIFFERENCE_LIMIT if "differences" in name else REFERENCE_LIMIT)[config.dtype]]
    ]
    _report(config, checks, json=args.json)
    return DONE if all(check["passed"] for check in checks) else FAILED


def _build(net_class: Any, config: NetConfig, seed: int, **options: Any) -> Any:
    return net_class(
        config.sizes,
        hidden=config.activations[:-1],
        output=config.activations[-1],
        loss=config.loss,
        reduction=config.reduction,
        bias=config.bias,
        dtype=config.dtype,
        seed=seed,
        **options,
    )


def _relative_error(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference, relative to the largest expected number."""
    scale = max(float(np.max(np.abs(expected))), float(np.finfo(expected.dtype).tiny))
    return float(np.max(np.abs(given - expected))) / scale


def _report(config: NetConfig, checks: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        network = {"sizes": config.sizes, "activations": config.activations, "loss": str(config.loss)}
        print(to_json(network | {"dtype": config.dtype, "checks": checks}))
        return
    sizes = "-".join(map(str, config.sizes))
    print(f"network: {sizes}, {config.loss}, {config.parameter_count} parameters, {config.dtype}")
    for check in checks:
        verdict = "pass" if check["passed"] else "FAIL"
        print(f"{verdict}  {check['check']}: {check['error']:.2e} (limit {check['limit']:.0e})")
