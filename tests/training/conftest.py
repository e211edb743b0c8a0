"""Photographs that a tiny network can learn, and one thread for each process of a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the processes that tests start
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two kinds of photographs: bright ones are blue above, dark ones green below."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        (folder / part).mkdir()
        for number in range(count):
            rgb = np.zeros((24, 24, 3))
            rgb[:12] = (90, 140, 230) if number % 2 else (230, 120, 60)
            rgb[12:] = (40, 110, 50)
            noisy = np.clip(rgb + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / part / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pack(photos: Path) -> Path:
    """The photographs as one file."""
    from fastcolor.training.pack import pack_set

    path = photos / "pack.zip"
    pack_set(photos, path)
    return path
