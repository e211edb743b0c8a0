"""Decoding by confidence: the formula against a plain loop, what it must do at its ends, and who chooses it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcolor
from fastcolor import ColorBins, annealed_mean
from fastcolor.network.unet import ColorUNet, UNetConfig
from fastcolor.photo.colorizer import Colorizer
from fastcolor.photo.decoding import Decoding

BINS = ColorBins.default()
GRAY = np.random.default_rng(6).integers(0, 256, (60, 100), dtype=np.uint8)


def looped(logits: np.ndarray, bins: ColorBins, decoding: Decoding) -> np.ndarray:
    """The docstring's formula, a pixel at a time, in float64."""
    out = np.empty((2, *logits.shape[1:]))
    colors = bins.colors.astype(np.float64)
    for place in np.ndindex(logits.shape[1:]):
        x = logits[(slice(None), *place)].astype(np.float64) / decoding.temperature
        p = np.exp(x - x.max())
        p /= p.sum()
        m = sum(share * color for share, color in zip(p, colors, strict=True))
        spread = sum(share * ((color - m) ** 2).sum() for share, color in zip(p, colors, strict=True))
        power = (m**2).sum()
        careful = decoding.gain * m * power / (power + decoding.doubt**2 * spread)
        out[(slice(None), *place)] = np.clip(careful, colors.min(axis=0), colors.max(axis=0))
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 3), st.floats(0, 3), st.floats(0.3, 3), st.floats(0.1, 20))
def test_formula(seed: int, temperature: float, doubt: float, gain: float, scale: float) -> None:
    logits = np.random.default_rng(seed).normal(0, scale, (BINS.n, 3, 4)).astype(np.float32)
    decoding = Decoding(temperature, doubt, gain)
    # m and the mean square are sums of 32 float32 terms of at most 0.6 and 0.4, good to 32 * 2^-24 of those; the
    # factor, at most 1, moves by three times the relative error of |m|, which |m| multiplies again.
    bound = gain * 4 * 32 * 2**-24 * (1 + doubt**2)
    assert np.abs(decoding.chroma(logits, BINS) - looped(logits, BINS, decoding)).max() < bound


def test_a_plain_decoding_is_the_annealed_mean() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (2, BINS.n, 5, 6)).astype(np.float32)
    for given_ in (logits, torch.from_numpy(logits)):
        assert np.array_equal(Decoding(0.4).chroma(given_, BINS), annealed_mean(logits, BINS, temperature=0.4))


def test_surer_is_more_vivid() -> None:
    """One bin against all others alike: as its logit grows, chroma goes from near gray to gain times its color."""
    mean, length = BINS.colors.mean(axis=0), np.linalg.norm(BINS.colors, axis=1)
    # The bin nearest in hue to the mean of all, so that the mean grows with its logit, and with room for the gain.
    chosen = int(np.where((length > 0.1) & (length < 0.25), BINS.colors @ mean / length, -1).argmax())
    logits = np.zeros((BINS.n, 1, 30), np.float32)
    logits[chosen, 0] = np.linspace(0, 30, 30)
    careful = np.linalg.norm(Decoding(1, 1.5, 1.2).chroma(logits, BINS), axis=0)[0]
    plain = np.linalg.norm(annealed_mean(logits, BINS, temperature=1), axis=0)[0]
    share = careful / plain
    assert (np.diff(share) > -1e-6).all()
    assert share[0] < 0.2
    assert careful[-1] == pytest.approx(1.2 * np.linalg.norm(BINS.colors[chosen]), rel=1e-5)
    more = np.linalg.norm(Decoding(1, 3, 1.2).chroma(logits, BINS), axis=0)[0]
    assert (more <= careful + 1e-7).all(), "more doubt, less color"


def test_direction_is_that_of_the_mean() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (BINS.n, 8, 8)).astype(np.float32)
    careful, mean = Decoding(1, 1, 1.3).chroma(logits, BINS), annealed_mean(logits, BINS, temperature=1)
    assert np.abs(careful[0] * mean[1] - careful[1] * mean[0]).max() < 1e-7


def test_mode_gray_and_nan() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (BINS.n, 2, 2)).astype(np.float32)
    mode = annealed_mean(logits, BINS, temperature=0)
    assert np.allclose(Decoding(0, 5, 1).chroma(logits, BINS), mode, atol=1e-5), "the mode is of no doubt"
    gray = ColorBins(BINS.table, np.zeros_like(BINS.colors), BINS.prior)
    assert not Decoding(1, 1, 2).chroma(logits, gray).any()
    logits[3, 0, 1] = np.nan
    assert np.array_equal(np.isnan(Decoding(1, 1).chroma(logits, BINS)[0]), [[False, True], [False, False]])


def test_gain_stays_where_colors_can_be_merged() -> None:
    logits = np.zeros((BINS.n, 1, BINS.n), np.float32)
    logits[np.arange(BINS.n), 0, np.arange(BINS.n)] = 60
    chroma = Decoding(1, 0, 10).chroma(logits, BINS)
    assert fastcolor.merge(chroma, np.full((1, BINS.n), 0.5, np.float32)).shape == (1, BINS.n, 3)
    assert np.allclose(chroma.min(axis=(1, 2)), BINS.colors.min(axis=0))


