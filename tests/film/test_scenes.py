"""Scene cuts on a made film: known cuts, pans, zooms, flashes, fades and grain."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fastcolor.film.scenes import CutDetector
from fastcolor.film.steady import SteadySmoother
from fastcolor.film.video import _Smoothed, _steady

SCENES = 45
WIDTH, HEIGHT = 160, 120


def bundled_parts() -> list[Image.Image]:
    """Luma of four parts of each bundled photograph."""
    with as_file(files("fastcolor.data") / "samples") as folder:
        whole = [Image.open(path).convert("L") for path in sorted(folder.glob("*.jpg"))]
    parts = []
    for image in whole:
        w, h = image.size
        parts += [image.crop((x, y, x + w // 2, y + h // 2)) for x in (0, w // 2) for y in (0, h // 2)]
    return parts


def made_film(photographs: list[Image.Image], seed: int) -> Iterator[tuple[np.ndarray, bool]]:
    """(luma, whether a scene starts): 8 to 20 frames a scene, in motion; some have a flash, some fade in."""
    rng = np.random.default_rng(seed)
    before = -1
    for scene in range(SCENES):
        choice = int(rng.choice([k for k in range(len(photographs)) if k != before]))
        before = choice
        image, count = photographs[choice], int(rng.integers(8, 20))
        center, velocity, zoom = rng.uniform(0.4, 0.6, 2), rng.normal(0, 0.015, 2), rng.uniform(0.985, 1.015)
        share = rng.uniform(0.6, 0.8)
        flash = int(rng.integers(2, count)) if rng.random() < 0.3 else None
        fades = rng.random() < 0.15
        for step in range(count):
            half = 0.5 * min(0.98, share * zoom**step)
            x, y = np.clip(center + velocity * step, half, 1 - half) * image.size
            w, h = half * image.width, half * image.height
            frame = image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=(x - w, y - h, x + w, y + h))
            luma = np.asarray(frame, np.float32) / 255
            luma = luma * min(1.0, (step + 3) / 10) if fades else luma
            luma = luma * 0.6 + 0.4 if step == flash else luma
            luma = luma + rng.normal(0, 0.02, luma.shape)
            yield luma.clip(0, 1).astype(np.float32), step == 0 and scene > 0


def test_recall_and_precision():
    photographs = bundled_parts()
    hits = cuts = found = 0
    for seed in range(3):
        detector = CutDetector()
        for luma, cut in made_film(photographs, seed):
            seen = detector.step(luma)
            hits, cuts, found = hits + (seen and cut), cuts + cut, found + seen
    assert cuts == 3 * (SCENES - 1)
    print(f"cuts {cuts}, found {found}, of them right {hits}")
    assert hits / cuts >= 0.99
    assert hits / found >= 0.99


def test_what_is_no_cut():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(12, 16)).repeat(10, 0).repeat(10, 1).astype(np.float32)
    for film in (
        [np.full((48, 64), level / 20, np.float32) for level in range(20)],  # a flat fade
        [np.roll(image, 7 * step, axis=1) for step in range(10)],  # a fast pan
        [image, 0.5 * image + 0.5, image],  # a flash
        [np.zeros((1, 1), np.float32)] * 3,
    ):
        detector = CutDetector()
        assert not any(detector.step(luma) for luma in film)


def pan(image: Image.Image, frames: int, step: int) -> list[np.ndarray]:
    """Luma (72, 96) of a window that moves `step` pixels to the right a frame."""
    wide = image.resize((96 + step * frames, 72))
    return [np.asarray(wide.crop((step * k, 0, step * k + 96, 72)), np.float32) / 255 for k in range(frames)]


def grainy(luma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (luma + rng.normal(0, 0.02, luma.shape)).clip(0, 1).astype(np.float32)


@pytest.mark.promise("Films", "after a flash of one or two frames, in a pan too, the scene before goes on")
@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize(("seed", "step"), [(0, 0), (1, 0), (2, 0), (0, 2), (1, 4), (2, 6)])
def test_a_flash_returns_and_a_cut_does_not(length, seed, step):
    """White frames may be a cut; the scene after them is the one before, unless it is another."""
    rng, parts = np.random.default_rng(seed), bundled_parts()
    one, other = (pan(parts[k], 8 + length, step) for k in rng.choice(len(parts), 2, False))
    white = [np.ones_like(one[0])] * length
    for after, returned in ((one, 1), (other, 0)):
        film = one[:4] + white + after[4 + length :]
        detector, returns = CutDetector(), []
        for luma in film:
            cut = detector.step(grainy(luma, rng))
            returns += [detector.returned]
            assert not (cut and detector.returned)
        assert returns.count(True) == returned
        assert returns[4 + length] == bool(returned)


@pytest.mark.promise("Films", "colors after a flash are those of the film without it")
@pytest.mark.parametrize("length", [1, 2])
def test_chroma_after_a_flash(length):
    """Own chroma has noise, which steady chroma has averaged away; who forgot the past shows it again."""
    noise, rng = 0.05, np.random.default_rng(0)
    film = [grainy(luma, rng) for luma in pan(bundled_parts()[0], 20, 3)]
    own = [(np.stack([luma, -luma]) / 3 + rng.normal(0, noise, (2, 72, 96))).astype(np.float32) for luma in film]
    flash = range(12, 12 + length)
    runs = []
    for flashes in (range(0), flash):
        smoothed = _Smoothed(
            SimpleNamespace(chroma=lambda logits: logits), CutDetector(), lambda: _steady(SteadySmoother())
        )
        lumas = [np.ones_like(luma) if k in flashes else luma for k, luma in enumerate(film)]
        chromas = [np.zeros_like(chroma) if k in flashes else chroma for k, chroma in enumerate(own)]
        runs.append([smoothed.chroma(*frame) for frame in zip(chromas, lumas, strict=True)])
    for k in range(flash.stop, len(film)):
        assert np.abs(runs[1][k] - runs[0][k]).mean() < np.abs(runs[0][k] - own[k]).mean() / 3


@pytest.mark.promise("Films", "cuts to the mirrored scene and shots of two frames are found")
def test_mirrored_scenes_and_short_shots():
    rng, parts = np.random.default_rng(0), bundled_parts()
    mirrored = 0
    for part in parts:
        still = pan(part, 1, 0)[0]
        detector = CutDetector()
        cuts = [detector.step(grainy(luma, rng)) for luma in [still] * 3 + [still[:, ::-1]] * 3]
        assert cuts[:3] + cuts[4:] == [False] * 5
        mirrored += cuts[3]
    assert mirrored >= 0.8 * len(parts)  # not where both halves are equally bright
    shots = [pan(parts[k], 2, 1) for k in rng.permutation(len(parts))]
    detector = CutDetector()
    cuts = [detector.step(grainy(luma, rng)) for shot in shots for luma in shot]
    assert cuts == [False, False] + [True, False] * (len(shots) - 1)


def test_threshold():
    dark, bright = np.zeros((32, 32), np.float32), np.tile(np.linspace(0.5, 1, 32, dtype=np.float32), (32, 1))
    assert [CutDetector(1.0).step(x) for x in (dark, dark)] == [False, False]
    detector = CutDetector(0.0)
    assert [detector.step(x) for x in (dark, bright, bright, bright, dark)] == [False, True, False, True, False]
    with pytest.raises(ValueError, match=r"threshold: expected a number in \[0, 1\]"):
        CutDetector(1.5)
