"""``fastcolor fit`` and what it stands on: exact mergeable counts, skipped files, outputs whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastcolor
from fastcolor import ChromaMoments, ColorBins, reference
from fastcolor.bins import sizes_to_count
from fastcolor.commands.main import INTERRUPTED, main
from fastcolor.fitting import counting
from fastcolor.fitting.counting import count_files, find_all
from fastcolor.fitting.moments import AUTO_CELLS

RNG = np.random.default_rng(0)
N = 4


def photo(seed: int, side: int = 24) -> np.ndarray:
    """Smooth random colors: many cells, but not all alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side + seed), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs at several depths, in several formats."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep" / "deeper").mkdir(parents=True)
    for seed in range(12):
        where = (folder, folder / "deep", folder / "deep" / "deeper")[seed % 3]
        Image.fromarray(photo(seed)).save(where / f"{seed}{('.png', '.jpg', '.WEBP', '.tif', '.bmp')[seed % 5]}")
    return folder


def fit(*words: object) -> int:
    return main(["fit", *map(str, words), "--n", str(N)])


def same_bins(a: ColorBins, b: ColorBins) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("table", "colors", "prior"))


# Moments


@pytest.mark.parametrize("space", ["yuv", "lab"])
@pytest.mark.parametrize("cells", [1, 9, 17, 65])
def test_moments_equal_the_reference(cells: int, space: str) -> None:
    images = [photo(seed) for seed in range(6)]
    moments = ChromaMoments([cells], space)
    for image in images:
        moments.add(image)
    pixels = np.concatenate([i.reshape(-1, 3) for i in images])
    counts, sums, squares = reference.chroma_moments(pixels, cells, space=space)
    np.testing.assert_array_equal(moments.counts[cells].sum(axis=0), counts)
    np.testing.assert_array_equal(moments.sums[cells].sum(axis=0), sums)
    assert moments.squares.sum(axis=0).tolist() == squares.tolist()
    assert moments.images == 6


def test_moments_of_images_beyond_exact_floats() -> None:
    """The squares of a large saturated image exceed 2^53, where float64 sums depend on their order."""
    pixels = 300_001
    moments = ChromaMoments([3])
    moments.add(np.tile(np.array([0, 0, 255], np.uint8), (pixels, 1)))
    assert moments.squares.sum(axis=0).tolist() == [pixels * 225930**2, pixels * 29070**2]
    assert pixels * 225930**2 > 2**53


def test_squares_beyond_int64_survive_a_file(tmp_path: Path) -> None:
    moments = ChromaMoments([3])
    moments.add(photo(0))
    moments.squares[0, 0] = 3 * 2**64 + 12345
    moments.squares[1, 1] = 2**62 - 1
    again = ChromaMoments.from_arrays(moments.to_arrays())
    assert again.squares.tolist() == moments.squares.tolist()
    assert again.sizes == (3,)


@pytest.mark.parametrize(("cells", "method"), [("auto", "frequent"), (17, "frequent"), (33, "kmeans")])
def test_parts_in_any_order_equal_the_whole(cells: int | str, method: str) -> None:
    images = [photo(seed) for seed in range(9)]
    sizes = sizes_to_count(cells, method)
    whole = ChromaMoments(sizes)
    for image in images:
        whole.add(image)
    parts = [ChromaMoments(sizes) for _ in range(4)]  # the last stays empty
    for k, image in enumerate(reversed(images)):
        parts[k % 3].add(image)
    merged = parts[2] + parts[3] + parts[0] + parts[1]
    assert {name: a.tobytes() for name, a in merged.to_arrays().items()} == {
        name: a.tobytes() for name, a in whole.to_arrays().items()
    }
    assert merged.errors(N, method, "mean") == whole.errors(N, method, "mean")
    assert same_bins(*(ColorBins.from_moments(m, N, cells, method) for m in (whole, merged)))


