"""What is derived from bins is kept by content, class and purpose, up to a bound; never for bins that may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies as make
from fastcolor.kernels.common import kept

import fastcolor
from fastcolor.arrays.bins_key import from_key, key_of


def bins_of(seed: int) -> fastcolor.ColorBins:
    drawn = make.make_bins(np.random.default_rng(seed), 8, 5)
    return fastcolor.ColorBins(drawn.table, drawn.colors, drawn.prior)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_values", {})


def test_equal_bins_share_what_is_kept_and_nothing_else_does() -> None:
    class Other(fastcolor.ColorBins):
        pass

    first, same, different = bins_of(1), bins_of(1), bins_of(2)
    other = Other(first.table, first.colors, first.prior)
    made = [kept.kept(bins, what, object) for bins in (first, same, different, other) for what in ("a", "b")]
    assert made[:2] == made[2:4]
    assert len(set(map(id, made))) == 6


def test_bins_that_may_change_are_derived_anew() -> None:
    drawn: Any = make.make_bins(np.random.default_rng(1), 8, 5)
    assert kept.kept(drawn, "a", object) is not kept.kept(drawn, "a", object)


def test_the_oldest_make_room_and_only_when_there_is_none_left() -> None:
    bins = bins_of(1)
    made = [kept.kept(bins, number, object) for number in range(kept.MOST)]
    assert [kept.kept(bins, number, object) for number in range(kept.MOST)] == made
    kept.kept(bins, "one more", object)
    assert len(kept._values) == kept.MOST
    assert kept.kept(bins, 1, object) is made[1]
    assert kept.kept(bins, 0, object) is not made[0]


def test_other_bins_and_other_weights_give_other_answers() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for seed in (1, 2, 1):
        for lam in (0.2, 1.0, 0.2):
            mine, truth = (f(photo, bins_of(seed), lam=lam) for f in (fastcolor.encode, fastcolor.reference.encode))
            np.testing.assert_array_equal(mine[1], truth[1])
            np.testing.assert_allclose(mine[2], truth[2], rtol=1e-6)


def test_a_compiled_program_s_bins_are_known_by_their_text() -> None:
    mine, drawn = from_key(key_of(bins_of(1))), make.make_bins(np.random.default_rng(1), 8, 5)
    assert kept.kept(mine, "a", object) is kept.kept(mine, "a", object)
    assert kept.kept(mine, "a", object) is not kept.kept(from_key(key_of(bins_of(2))), "a", object)
    assert from_key(key_of(drawn)) is mine
    assert not hasattr(drawn, "_key")
    assert not any(getattr(mine, name).flags.writeable for name in ("table", "colors", "prior"))
