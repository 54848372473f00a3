"""The command that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping

__all__ = ["spell_command", "spell_value"]

#: How options spell None, which for others means that they were not given.
NONE_WORDS = {"patience": "none", "batch_size": "all"}


def spell_command(
    words: Collection[str], options: Mapping[str, object], defaults: Mapping[str, object], leave_out: Collection[str]
) -> str:
    """Return a line for the shell: `words`, and those options that are not as by default.

    Parameters
    ----------
    words : collection of str
        The program, the command and its arguments.
    options, defaults : mapping of str to object
        Values as argparse made them, by the name of the option with underscores.
    leave_out : collection of str
        Options that do not matter to the result.
    """
    line = list(words)
    for name, value in options.items():
        if name in leave_out or value == defaults.get(name):
            continue
        for word in value if isinstance(value, list) else [value]:
            option = f"--{name.replace('_', '-')}"
            # With = even words that begin with a hyphen are values.
            line.append(option if word is True else f"{option}={spell_value(name, word)}")
    return shlex.join(line)


def spell_value(name: str, value: object) -> str:
    """Return the word that the option `name` reads as `value`."""
    if value is None or value == ():
        return NONE_WORDS.get(name, "none")
    if isinstance(value, Mapping):
        return ",".join(f"{label}={weight!r}" for label, weight in value.items())
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
