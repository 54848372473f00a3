"""Readers of option values: each turns a word of the command line into a value, or says what is wrong."""

from __future__ import annotations

import argparse
import math
from typing import Literal, TypeAlias

from ..config import HIDDEN_ACTIVATIONS
from ..losses import LOSSES, Loss, read_loss

__all__ = [
    "LOSS_NAMES",
    "ClassWeight",
    "activations",
    "batch_size",
    "class_weight",
    "count",
    "fraction",
    "fractions",
    "hidden_sizes",
    "layer_sizes",
    "loss",
    "non_negative",
    "patience",
    "positive",
    "seed",
]

#: Weights of classes by their labels.
ClassWeight: TypeAlias = Literal["balanced"] | dict[str, float]

#: For help: the names, and how constants are written.
LOSS_NAMES = f"{', '.join(LOSSES)}; with constants, 'huber(0.5)'"


def count(word: str) -> int:
    """Read a whole number of at least 1."""
    return _whole(word, 1)


def seed(word: str) -> int:
    """Read a whole number of at least 0, of 64 bits."""
    return _whole(word, 0, 2**64 - 1)


def positive(word: str) -> float:
    """Read a finite number above 0."""
    number = non_negative(word)
    if number == 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def non_negative(word: str) -> float:
    """Read a finite number of at least 0."""
    number = _number(word)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {word}")
    return number


def fraction(word: str) -> float:
    """Read a number in [0, 1)."""
    number = _number(word)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {word}")
    return number


def fractions(word: str) -> tuple[float, ...]:
    """Read numbers in [0, 1), such as ``0.2`` or ``0.2,0.1``."""
    return tuple(map(fraction, word.split(",")))


def batch_size(word: str) -> int | None:
    """Read a whole number of at least 1, or ``all``, which is None."""
    return None if word == "all" else count(word)


def patience(word: str) -> int | None:
    """Read a whole number of at least 1, or ``none``."""
    return None if word == "none" else count(word)


def activations(word: str) -> tuple[str, ...]:
    """Read names of activations of hidden layers, such as ``relu`` or ``relu,tanh``."""
    names = tuple(word.split(","))
    for name in names:
        if name not in HIDDEN_ACTIVATIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is no activation; choose from {', '.join(HIDDEN_ACTIVATIONS)}")
    return names


def class_weight(word: str) -> ClassWeight:
    """Read ``balanced``, or weights of labels such as ``yes=10,no=1``."""
    if word == "balanced":
        return "balanced"
    pairs = [pair.rpartition("=") for pair in word.split(",")]
    if not all(label for label, _, _ in pairs):
        raise argparse.ArgumentTypeError(f"must be balanced, or weights such as yes=10,no=1; got {word!r}")
    return {label: non_negative(weight) for label, _, weight in pairs}


def hidden_sizes(word: str) -> tuple[int, ...]:
    """Read sizes of hidden layers such as ``64,32``, or ``none``."""
    return () if word == "none" else tuple(_whole(size, 1) for size in word.split(","))


def layer_sizes(word: str) -> tuple[int, ...]:
    """Read sizes of all layers such as ``3-4-1``."""
    sizes = tuple(_whole(size, 1) for size in word.split("-"))
    if len(sizes) < 2:
        raise argparse.ArgumentTypeError(f"needs at least inputs and outputs, such as 3-4-1; got {word!r}")
    return sizes


def loss(word: str) -> Loss:
    """Read a loss by name, or by name with constants such as ``huber(0.5)``."""
    try:
        return read_loss(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _whole(word: str, minimum: int, most: int = 2**63 - 1) -> int:
    try:
        number = int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number") from None
    if number < minimum:
        raise argparse.ArgumentTypeError(f"must be at least {minimum}, got {word}")
    if number > most:
        raise argparse.ArgumentTypeError(f"must be at most {most}, got {word}")
    return number


def _number(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be finite, got {word}")
    return number
