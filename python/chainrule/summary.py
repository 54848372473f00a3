"""What a net is, as a table that people read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .config import NetConfig

__all__ = ["summarize"]

HEADER = ("layer", "inputs", "units", "activation", "parameters", "")


def summarize(config: NetConfig, frozen: Collection[int]) -> str:
    """Return a line per layer of weights, and one on the net.

    Parameters
    ----------
    config : NetConfig
    frozen : collection of int
        Layers whose parameters training leaves alone.
    """
    rows = [_row(config, layer, layer in frozen) for layer in range(len(config.activations))]
    size = config.parameter_count * (4 if config.dtype == "float32" else 8)
    trained = sum(_parameters(config, layer) for layer in range(len(rows)) if layer not in frozen)
    notes = [f"loss {config.loss}, {config.reduction} over rows", config.dtype]
    notes += [] if config.bias else ["no biases"]
    notes += [f"input noise {config.input_noise:g}"] if config.input_noise else []
    return "\n".join(
        [
            *_aligned([HEADER, *rows]),
            f"{config.parameter_count} parameters, {trained} trained, {_bytes(size)}",
            "; ".join(notes),
        ]
    )


def _row(config: NetConfig, layer: int, frozen: bool) -> tuple[str, ...]:
    fan_in, fan_out = config.layer_shapes[layer]
    notes = ["frozen"] if frozen else []
    if layer < len(config.dropout) and config.dropout[layer]:
        notes.append(f"dropout {config.dropout[layer]:g}")
    kind = "output" if layer == len(config.activations) - 1 else f"hidden {layer + 1}"
    return (
        kind,
        str(fan_in),
        str(fan_out),
        config.activations[layer],
        str(_parameters(config, layer)),
        ", ".join(notes),
    )


def _parameters(config: NetConfig, layer: int) -> int:
    fan_in, fan_out = config.layer_shapes[layer]
    return fan_in * fan_out + (fan_out if config.bias else 0)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = (False, True, True, False, True, False)
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    ]


def _bytes(size: int) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size //= 1024
    return f"{size} {unit}"
