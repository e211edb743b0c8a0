"""``fastcolor.colorize``: what goes in, what comes out, what is refused. The networks here are small and untrained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor import ColorBins, MissingExtraError, WeightsError, reference
from fastcolor.network.unet import ColorUNet, UNetConfig
from fastcolor.photo import colorizer
from fastcolor.photo.colorizer import Colorizer

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (60, 100), dtype=np.uint8)


def network(fold: int = 1, size: int = 64, temperature: float = 0.5) -> ColorUNet:
    """Untrained, but of different opinions on different pixels."""
    torch.manual_seed(0)
    colors = np.stack([np.linspace(-0.2, 0.2, 5), np.linspace(0.3, -0.3, 5) ** 3], axis=-1).astype(np.float32)
    bins = ColorBins(np.arange(25, dtype=np.uint8).reshape(5, 5) % 5, colors, np.full(5, 0.2))
    config = UNetConfig(bins=5, down=(4, 8), up=(8,), head=4, fold=fold, size=size, temperature=temperature)
    model = ColorUNet(config, bins).eval()
    torch.nn.init.normal_(model.head[-1].weight, std=20)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    network().save_pretrained(path)
    return path


@pytest.mark.parametrize("shape", [(60, 100), (1, 1), (1, 300), (200, 3), (64, 64)])
@pytest.mark.parametrize("fold", [1, 2])
def test_any_size_in_full_resolution(shape: tuple[int, int], fold: int) -> None:
    rgb = fastcolor.colorize(np.full(shape, 100, np.uint8), model=network(fold))
    assert rgb.shape == (*shape, 3)
    assert rgb.dtype == np.uint8


def test_luma_is_kept_where_the_color_is_inside_the_cube() -> None:
    gray = np.full((60, 100), 128, np.uint8)
    rgb = fastcolor.colorize(gray, model=network())
    inside = ((rgb > 0) & (rgb < 255)).all(axis=-1)
    assert inside.mean() > 0.5
    luma = reference.rgb_to_yuv(rgb)[..., 0] * 255
    assert np.abs(luma - gray)[inside].max() <= 0.5 + 1e-9  # rounding of R, G, B
    assert len(np.unique(rgb.reshape(-1, 3), axis=0)) > 1, "some color"


@pytest.mark.promise("Paper and tone", "White paper and black film have no tint in a photograph and in a film")
@pytest.mark.parametrize("value", [0, 244, 255])
def test_paper_is_rendered_as_paper(value: int) -> None:
    gray = np.full((60, 100), value, np.uint8)
    rgb = fastcolor.colorize(gray, model=network())
    assert np.array_equal(rgb, np.repeat(gray[..., None], 3, axis=-1))
    (frame,) = fastcolor.colorize_video([gray], model=network())
    assert (np.ptp(frame, axis=-1).max() == 0) == (value != 244), "a film has no borders"


def test_equals_the_steps_of_the_docstring() -> None:
    model = network(size=50)
    small = np.asarray(Image.fromarray(GRAY.astype(np.float32) / 255).resize((50, 30), Image.Resampling.LANCZOS))
    with torch.no_grad():
        logits = model(torch.from_numpy(small.clip(0, 1))[None, None])[0].numpy()
    chroma = reference.annealed_mean(logits, model.bins, temperature=0.5)
    expected = reference.merge(chroma, GRAY).astype(int)
    # bfloat16 arithmetic in the network, and logits of standard deviation 20: a loose bound, for the mean
    assert np.abs(fastcolor.colorize(GRAY, model=model) - expected).mean() < 4


def test_every_kind_of_input_agrees(tmp_path: Path) -> None:
    model = network()
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    expected = fastcolor.colorize(GRAY, model=model)
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(GRAY), GRAY[::-1][::-1]):
        assert np.array_equal(fastcolor.colorize(image, model=model), expected)
    assert np.array_equal(fastcolor.colorize(np.repeat(GRAY[..., None], 3, -1), model=model), expected)


def test_color_input_is_its_luma() -> None:
    color = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    luma = Image.fromarray(reference.rgb_to_yuv(color)[..., 0].astype(np.float32))  # a Pillow image of mode F
    assert (
        np.abs(fastcolor.colorize(color, model=network()).astype(int) - fastcolor.colorize(luma, model=network())).max()
        <= 1
    )


def test_16_bit_luma_keeps_its_precision() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    gray = network(temperature=0)
    gray.bins = ColorBins(gray.bins.table, np.zeros((5, 2), np.float32), gray.bins.prior)
    rgb = fastcolor.colorize(Image.fromarray(ramp), model=gray)
    assert np.array_equal(rgb[..., 1], np.floor(ramp / 65535 * 255 + 0.5).astype(np.uint8))


def test_model_by_folder_and_its_defaults(folder: Path) -> None:
    expected = fastcolor.colorize(GRAY, model=network())
    assert np.array_equal(fastcolor.colorize(GRAY, model=folder), expected)
    assert np.array_equal(fastcolor.colorize(GRAY, model=str(folder), temperature=0.5, size=64, device="cpu"), expected)
    for options in ({"temperature": 4.0}, {"size": 32}):
        assert not np.array_equal(fastcolor.colorize(GRAY, model=folder, **options), expected)


def test_named_models_are_loaded_once(folder: Path) -> None:
    first, second = (Colorizer.load(folder).network for _ in range(2))
    assert first is second


def test_batch_equals_one_by_one() -> None:
    work = Colorizer.load(network(fold=2))
    batch = RNG.random((3, 40, 64), dtype=np.float32)
    together = work.predict(batch, with_confidence=True)
    for small, prediction in zip(batch, together, strict=True):
        (alone,) = work.predict(small[None], with_confidence=True)
        assert np.abs(alone.chroma - prediction.chroma).mean() < 0.01
        assert prediction.chroma.shape == (2, 20, 32)
        assert prediction.top.shape == (20, 32)
        assert 0.2 <= prediction.top.min() <= prediction.top.max() <= 1
    assert work.predict(batch)[0].top is None


def test_the_callers_array_is_not_written() -> None:
    gray = GRAY.copy()
    gray.flags.writeable = False
    fastcolor.colorize(gray, model=network())


def test_default_model_is_bundled_or_its_absence_is_named() -> None:
    from fastcolor.network.pretrained import bundled_models

    assert colorizer.DEFAULT_MODEL in bundled_models()


BAD_CALLS = {
    "unknown model": ({"model": "seascapes"}, WeightsError, "model: expected a bundled name .* got 'seascapes'"),
    "kind of model": ({"model": 3}, TypeError, "model: expected a name, a folder or a ColorUNet, got int"),
    "training": ({"model": network().train()}, ValueError, r"eval mode.*call model\.eval\(\)"),
    "no bins": ({"model": ColorUNet().eval()}, ValueError, "model: expected a network with bins"),
    "device of a network": (
        {"model": network(), "device": "cpu"},
        ValueError,
        "device: expected None with a ColorUNet",
    ),
    "device": ({"device": "tpu9"}, ValueError, "device: expected 'cpu', 'cuda'.* got 'tpu9'"),
    "no such GPU": ({"device": "cuda:99"}, ValueError, "device: expected one of .* CUDA devices, got 'cuda:99'"),
    "temperature": ({"temperature": -1}, ValueError, "temperature: expected a finite number >= 0, got -1"),
    "temperature NaN": ({"temperature": float("nan")}, ValueError, "temperature: expected a finite number"),
    "kind of temperature": ({"temperature": "hot"}, TypeError, "temperature: expected a number, got str"),
    "size": ({"size": 3}, ValueError, r"size: expected an integer in 16\.\.8192, got 3"),
    "kind of size": ({"size": 2.5}, TypeError, "size: expected an integer, got float"),
}


@pytest.mark.parametrize("name", sorted(BAD_CALLS))
def test_bad_calls(name: str) -> None:
    options, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message):
        fastcolor.colorize(GRAY, **options)


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "fastcolor.network.unet")
    monkeypatch.delattr(fastcolor.network, "unet")
    with pytest.raises(MissingExtraError, match=rf"needs {missing}, .*pip install 'fastcolor\[torch\]'"):
        fastcolor.colorize(GRAY)


def test_function_and_module_do_not_hide_each_other() -> None:
    code = (
        "import fastcolor, fastcolor.photo.colorizer, fastcolor.commands.colorize; assert callable(fastcolor.colorize)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