def test_adding_leaves_the_summands_alone() -> None:
    a, b = ChromaMoments([9]), ChromaMoments([9])
    a.add(photo(0))
    pixels = a.pixels
    _ = a + b + a
    assert (a.pixels, b.pixels, a.images) == (pixels, 0, 1)


def test_the_held_out_part_depends_on_the_image_alone() -> None:
    def part(image: np.ndarray, cells: int) -> int:
        moments = ChromaMoments([cells])
        moments.add(image)
        return int(moments.counts[cells][1].any())

    images = [photo(seed) for seed in range(60)]
    parts = [part(image, 17) for image in images]
    assert parts == [part(image[:, ::-1], 17) for image in images]  # a mirror image is no new evidence
    assert parts == [part(image, 9) for image in images]
    assert 8 <= sum(parts) <= 32  # about a third


def test_errors_are_those_of_held_out_images() -> None:
    moments, fitted, held = ChromaMoments([9, 17]), ChromaMoments([9, 17]), []
    for seed in range(12):
        before = moments.counts[9][1].sum()
        moments.add(photo(seed))
        if moments.counts[9][1].sum() > before:
            held.append(photo(seed).reshape(-1, 3))
        else:
            fitted.add(photo(seed))
    assert held
    assert fitted.images
    for k, error in moments.errors(N, "frequent", "mean").items():
        bins = fitted.fit(k, N, "frequent", "mean")
        pixels = np.concatenate(held)
        chroma = reference.rgb_to_yuv(pixels)[:, 1:]
        _, labels, _ = reference.encode(pixels, bins)
        expected = np.sqrt(((chroma - bins.colors.astype(float)[labels]) ** 2).sum(axis=-1).mean())
        assert error == pytest.approx(expected, rel=1e-9)


def test_one_image_alone_is_measured_by_itself() -> None:
    moments = ChromaMoments([9])
    moments.add(photo(0))
    assert 0 < moments.errors(N, "frequent", "mean")[9] < 0.5


def test_merging_other_cells_is_refused() -> None:
    with pytest.raises(ValueError, match=r"K = 9 and K = 9, 17; count both with the same --cells"):
        ChromaMoments([9]) + ChromaMoments([9, 17])


def test_from_moments_refuses_cells_that_were_not_counted() -> None:
    moments = ChromaMoments([9])
    moments.add(photo(0))
    with pytest.raises(ValueError, match=r"cells: expected one that was counted \(9\), got 17"):
        ColorBins.from_moments(moments, N, 17)


def test_from_moments_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        ColorBins.from_moments(ChromaMoments([9]), N)


# k-means


def test_of_several_starts_gray_stays_gray() -> None:
    """The chosen start has an error within 5 % of the best and the most neutral gray of those."""
    moments = ChromaMoments([33])
    for seed in range(8):
        moments.add(photo(seed))
    counts, sums = moments.counts[33].sum(axis=0), moments.sums[33].sum(axis=0)
    seen = []
    for start in range(4):
        table, centers = reference.fitting._lloyd(counts, sums, N, start)
        difference = reference.cell_midpoints(33) - centers[table]
        cost = float((counts * (difference**2).sum(axis=-1)).sum())
        seen.append((np.sqrt(cost), np.hypot(*centers[table[16, 16]])))
    bins = moments.fit(33, N, "kmeans", "mean")
    gray = np.hypot(*bins.colors[bins.table[16, 16]])
    least = min(error for error, _ in seen)
    assert gray == pytest.approx(min(g for error, g in seen if error <= 1.05 * least), rel=1e-6)


# Files


def test_find_all_is_recursive_sorted_and_unique(photos: Path) -> None:
    found = find_all([photos / "deep", photos, photos / "0.png"]).photographs
    assert len(found) == 12
    assert found == sorted(found)


