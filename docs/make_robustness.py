"""Make the table in docs/robustness.md: python docs/make_robustness.py. It counts the tests that carry a promise.

A test says what it tries by ``@pytest.mark.promise(kind, sentence)``; a sentence that several tests carry is one row.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/robustness.md"
START, END = "<!-- generated:start -->", "<!-- generated:end -->"

# In the order of the page.
KINDS = (
    "Outputs",
    "Photographs",
    "What stays",
    "Paper and tone",
    "Films",
    "Toolkit",
    "Messages",
    "Faults",
    "Hostile files",
    "Sets and training",
    "Newcomers",
)


class Promise(NamedTuple):
    """What is promised of a kind of input."""

    kind: str
    sentence: str


def main() -> None:
    counted = Counted()
    quiet = ["--collect-only", "-q", "-q", "--no-header", "-p", "no:cacheprovider"]
    status = pytest.main([*quiet, *map(str, sorted(promised()))], plugins=[counted])
    if status != pytest.ExitCode.OK:
        sys.exit(f"the tests cannot be collected (pytest status {int(status)})")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_block(text, block(counted.tests)), encoding="utf-8")


def promise_of(kind: str, sentence: str) -> Promise:
    """With a capital letter, which only names and words of the command line have in the tests."""
    return Promise(kind, sentence[:1].upper() + sentence[1:])


class Counted:
    """A plugin of pytest: the tests of each promise, as the files that they are in."""

    def __init__(self) -> None:
        self.tests: dict[Promise, list[str]] = defaultdict(list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for promise in {promise_of(*mark.args) for mark in item.iter_markers("promise")}:
                self.tests[promise].append(item.path.relative_to(ROOT).as_posix())


def promised() -> dict[Path, list[Promise]]:
    """The promises that each file of tests makes, as its text says without being run."""
    found = {path: list(_promises(path)) for path in (ROOT / "tests").rglob("test_*.py")}
    return {path: promises for path, promises in found.items() if promises}


def _promises(path: Path) -> Iterator[Promise]:
    text = path.read_text(encoding="utf-8")
    if "promise(" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.promise"):
            yield promise_of(*map(ast.literal_eval, node.args))


def with_block(text: str, generated: str) -> str:
    """`text` with what stands between the markers replaced."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{generated}\n{END}", text, flags=re.DOTALL)


def block(tests: dict[Promise, list[str]]) -> str:
    """A table a kind: the promise, the number of cases, where they are."""
    total = sum(map(len, tests.values()))
    lines = [f"{total:,} cases of {len(tests)} promises."]
    for kind in KINDS:
        lines += ["", f"### {kind}", "", "| what is promised | cases | tried in |", "|---|---:|---|"]
        for promise in (promise for promise in tests if promise.kind == kind):
            places = ", ".join(f"`{place.removeprefix('tests/')}`" for place in dict.fromkeys(tests[promise]))
            lines.append(f"| {promise.sentence} | {len(tests[promise])} | {places} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
