"""docs/robustness.md says what the tests promise, and nothing else."""

from __future__ import annotations

import re
from collections import defaultdict
from types import ModuleType

import pytest
from paths import ROOT, script


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """docs/make_robustness.py as a module."""
    return script(ROOT / "docs/make_robustness.py")


def test_page_has_every_promise_and_no_other(page: ModuleType) -> None:
    rows = set(re.findall(r"^\| (.+?) \| \d+ \| `", page.PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    told = {promise.sentence for promises in page.promised().values() for promise in promises}
    assert rows == told, f"run docs/make_robustness.py; {sorted(rows ^ told)}"


def test_promises_are_of_known_kinds(page: ModuleType) -> None:
    kinds = {promise.kind for promises in page.promised().values() for promise in promises}
    assert kinds == set(page.KINDS)


def test_block_counts_tests(page: ModuleType) -> None:
    promise = page.Promise("Outputs", "Nothing is lost.")
    tests = defaultdict(list, {promise: ["tests/a.py", "tests/b.py", "tests/a.py"]})
    assert "| Nothing is lost. | 3 | `a.py`, `b.py` |" in page.block(tests)
    assert page.block(tests).startswith("3 cases of 1 promises.")
