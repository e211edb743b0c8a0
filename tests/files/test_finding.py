"""Folders as they are: dead links, pipes, hidden files, what the package made; nothing is passed over in silence."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastcolor import ColorBins
from fastcolor.files.finding import find
from fastcolor.files.marks import marked
from fastcolor.files.sets import find_images
from fastcolor.files.writing import write_photo
from fastcolor.fitting.counting import find_all

PICTURE = np.zeros((4, 4, 3), np.uint8)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes and sockets")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs a.png, sub/b.jpg, link.png, and all else that can be there."""
    root = tmp_path / "photos"
    for name in ("a.png", "sub/b.jpg", ".hidden.png", ".thumbs/x.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_photo(root / name, PICTURE)
    write_photo(root / "sheet.png", PICTURE, metadata=marked())
    (root / "notes.txt").touch()
    (root / "Thumbs.db").touch()
    (root / "link.png").symlink_to("a.png")
    (root / "dead.png").symlink_to("nowhere")
    (root / "circle.png").symlink_to("circle.png")
    (root / "elsewhere").symlink_to("sub")
    (root / "scans.tif").symlink_to("sub")
    os.mkfifo(root / "pipe.jpg")
    here = os.getcwd()
    os.chdir(root)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("socket.png")
    finally:
        os.chdir(here)
    return root


def names(paths: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


@pytest.mark.promise("Photographs", "of a folder all is taken or told: dead links, pipes, links to folders, maps")
def test_kinds(folder: Path) -> None:
    found = find(folder)
    assert names(found.photographs, folder) == ["a.png", "link.png", "sub/b.jpg"]
    assert names(found.others, folder) == ["notes.txt"]
    assert names(found.pictures, folder) == ["sheet.png"]
    astray = ["circle.png", "dead.png", "elsewhere", "pipe.jpg", "scans.tif", "socket.png"]
    assert names(found.astray, folder) == astray
    assert found.errors == []


def test_sets_and_bins_find_the_same(folder: Path) -> None:
    assert find_images(folder) == find(folder).photographs
    assert find_all([folder, folder / "sub"]).photographs == [folder / "a.png", folder / "sub/b.jpg"], "resolved"
    assert find_all([folder / "sheet.png"]).photographs == [folder / "sheet.png"], "which was asked for"


@pytest.fixture
def locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `sub` cannot be read, and `open` not be entered, whoever runs this."""
    write_photo(folder / "c.png", PICTURE)
    (folder / "open").mkdir()
    write_photo(folder / "open/d.png", PICTURE)
    scandir, stat = os.scandir, os.stat

    def reading(path: Any = ".") -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def looking(path: Any, **options: Any) -> Any:
        if not isinstance(path, int) and Path(path).parent.name == "open":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "scandir", reading)
    monkeypatch.setattr(os, "stat", looking)
    return folder


@pytest.mark.promise("Photographs", "a folder that cannot be read or entered is an error by name, and the rest goes on")
def test_folders_without_rights(locked: Path) -> None:
    found = find(locked)
    assert names(found.photographs, locked) == ["a.png", "c.png", "link.png", "open/d.png"]
    assert [Path(error.filename).name for error in found.errors] == ["sub"]
    assert find_all([locked]).errors
    with pytest.raises(PermissionError, match="sub"):
        find_images(locked)


@pytest.mark.promise("Photographs", "a plot of bins beside photographs is not taken for one by the next run")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_plots_are_marked(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    from fastcolor.plots.curves import new_figure, plot_bins, save_figure

    if suffix == "png":
        plot_bins(ColorBins.default(), tmp_path / "plot.png")
    else:
        save_figure(new_figure(figsize=(1, 1)), tmp_path / f"plot.{suffix}")
    assert len(find(tmp_path).pictures) == 1
    save_figure(new_figure(figsize=(1, 1)), tmp_path / "plot.svg")
