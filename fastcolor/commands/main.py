"""``fastcolor <command>``: a module a command in ``fastcolor.commands``, loaded when it runs or shows its help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from .telling import telling

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

INTERRUPTED = 130  # what a shell reports after Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = _parser(words[0] if words else "").parse_args(words)
    try:
        with telling():
            return int(args.run(args))
    except KeyboardInterrupt:
        print("fastcolor: interrupted; nothing half-written is left", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        # Errors of the package name the argument or file and the next step: a traceback would only hide that.
        print(f"fastcolor: error: {error}", file=sys.stderr)
        return 1


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser; only the chosen command's own arguments are filled in."""
    from .. import __version__

    parser = argparse.ArgumentParser(prog="fastcolor", description="Colorization as classification.")
    parser.add_argument("--version", action="version", version=f"fastcolor {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == command:
            module = import_module(f"fastcolor.commands.{name.replace('-', '_')}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser
