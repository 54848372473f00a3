"""Chooses the command, and turns every outcome into an exit code and at most one line of error.

A failure prints one line on stderr and never a traceback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from .errors import Interrupted, UsageError
from .exit_codes import DONE, FAILED, INTERRUPTED, WRONG_USAGE
from .outputs import flush_output, write_any_name

__all__ = ["main"]

#: Every command and its one-line help; each is the module of the same name beside this one.
COMMANDS = {
    "train": "train a network on a table of data and save it",
    "predict": "predict with a network that 'train' saved",
    "inspect": "show what a model file holds",
    "derive": "print the update rule of a network, symbol by symbol",
    "check": "check the gradients of a network numerically",
    "export": "write a network as an ONNX model or as a file of C",
    "bench": "measure the speed of the C++ core against NumPy and others",
}


class Command(Protocol):
    """What a module of a command offers."""

    USAGE: str
    DESCRIPTION: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if sys.stderr is None:  # closed; what is printed there would go to standard output
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    write_any_name()
    try:
        code = _run_to_exit(argv)
        flush_output()  # which may be the first to meet a full disk, or a reader that has left
        return code
    except KeyboardInterrupt as error:
        code = error.code if isinstance(error, Interrupted) else INTERRUPTED
        return _fail(_with_notes("interrupted", error), code)
    except BrokenPipeError as error:
        return _fail(_with_notes("standard output was closed before all was written", error))
    except (ValueError, TypeError, ArithmeticError, MemoryError, OSError, ImportError) as error:
        return _fail(_with_notes(_describe(error), error))
    except Exception as error:
        return _fail(_with_notes(f"unexpected {type(error).__name__}: {error}; please report this", error))


def _run_to_exit(argv: Sequence[str]) -> int:
    try:
        return _run(argv)
    except SystemExit as exit:  # argparse's way out of --help and of wrong usage
        return exit.code if isinstance(exit.code, int) else FAILED


def _run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="chainrule", description="Train and run multilayer perceptrons on the CPU.", allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        # Only the chosen command is imported, so that none pays for another's dependencies.
        command = _load(name) if name == chosen else None
        subparser = commands.add_parser(
            name,
            help=summary,
            usage=command.USAGE if command else None,
            description=command.DESCRIPTION if command else summary,
            epilog=command.EXAMPLES if command else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if command:
            command.add_arguments(subparser)
            subparser.set_defaults(run=command.run, error=subparser.error)
    args = parser.parse_args(argv)
    if args.version:
        from .. import __version__

        print(f"chainrule {__version__}")
        return DONE
    if args.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    try:
        return cast(int, args.run(args))
    except UsageError as error:
        args.error(str(error))
        raise AssertionError("argparse's error() exits") from None


def _load(name: str) -> Command:
    return cast(Command, importlib.import_module(f".{name}", __package__))


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _with_notes(message: str, error: BaseException) -> str:
    """Return the message with what the command has noted of the error, such as where a trained network is."""
    return "; ".join([message, *getattr(error, "__notes__", [])])


def _fail(message: str, code: int = FAILED) -> int:
    print(f"chainrule: error: {message}", file=sys.stderr)
    try:
        flush_output()
    except OSError:
        # Python would try again, and complain, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
