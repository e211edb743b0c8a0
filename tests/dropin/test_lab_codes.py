"""The page's table of Lab codes: on a sample of colors the shares of wrong labels are those that it tells of all."""

from __future__ import annotations

import re

import numpy as np
import pytest
from paths import ROOT

from tests.dropin import inputs, lab_codes

ROW = re.compile(r"^\| (.+) \| ([\d,]+) \| [\d.e-]+ % \|$", re.M)


@pytest.fixture(scope="module")
def told() -> dict[str, int]:
    """Wrong labels among all 2^24 colors, as the page says."""
    text = (ROOT / "docs/dropin.md").read_text(encoding="utf-8")
    return {name: int(count.replace(",", "")) for name, count in ROW.findall(text)}


def test_the_table_has_every_code(told: dict[str, int]) -> None:
    assert list(told) == ["fastcolor", *lab_codes.CODES]


def test_a_sample_agrees_with_the_table(told: dict[str, int]) -> None:
    """Colors at random: a count within five standard deviations of what the table promises."""
    colors = np.random.default_rng(1).integers(0, 256, (1 << 18, 3), dtype=np.uint8)
    for name, count in lab_codes.wrong(colors):
        expected = told[name] * len(colors) / 2**24
        assert abs(count - expected) <= 5 * np.sqrt(expected) + 1, name


def test_ours_and_float64_are_exact_on_the_cube() -> None:
    found = dict(lab_codes.wrong(inputs.colors()))
    assert [count for name, count in found.items() if name == "fastcolor" or "float64" in name] == [0, 0]
