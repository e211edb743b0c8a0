"""Scene cuts on a made film: known cuts, pans, zooms, flashes, fades and grain."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files

import numpy as np
import pytest
from PIL import Image

from fastcolor.film.scenes import CutDetector

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
    assert hits / cuts >= 0.95
    assert hits / found >= 0.95


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


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_flash_returns_and_a_cut_does_not(length, seed):
    """White frames may be a cut; the scene after them is the one before, unless it is another."""
    rng, parts = np.random.default_rng(seed), bundled_parts()
    one, other = (np.asarray(parts[k].resize((96, 72)), np.float32) / 255 for k in rng.choice(len(parts), 2, False))
    white = np.ones_like(one)
    for after, returned in ((one, 1), (other, 0)):
        film = [one] * 4 + [white] * length + [after] * 4
        detector, returns = CutDetector(), []
        for luma in film:
            cut = detector.step((luma + rng.normal(0, 0.02, luma.shape)).clip(0, 1).astype(np.float32))
            returns += [detector.returned]
            assert not (cut and detector.returned)
        assert returns.count(True) == returned
        assert returns[4 + length] == bool(returned)


def test_threshold():
    dark, bright = np.zeros((32, 32), np.float32), np.tile(np.linspace(0.5, 1, 32, dtype=np.float32), (32, 1))
    assert [CutDetector(1.0).step(x) for x in (dark, dark)] == [False, False]
    detector = CutDetector(0.0)
    assert [detector.step(x) for x in (dark, bright, bright, bright, dark)] == [False, True, False, True, False]
    with pytest.raises(ValueError, match=r"threshold: expected a number in \[0, 1\]"):
        CutDetector(1.5)
