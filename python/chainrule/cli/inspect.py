"""``chainrule inspect``: what a model file holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import load_with_metadata
from ..tables import Categories, TableEncoder
from ..tables.table import counted, listed
from .exit_codes import DONE
from .outputs import to_json
from .predict import read_encoder

if TYPE_CHECKING:
    from ..net import Net

__all__ = ["DESCRIPTION", "EXAMPLES", "USAGE", "add_arguments", "run"]

USAGE = "%(prog)s MODEL [options]"
DESCRIPTION = """\
Show what a model file holds: the network, how long it has been trained and by which rule and,
where 'chainrule train' saved it, the columns it predicts from. The file is checked as a whole.
"""
EXAMPLES = """\
examples:
  chainrule inspect penguins.safetensors
  chainrule inspect penguins.safetensors --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``chainrule inspect``."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model file of 'chainrule train' or of Net.save")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")


def run(args: argparse.Namespace) -> int:
    """Read the model and print what it is."""
    net, metadata = load_with_metadata(args.model)
    encoder = read_encoder(args.model, metadata) if "table" in metadata else None
    facts = _describe(args.model, net, encoder, sorted(metadata.keys() - {"chainrule", "table"}))
    print(to_json(facts) if args.json else "\n".join(_lines(facts)))
    return DONE


def _describe(path: Path, net: Net, encoder: TableEncoder | None, other_entries: list[str]) -> dict[str, Any]:
    config = net.config
    rule, steps, _ = net._core.read_optimizer_state()
    return {
        "model": str(path),
        "bytes": path.stat().st_size if path.is_file() else None,  # a pipe has no size
        "sizes": config.sizes,
        "activations": config.activations,
        "loss": str(config.loss),
        "reduction": config.reduction,
        "bias": config.bias,
        "parameters": config.parameter_count,
        "dtype": config.dtype,
        "dropout": config.dropout,
        "input_noise": config.input_noise,
        "frozen_layers": net.frozen,
        "epochs_trained": net.epochs_trained,
        "optimizer": rule if steps else None,
        "steps": steps,
        "seed": net.seed,
        "table": None if encoder is None else _describe_table(encoder),
        "other_entries": other_entries,
    }


def _describe_table(encoder: TableEncoder) -> dict[str, Any]:
    target = encoder.target
    return {
        "task": encoder.task,
        "target": target.name,
        "classes": target.labels if isinstance(target, Categories) else None,
        "features": [column.name for column in encoder.features],
        "inputs": encoder.feature_names,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """Return the same for the eyes, without what is as usual."""
    rows = {
        "model": facts["model"] + ("" if facts["bytes"] is None else f", {facts['bytes']} bytes"),
        "network": f"{'-'.join(map(str, facts['sizes']))}, {', '.join(facts['activations'])}",
        "loss": f"{facts['loss']}, {facts['reduction']} over rows",
        "parameters": f"{facts['parameters']}, {facts['dtype']}" + ("" if facts["bias"] else ", no biases"),
        "trained": f"{counted(facts['epochs_trained'], 'epoch')}, {_describe_steps(facts)}, seed {facts['seed']}",
    }
    if any(facts["dropout"]):
        rows["dropout"] = ", ".join(f"{share:g}" for share in facts["dropout"])
    if facts["input_noise"]:
        rows["input noise"] = f"{facts['input_noise']:g}"
    if facts["frozen_layers"]:
        rows["frozen layers"] = ", ".join(map(str, facts["frozen_layers"]))
    if table := facts["table"]:
        classes = "" if table["classes"] is None else f": {listed(table['classes'])}"
        rows["target"] = f"{table['target']!r}, {table['task']}{classes}"
        rows["features"] = f"{listed(table['features'])}; {counted(len(table['inputs']), 'input')}"
    if facts["other_entries"]:
        rows["other entries"] = listed(facts["other_entries"])
    return [f"{label}: {value}" for label, value in rows.items()]


def _describe_steps(facts: dict[str, Any]) -> str:
    if facts["optimizer"] is None:
        return "no steps"
    return f"{counted(facts['steps'], 'step')} of {facts['optimizer']}"