@pytest.mark.parametrize("threads", [1, 3])
def test_counting_does_not_depend_on_threads(photos: Path, threads: int) -> None:
    before = fastcolor.get_num_threads()
    fastcolor.set_num_threads(threads)
    try:
        done: list[int] = []
        counted = count_files(find_all([photos]).photographs, [17], done.append)
    finally:
        fastcolor.set_num_threads(before)
    expected = ChromaMoments([17])
    for path in find_all([photos]).photographs:
        expected.add(np.asarray(Image.open(path).convert("RGB")))
    assert counted.moments.to_arrays().keys() == expected.to_arrays().keys()
    for name, array in expected.to_arrays().items():
        np.testing.assert_array_equal(counted.moments.to_arrays()[name], array)
    assert len(done) == 12


def test_fit_of_paths_and_arrays_agree(photos: Path) -> None:
    paths = find_all([photos]).photographs
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    assert same_bins(ColorBins.fit(paths, N), ColorBins.fit(iter(arrays), N))
    assert same_bins(ColorBins.fit(str(paths[0]), N), ColorBins.fit(arrays[0], N))


def test_a_grayscale_file_counts_as_neutral_in_the_library(tmp_path: Path) -> None:
    Image.fromarray(photo(0)[..., 0]).save(tmp_path / "gray.png")
    fitted = ColorBins.fit([tmp_path / "gray.png", photo(1)], N)
    neutral = np.zeros(photo(0).shape, np.uint8)
    assert same_bins(fitted, ColorBins.fit([neutral, photo(1)], N))


# The command


def test_the_command_equals_the_library(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bins.npz"
    assert fit(photos, "-o", out) == 0
    bins = ColorBins.load(out)
    assert same_bins(bins, ColorBins.fit(find_all([photos]).photographs, N))
    assert (bins.n, bins.cells) == (N, 17)
    assert bins.moments is not None
    assert bins.moments.images == 12
    assert "counted 12 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "cells"),
    [(["--method", "kmeans"], 65), (["--cells", 9, "--centers", "midpoint"], 9), (["--cells", "1"], None)],
)
def test_options(photos: Path, tmp_path: Path, options: list[object], cells: int | None) -> None:
    out = tmp_path / "bins.npz"
    if cells is None:  # one cell cannot give four bins
        assert fit(photos, "-o", out, *options) == 1
        assert not out.exists()
        return
    assert fit(photos, "-o", out, *options) == 0
    assert ColorBins.load(out).cells == cells