def test_half_precision_logits_have_no_rougher_spread() -> None:
    logits = np.random.default_rng(3).normal(0, 2, (BINS.n, 4, 4)).astype(np.float16)
    half = torch.from_numpy(logits).bfloat16()
    for decoding in (Decoding(0.4), Decoding(1, 1), Decoding(1, 1000, 1000)):
        for rough, exact in ((logits, logits.astype(np.float32)), (half, half.float().numpy())):
            chroma = decoding.chroma(rough, BINS)
            assert chroma.dtype == np.float32
            assert np.isfinite(chroma).all()
            assert np.array_equal(chroma, decoding.chroma(exact, BINS))


def test_doubt_is_about_the_chroma_of_yuv() -> None:
    lab = ColorBins(BINS.table, 100 * BINS.colors, BINS.prior, space="lab")
    logits = np.random.default_rng(3).normal(0, 2, (lab.n, 4, 4)).astype(np.float32)
    assert Decoding(0.4).chroma(logits, lab).shape == (2, 4, 4)
    with pytest.raises(ValueError, match="bins: expected bins of YUV with doubt or gain, got bins of lab"):
        Decoding(1, 1).chroma(logits, lab)


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        ((-1,), ValueError, "temperature: expected a finite number >= 0, got -1"),
        ((1, -0.5), ValueError, r"doubt: expected a number in \[0, 1000\], got -0.5"),
        ((1, float("inf")), ValueError, r"doubt: expected a number in \[0, 1000\], got inf"),
        ((1, 1e20), ValueError, "doubt: expected a number in"),
        ((1, 0, 1e200), ValueError, r"gain: expected a number in \[0, 1000\], got 1e\+200"),
        ((1, 0, 0), ValueError, "gain: expected a finite number > 0, got 0"),
        ((1, "much"), TypeError, "doubt: expected a number, got str"),
    ],
)
def test_bad_numbers(numbers, error, message) -> None:
    with pytest.raises(error, match=message):
        Decoding(*numbers)


def test_names_in_captions() -> None:
    assert [str(Decoding(*numbers)) for numbers in ((0.45,), (1, 0.7), (1, 1, 1.4))] == [
        "T = 0.45",
        "T = 1, doubt 0.7",
        "T = 1, doubt 1, gain 1.4",
    ]


def network(**changed: object) -> ColorUNet:
    """Untrained, but of different opinions on different pixels, and careful unless it is `changed`."""
    torch.manual_seed(0)
    shape = {"bins": BINS.n, "down": (4, 8), "up": (8,), "head": 4, "fold": 2, "size": 64}
    model = ColorUNet(UNetConfig(**{**shape, "temperature": 1.0, "doubt": 2.0, "gain": 1.5, **changed}), BINS).eval()
    torch.nn.init.normal_(model.head[-1].weight, std=20)
    return model


def test_the_models_decoding_is_kept_in_its_folder_and_a_temperature_overrides_it(tmp_path) -> None:
    model = network(mirror=True)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["doubt"], saved["gain"], saved["mirror"]) == (2.0, 1.5, True)
    own = Colorizer.load(tmp_path)
    assert (own.decoding, own.mirror) == (Decoding(1.0, 2.0, 1.5), True)
    assert Colorizer.load(tmp_path, temperature=0.7, mirror=False).decoding == Decoding(0.7)
    assert Colorizer.load("landscapes").decoding == Decoding(0.38)
    colored, plain = fastcolor.colorize(GRAY, model=model), fastcolor.colorize(GRAY, model=model, temperature=1.0)
    assert not np.array_equal(colored, plain)
    assert np.array_equal(plain, fastcolor.colorize(GRAY, model=network(doubt=0.0, gain=1.0), mirror=True))


@pytest.mark.parametrize("wrong", [{"doubt": -1.0}, {"gain": 0.0}, {"mirror": 1}])
def test_a_configuration_that_cannot_be(wrong) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        network(**wrong)


def test_mirrored_photographs_have_mirrored_colors() -> None:
    small = np.random.default_rng(4).random((1, 64, 64), dtype=np.float32)
    once, twice = (Colorizer.load(network(), mirror=mirror) for mirror in (False, True))
    there, back = twice.logits(small), twice.logits(np.ascontiguousarray(small[..., ::-1])).flip(-1)
    assert torch.allclose(there, back, atol=1e-4)
    assert not torch.allclose(once.logits(small), there, atol=0.1), "untrained weights are no mirror images"
    expected = (once.logits(small) + once.logits(np.ascontiguousarray(small[..., ::-1])).flip(-1)) / 2
    assert torch.allclose(there, expected, atol=1e-4)
    for wrong in ("yes", 1, 0.0):
        with pytest.raises(TypeError, match=f"mirror: expected True, False or None, got {wrong!r}"):
            Colorizer.load(network(), mirror=wrong)  # type: ignore[arg-type]
    assert Colorizer.load(network(), mirror=np.bool_(True)).mirror is True  # type: ignore[arg-type]


def test_a_path_is_a_folder_even_with_a_bundled_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    network().save_pretrained("everyday")
    assert Colorizer.load(Path("./everyday")).size == 64
    assert Colorizer.load("everyday").size != 64


def test_chroma_of_averaged_probabilities() -> None:
    """Logarithms of a mean of probabilities decode as that mean, of any scale."""
    work = Colorizer.load(network())
    logits = np.random.default_rng(5).normal(0, 2, (2, BINS.n, 4, 4)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mean = p.mean(axis=0)
    assert np.allclose(work.chroma(np.log(mean)), work.chroma(np.log(7 * mean)), atol=1e-6)
