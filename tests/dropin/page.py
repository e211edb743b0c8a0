"""The Python of docs/dropin.md: its blocks are one program, whose functions the tests hold to the restatements."""

from __future__ import annotations

import os
import re
import tempfile
from functools import cache
from types import SimpleNamespace

from paths import ROOT

PAGE = ROOT / "docs/dropin.md"


def blocks() -> list[str]:
    """The page's blocks of Python, in order."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.M | re.S)


@cache
def program() -> SimpleNamespace:
    """What the blocks define, run one after the other in a folder of their own, for they write files."""
    names: dict[str, object] = {}
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for number, code in enumerate(blocks()):
                exec(compile(code, f"{PAGE.name}, block {number}", "exec"), names)
        finally:
            os.chdir(here)
    return SimpleNamespace(**names)
