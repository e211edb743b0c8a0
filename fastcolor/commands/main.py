"""``fastcolor <command>``: a module a command in ``fastcolor.commands``, loaded when it runs or shows its help."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise

from ..files.atomic import remove_leftovers
from .signals import STOPPED, stopping, told, undisturbed
from .telling import telling
from .terminal import patient_terminal, quiet_libraries, said

# Command -> (one line of help). The module fastcolor.commands.<command> has add_arguments(parser) and run(args) -> int;
# "-" in a command is "_" in the module's name.
COMMANDS = {
    "colorize": "colorize grayscale photographs",
    "demo": "colorize a person, an animal and a landscape into one picture",
    "video": "colorize a grayscale film",
    "fit": "fit color bins on a folder of photographs",
    "prepare": "make a training set of photographs",
    "train": "train a ColorUNet",
    "average": "average the weights of networks that were trained from the same start",
    "evaluate": "measure a network on color photographs",
    "evaluate-video": "measure flicker and quality on a color film",
    "doctor": "show versions, backends and what is missing",
}

INTERRUPTED, TERMINATED = (STOPPED + number for number in (signal.SIGINT, signal.SIGTERM))

_EPILOG = f"""
Exit status: 0 all is done; 1 an error, a value out of its range, or something that was asked for was left out;
2 wrong usage: unknown or missing arguments, a word where a number is expected;
{INTERRUPTED} stopped by Ctrl-C, {TERMINATED} by SIGTERM, 129 by a terminal that was closed.
However a command ends, no file is half-written under its final name, and no file that was read is replaced.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, which ``fastcolor --help`` lists."""
    words = list(sys.argv[1:] if argv is None else argv)
    with patient_terminal(), quiet_libraries(), stopping():
        try:
            args = _parser(words[0] if words else "").parse_args(words)
            _check_words(words)
            with telling():
                status = int(args.run(args))
            sys.stdout.flush()
            return status
        except KeyboardInterrupt as stop:
            with undisturbed():
                remove_leftovers()
                why, status = told(stop)
                print(f"fastcolor: {why}", file=sys.stderr)
            return status
        except (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError) as error:
            # Errors of the package name the argument or file and the next step: a traceback would only hide that.
            print(f"fastcolor: error: {said(error)}", file=sys.stderr)
            return 1


def _check_words(words: Sequence[str]) -> None:
    """ValueError for an empty one: as a path, it would be the current folder."""
    for before, word in pairwise(["", *words]):
        option, given, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if given and not value:
            name = option if option.startswith("-") else "INPUT"
            raise ValueError(f"{name}: expected a path, got an empty one")


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser; only the chosen command's own arguments are filled in."""
    from .. import __version__

    parser = argparse.ArgumentParser(
        prog="fastcolor",
        description="Colorization as classification.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastcolor {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == command:
            module = import_module(f"fastcolor.commands.{name.replace('-', '_')}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser
