"""docs/dropin.md: its program runs, and leads where it says."""

from __future__ import annotations

import numpy as np
from paths import ROOT

from tests.dropin import page


def test_the_program_of_the_page_runs() -> None:
    names = page.program()
    assert names.rgb.shape == (2, 64, 64, 3)
    assert names.rgb.dtype == names.torch.uint8
    assert names.logits.grad.isfinite().all()
    assert float(names.logits.grad.abs().max()) > 0
    assert (names.bins.prior > 0).all()
    assert np.isclose(names.bins.prior.sum(), 1)


def test_nothing_is_left_in_the_checkout() -> None:
    page.program()
    assert not list(ROOT.glob("*.npy"))