@pytest.mark.parametrize("method", ["frequent", "kmeans"])
def test_auto_takes_the_least_held_out_error(
    photos: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bins.npz"
    assert fit(photos, "-o", out, "--cells", "auto", "--method", method) == 0
    bins = ColorBins.load(out)
    assert bins.moments is not None
    errors = bins.moments.errors(N, method, "mean")
    assert tuple(errors) == AUTO_CELLS[method]
    assert errors[bins.cells] == min(errors.values())
    assert capsys.readouterr().out.count("<- chosen") == 1


@pytest.mark.parametrize("space", ["yuv", "lab"])
@pytest.mark.parametrize("cells", ["17", "auto"])
def test_merged_parts_are_the_whole_byte_for_byte(photos: Path, tmp_path: Path, cells: str, space: str) -> None:
    paths = find_all([photos]).photographs
    for name, part in (("a", paths[::2]), ("b", paths[1::2]), ("whole", paths)):
        assert fit(*part, "-o", tmp_path / f"{name}.npz", "--cells", cells, "--space", space) == 0
    assert fit("-o", tmp_path / "ab.npz", "--merge", tmp_path / "b.npz", tmp_path / "a.npz") == 0
    assert (tmp_path / "ab.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert ColorBins.load(tmp_path / "ab.npz").space == space


def test_merge_adds_to_a_folder(photos: Path, tmp_path: Path) -> None:
    paths = find_all([photos]).photographs
    assert fit(*paths[:5], "-o", tmp_path / "a.npz") == 0
    assert fit(*paths[5:], "-o", tmp_path / "both.npz", "--merge", tmp_path / "a.npz") == 0
    assert same_bins(ColorBins.load(tmp_path / "both.npz"), ColorBins.fit(paths, N))


def test_merged_counts_can_be_fitted_another_way(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.npz"
    assert fit(photos, "-o", tmp_path / "a.npz", "--cells", 33) == 0
    assert fit("-o", out, "--merge", tmp_path / "a.npz", "--method", "kmeans") == 0
    assert same_bins(ColorBins.load(out), ColorBins.fit(find_all([photos]).photographs, N, 33, "kmeans"))


def test_unusable_files_are_listed_and_skipped(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for seed in range(3):
        Image.fromarray(photo(seed)).save(source / f"{seed}.png")
    Image.fromarray(photo(0)[..., 0]).save(source / "gray.png")
    Image.fromarray(np.repeat(photo(0)[..., :1], 3, axis=-1)).save(source / "gray-as-rgb.jpg")
    whole = (source / "0.png").read_bytes()
    (source / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (source / "text.jpg").write_text("no image")
    (source / "empty.jpg").touch()
    (source / "notes.txt").write_text("no image either, and no error")
    out = tmp_path / "bins.npz"
    assert fit(source, "-o", out) == 1
    assert same_bins(ColorBins.load(out), ColorBins.fit([photo(seed) for seed in range(3)], N))
    shown = capsys.readouterr().err
    assert "left out 2 files, grayscale: " in shown
    assert all(f"{name}: " in shown for name in ("truncated.png", "text.jpg", "empty.jpg"))
    assert shown.count("fastcolor: error: ") == 3
    assert "gray-as-rgb.jpg" in shown
    assert "left out 1 file, no photographs by name: " in shown


def test_long_lists_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photo(0)).save(tmp_path / "a.png")
    for k in range(13):
        (tmp_path / f"{k:02}.jpg").touch()
    assert fit(tmp_path, "-o", tmp_path / "bins.npz") == 1
    assert "error: 3 more cannot be read" in capsys.readouterr().err


def test_ctrl_c_writes_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = 0

    def interrupted(*args: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(counting, "_note", interrupted)
    assert fit(photos, "-o", tmp_path / "bins.npz") == INTERRUPTED
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err
    assert not [t for t in threading.enumerate() if t.name.startswith("fastcolor-fit")]


def test_a_failing_write_keeps_the_old_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bins.npz"
    out.write_bytes(b"old")

    def full(file: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert fit(photos, "-o", out, "--force") == 1
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["bins.npz"]
    assert "No space left" in capsys.readouterr().err


def empty(folder: Path, photos: Path) -> list[object]:
    (folder / "empty").mkdir()
    return [folder / "empty", "-o", folder / "x.npz"]


def only_broken(folder: Path, photos: Path) -> list[object]:
    (folder / "broken").mkdir()
    (folder / "broken" / "a.jpg").touch()
    return [folder / "broken", "-o", folder / "x.npz"]


def exists(folder: Path, photos: Path) -> list[object]:
    (folder / "x.npz").touch()
    return [photos, "-o", folder / "x.npz"]


def plot_exists(folder: Path, photos: Path) -> list[object]:
    (folder / "x.png").touch()
    return [photos, "-o", folder / "x.npz", "--plot", folder / "x.png"]


def without_counts(folder: Path, photos: Path) -> list[object]:
    bins = ColorBins.fit(photo(0), N)
    ColorBins(bins.table, bins.colors, bins.prior).save(folder / "bare.npz")
    return ["-o", folder / "x.npz", "--merge", folder / "bare.npz"]


def foreign(folder: Path, photos: Path) -> list[object]:
    np.savez(folder / "foreign.npz", something=np.zeros(3))
    return ["-o", folder / "x.npz", "--merge", folder / "foreign.npz"]


def truncated(folder: Path, photos: Path) -> list[object]:
    ColorBins.fit(photo(0), N).save(folder / "whole.npz")
    (folder / "part.npz").write_bytes((folder / "whole.npz").read_bytes()[:500])
    return ["-o", folder / "x.npz", "--merge", folder / "part.npz"]


def other_cells(folder: Path, photos: Path) -> list[object]:
    ColorBins.fit(photo(0), N, 9).save(folder / "a.npz")
    ColorBins.fit(photo(0), N, 17).save(folder / "b.npz")
    return ["-o", folder / "x.npz", "--merge", folder / "a.npz", folder / "b.npz"]


def other_plane(folder: Path, photos: Path) -> list[object]:
    ColorBins.fit(photo(0), N).save(folder / "a.npz")
    ColorBins.fit(photo(0), N, space="lab").save(folder / "b.npz")
    return ["-o", folder / "x.npz", "--merge", folder / "a.npz", folder / "b.npz"]


def other_plane_asked(folder: Path, photos: Path) -> list[object]:
    ColorBins.fit(photo(0), N).save(folder / "a.npz")
    return ["-o", folder / "x.npz", "--space", "lab", "--merge", folder / "a.npz"]


def twice(folder: Path, photos: Path) -> list[object]:
    ColorBins.fit(photo(0), N).save(folder / "a.npz")
    return ["-o", folder / "x.npz", "--merge", folder / "a.npz", f"{folder}/./a.npz"]


def other_cells_asked(folder: Path, photos: Path) -> list[object]:
    ColorBins.fit(photo(0), N, 9).save(folder / "a.npz")
    return ["-o", folder / "x.npz", "--cells", 17, "--merge", folder / "a.npz"]


BAD_CALLS: dict[str, tuple[Callable[[Path, Path], list[object]], str]] = {
    "no source": (lambda f, p: ["-o", f / "x.npz"], "expected a folder of photographs or --merge"),
    "no such folder": (lambda f, p: [f / "nowhere", "-o", f / "x.npz"], "nowhere: no such folder"),
    "no images": (empty, "no image file in this folder"),
    "nothing readable": (only_broken, "no image file there can be used"),
    "output exists": (exists, "x.npz: exists already; --force overwrites it"),
    "plot exists": (plot_exists, "x.png: exists already; --force overwrites it"),
    "output is a folder": (lambda f, p: [p, "-o", f], "got a folder"),
    "output folder missing": (lambda f, p: [p, "-o", f / "no" / "x.npz"], "does not exist; make it first"),
    "plot format": (lambda f, p: [p, "-o", f / "x.npz", "--plot", f / "x.doc"], "plot: expected a name that ends in"),
    "merge without counts": (without_counts, "bare.npz: bins without counts"),
    "merge foreign file": (foreign, "foreign.npz: expected an npz file of color bins"),
    "merge truncated file": (truncated, "part.npz: expected an npz file of color bins"),
    "merge missing file": (lambda f, p: ["-o", f / "x.npz", "--merge", f / "no.npz"], "no.npz: no such file"),
    "merge other cells": (other_cells, "count both with the same --cells"),
    "merge another plane": (other_plane, "expected the same space to merge, got yuv and lab"),
    "merge not in the plane asked": (other_plane_asked, "expected the same space to merge, got lab and yuv"),
    "merge a file twice": (twice, "expected each file once"),
    "merge cells not counted": (other_cells_asked, "cells: expected one that was counted (9), got 17"),
    "cells out of range": (
        lambda f, p: [p, "-o", f / "x.npz", "--cells", 5000],
        "cells: expected an integer in 1..255",
    ),
    "cells zero": (lambda f, p: [p, "-o", f / "x.npz", "--cells", 0], "cells: expected an integer in 1..255"),
}


@pytest.mark.parametrize(("words", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls(
    words: Callable[[Path, Path], list[object]],
    message: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words(tmp_path, photos)
    before = sorted(os.listdir(tmp_path))
    assert fit(*given) == 1
    assert message in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before  # nothing written, nothing left behind


@pytest.mark.parametrize("n", [0, 1025])
def test_bins_out_of_range(n: int, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(photos), "-o", str(tmp_path / "x.npz"), "--n", str(n)]) == 1
    assert "n: expected an integer in 1..1024" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--cells", "many"], ["--method", "magic"], ["--n", "few"]])
def test_wrong_usage(words: list[str], photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", str(photos), "-o", str(tmp_path / "x.npz"), *words])
    assert stop.value.code == 2
