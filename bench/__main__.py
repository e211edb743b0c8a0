"""Command line: ``python -m bench [suite ...]`` measures, ``python -m bench report`` writes the report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .cases import MALLOC, Setting
from .measure import machine
from .suites.registry import SUITES, of


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 if fastcolor gave a wrong answer or a suite failed, 2 for wrong usage or a missing device."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["report"]:
        return _report(words[1:])
    if words[:1] == ["sass"]:
        from .sass import rules

        return rules.main(words[1:])
    if words[:1] == ["gpu-day"]:
        from .gpu_day import main as gpu_day

        return gpu_day.main(words[1:])
    from . import runner  # which imports fastcolor: a bare checkout has none before its gpu-day

    parser = _parser()
    args = parser.parse_args(words)
    once = args.quick or args.device != "cpu"
    here = of(args.device)
    if args.device != "cpu" and (args.threads or args.malloc or not set(args.suites) <= set(here)):
        others = ", ".join(name for name in SUITES if name not in here)
        parser.error(f"--device {args.device}: expected no --threads, --malloc, {others}, which are for the CPU")
    if args.python and "startup" in args.suites:
        parser.error("--python: expected no startup, which starts processes of this environment and this tree")
    try:
        settings = [
            Setting(threads, malloc, args.quick, args.device, args.without, args.budget)
            for malloc in args.malloc or (["default"] if once else MALLOC)
            for threads in args.threads or ([1] if once else [1, 2])
        ]
        suites = args.suites or [name for name in here if not (args.python and name == "startup")]
        path, right = runner.run(suites, settings, args.out, _public(words), args.python or sys.executable)
    except runner.DeviceMissingError as error:
        print(f"bench: error: {error}; nothing was measured or written", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; what had been measured lies under a name that ends in .part.json", file=sys.stderr)
        return 130
    print(f"\nwrote {path}" + ("" if right else "; fastcolor gave a WRONG answer, or a worker failed: see above"))
    return 0 if right else 1


def _parser() -> argparse.ArgumentParser:
    suites = "\n".join(f"  {name:18} {suite.text}" for name, suite in SUITES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Every operation against its peers, checked against fastcolor.reference before it is timed.",
        epilog=f"suites:\n{suites}\n\n`python -m bench report` writes bench/report and the table of the README; "
        "`sass` checks machine code, `gpu-day` is for the first minutes on a GPU: both have --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="suite", type=_choice("suite", list(SUITES)), help="default: all")
    parser.add_argument("--quick", action="store_true", help="small images, few rounds: does it work")
    parser.add_argument("--threads", type=_integers, metavar="1,2", help="default: 1,2; quick: 1")
    parser.add_argument("--malloc", type=_mallocs, metavar="default,tuned", help="default: both; quick: default")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    parser.add_argument("--without", default="", metavar="PATTERN", help="leave out candidates whose name contains it")
    budget = "begin no case after that, and have torch compile for the main cases alone"
    parser.add_argument("--budget", type=float, default=0.0, metavar="SECONDS", help=budget)
    other = "of another environment, whose fastcolor is measured (FASTCOLOR_COMMIT names it)"
    parser.add_argument("--python", type=_place, help=other)
    parser.add_argument("--out", type=Path, help="default: bench/results/<suites>--<machine>--<device>.json")
    return parser


def _public(words: Sequence[str]) -> list[str]:
    """The command as others can repeat it: not where the file was written to, nor where another Python lies."""
    kept, before = [], ""
    for word in words:
        option, equals, _ = word.partition("=")
        if before == "--python":
            kept.append("OTHER")
        elif "--out" not in (option, before):
            kept.append("--python=OTHER" if option == "--python" and equals else word)
        before = word if before not in ("--out", "--python") else ""
    return kept


def _place(program: str) -> str:
    """A program by its absolute path, for whoever runs it elsewhere; links stay, by which Python finds its packages."""
    return os.path.abspath(program) if os.sep in program else program


def _choice(what: str, allowed: list[str]) -> Callable[[str], str]:
    def convert(word: str) -> str:
        if word not in allowed:
            raise argparse.ArgumentTypeError(f"{what}: expected one of {', '.join(allowed)}, got {word!r}")
        return word

    return convert


def _integers(text: str) -> list[int]:
    values = [int(word) for word in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"threads: expected positive integers, got {text!r}")
    return values


def _mallocs(text: str) -> list[str]:
    return [_choice("malloc", list(MALLOC))(word) for word in text.split(",")]


def _report(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench report", description="Report, chart and README table.")
    of_files = "whose report is printed, and nothing written; default: every finished run in bench/results"
    parser.add_argument("files", nargs="*", type=Path, help=of_files)
    args = parser.parse_args(words)
    from .publish import report, schema

    kept = sorted((machine.ROOT / "bench/results").glob("*.json"))
    files = args.files or [path for path in kept if not path.name.endswith(".part.json")]
    documents = []
    for path in files:
        try:
            documents.append(schema.read(path))
        except (OSError, ValueError) as error:  # absent, or cut
            print(f"bench: error: {path}: {str(error).removeprefix(f'{path}: ')}", file=sys.stderr)
            return 1
    if args.files:
        print(report.report(documents, files), end="")
        return 0
    if not files:
        print("bench: error: no JSON file in bench/results; `python -m bench` writes one", file=sys.stderr)
        return 1
    try:
        written = report.write(files)
    except ModuleNotFoundError as error:
        print(f"bench: error: the chart needs {error.name}; pip install 'fastcolor[bench]'", file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
