"""The hooks before a commit run the tools of `make check`, in the versions of development."""

from __future__ import annotations

import re

from paths import ROOT


def pinned(name: str) -> set[str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return set(re.findall(rf"^{name}==(\S+)$", text, re.MULTILINE))


def test_hooks_have_the_pinned_ruff_and_a_target_that_exists() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"ruff==([^\"]+)", hooks)) == pinned("ruff") != set()
    (target,) = re.findall(r"entry: make (\S+)", hooks)
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
