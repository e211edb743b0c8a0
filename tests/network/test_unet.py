"""ColorUNet: the paper's shape, any input size, and weights on disk that fail loudly."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.errors import WeightsError  # noqa: E402
from fastcolor.network.inference import network_input, network_shape, predict  # noqa: E402
from fastcolor.network.pretrained import bundled_models  # noqa: E402
from fastcolor.network.unet import ColorUNet, UNetConfig, pad_reflected  # noqa: E402

TINY = {"down": (4, 6, 8), "up": (6, 4), "head": 4}
LITE = {"encoder": "efficientnet-lite0", "bottom": 8, "up": (8, 8, 8, 8)}


def tiny(**options) -> ColorUNet:
    torch.manual_seed(1)
    return ColorUNet(UNetConfig(**{**TINY, **options}), ColorBins.default()).eval()


def lite(**options) -> ColorUNet:
    """With EfficientNet-Lite0, whose norms have the statistics of noise: signals come through."""
    torch.manual_seed(1)
    network = ColorUNet(UNetConfig(**{**LITE, **options}), ColorBins.default())
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(2, 1, 64, 64))
    for norm in norms:
        norm.momentum = 0.01
    return network.eval()


def test_the_default_is_figure_2():
    network = ColorUNet()
    assert sum(p.numel() for p in network.parameters()) == 142_016
    sizes = []
    for cell in (*network.down, *network.up):
        cell[-1].register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    logits = network.eval()(torch.zeros(1, 1, 256, 256))
    assert sizes == [(16, 128, 128), (32, 64, 64), (64, 32, 32), (32, 64, 64), (32, 128, 128)]
    assert logits.shape == (1, 32, 256, 256)


def test_widths_follow_the_number_of_bins():
    assert ColorUNet(UNetConfig(bins=313)).eval()(torch.zeros(1, 1, 8, 8)).shape == (1, 313, 8, 8)


@pytest.mark.parametrize("options", [{"fold": 1}, {"fold": 2}, {"fold": 4}, LITE], ids=["1", "2", "4", "lite"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (33, 57), (64, 3)])
def test_any_size_goes_in(options, height, width):
    network = lite() if options is LITE else tiny(**options)
    logits, fold = network(torch.rand(2, 1, height, width)), network.config.fold
    assert logits.shape == (2, 32, -(-height // fold), -(-width // fold))
    assert torch.isfinite(logits).all()


def figure_2(w: dict[str, torch.Tensor], luma: torch.Tensor) -> torch.Tensor:
    """The paper's network by the functions of torch and the names in its file."""

    def conv(x, name):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1))

    def upsample(x, name):
        return F.relu(F.conv_transpose2d(x, w[f"{name}.weight"], w[f"{name}.bias"], 2, 1, 1))

    def norm(x, name):
        parts = [w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, training=False)

    x, skips = luma - 0.5, []
    for i in range(3):
        x = norm(F.max_pool2d(conv(conv(x, f"down.{i}.0"), f"down.{i}.2"), 2), f"down.{i}.5")
        skips.append(x)
    for i in range(2):
        x = norm(conv(conv(upsample(x, f"up.{i}.0"), f"up.{i}.2"), f"up.{i}.4"), f"up.{i}.6")
        x = torch.cat([x, skips[1 - i]], 1)
    return F.conv2d(conv(upsample(x, "head.0"), "head.2"), w["head.4.weight"], w["head.4.bias"])


def test_the_bundled_weights_are_those_of_figure_2():
    """Files of old go on to mean what they meant, to the bit."""
    network, luma = ColorUNet.from_pretrained("landscapes"), torch.rand(1, 1, 32, 64)
    with torch.inference_mode():
        assert torch.equal(network(luma), figure_2(network.state_dict(), luma))


def test_padding_changes_nothing_where_none_is_needed():
    network, x = tiny(), torch.rand(1, 1, 16, 24)
    assert torch.equal(pad_reflected(x, 8), x)
    larger = torch.nn.functional.pad(x, (0, 8, 0, 8), mode="reflect")
    assert torch.equal(network(x[..., :15, :23]), network(pad_reflected(x[..., :15, :23], 8))[..., :15, :23])
    assert torch.equal(pad_reflected(larger[..., :16, :24], 32)[..., :24, :32], larger)


@pytest.mark.parametrize("network", [tiny, lite])
def test_gradients_reach_every_parameter(network):
    network = network().train()
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim == 4)


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 3, 16, 16)])
def test_wrong_shapes_are_told(shape):
    with pytest.raises(ValueError, match=r"luma: expected shape \(N, 1, H, W\)"):
        tiny()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"down": (16, 32, 64), "up": (32,)}, "up: expected one width fewer"),
        ({"down": (16,), "up": ()}, "up: expected one width fewer"),
        ({"fold": 3}, "fold: expected 1, 2 or 4"),
        ({"head": 0}, "expected integers in 1"),
        ({"bins": 2.0}, "expected integers in 1"),
        ({"temperature": -1.0}, "temperature: expected a finite number >= 0, got -1"),
        ({"temperature": float("nan")}, "temperature: expected a finite number"),
        ({"size": 0}, r"size: expected an integer in 1\.\.4096, got 0"),
        ({"bottom": 64}, "bottom: expected 0 with encoder='plain'"),
        ({"encoder": "resnet"}, "encoder: expected one of 'plain', 'efficientnet-lite0', got 'resnet'"),
        ({**LITE, "up": (8, 8, 8)}, "up: expected 4 widths with encoder='efficientnet-lite0', deepest first"),
        ({**LITE, "bottom": 0}, "expected integers in 1"),
        ({**LITE, "fold": 1}, r"fold: expected .*'fold': 2} with encoder='efficientnet-lite0'"),
        ({**LITE, "down": (16, 32)}, "down, head, fold: expected"),
    ],
)
def test_wrong_configurations_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig(**options)


@given(data=st.data(), lite0=st.booleans(), temperature=st.floats(0, 4), size=st.integers(1, 4096))
def test_a_configuration_comes_back_from_json(data, lite0, temperature, size):
    widths = st.integers(1, 512)
    if lite0:
        shape = {
            "encoder": "efficientnet-lite0",
            "bottom": data.draw(widths),
            "up": data.draw(st.tuples(*[widths] * 4)),
        }
    else:
        down = data.draw(st.lists(widths, min_size=2, max_size=6))
        up = data.draw(st.lists(widths, min_size=len(down) - 1, max_size=len(down) - 1))
        shape = {"down": tuple(down), "up": up, "fold": data.draw(st.sampled_from([1, 2, 4]))}
    config = UNetConfig(**shape, bins=data.draw(widths), temperature=temperature, size=size)
    assert UNetConfig(**json.loads(json.dumps(asdict(config)))) == config
    assert config.multiple == (32 if lite0 else config.fold * 2 ** len(down))


def test_bins_must_fit():
    with pytest.raises(ValueError, match="bins: expected 7 bins as in the config, got 32"):
        ColorUNet(UNetConfig(bins=7), ColorBins.default())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("make", [tiny, lite])
def test_save_and_load(tmp_path, half, make):
    network, x = make(fold=2, temperature=0.6, size=192), torch.rand(1, 1, 20, 20)
    next(module for module in network.up.modules() if hasattr(module, "running_var")).running_var[0] = 1e6  # > float16
    network.save_pretrained(tmp_path / "model", half=half)
    loaded = ColorUNet.from_pretrained(tmp_path / "model")
    assert loaded.config == network.config
    assert not loaded.training
    assert np.array_equal(loaded.bins.table, network.bins.table)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    for kept, value in zip(loaded.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(kept, value.half().float() if half and value.ndim == 4 else value)
    if not half:  # channels-last convolutions sum in another order
        torch.testing.assert_close(loaded(x), network(x), rtol=0, atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "bins.npz",
        "config.json",
        "weights.safetensors",
    ]


def test_weights_of_a_wide_network_fit_into_ten_megabytes(tmp_path):
    config = UNetConfig(encoder="efficientnet-lite0")
    ColorUNet(config, ColorBins.default()).save_pretrained(tmp_path, half=True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 10e6


def test_saving_needs_bins(tmp_path):
    with pytest.raises(ValueError, match="bins: expected the ColorBins of the logits"):
        ColorUNet().save_pretrained(tmp_path)


def _truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _other_bins(folder: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ColorBins.fit(photo, n=8).save(folder / "bins.npz")


def _other_n(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "bins": 8}))
    _other_bins(folder)


def _other_encoder(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    kept = {name: values[name] for name in ("bins", "temperature", "size")}
    (folder / "config.json").write_text(json.dumps({**kept, **LITE}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _other_encoder,
            r"weights\.safetensors: weights do not fit .*/config\.json: .* more missing, .* more left over$",
        ),
        (_truncate, r"weights\.safetensors: expected a safetensors file"),
        (lambda f: (f / "weights.safetensors").unlink(), r"weights\.safetensors: no such file"),
        (lambda f: (f / "config.json").unlink(), r"config\.json: no such file"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json: expected the configuration"),
        (lambda f: (f / "config.json").write_text('{"depth": 3}'), r"unknown keys depth"),
        (lambda f: (f / "bins.npz").write_bytes(b"no"), r"bins\.npz: expected an npz file"),
        (lambda f: (f / "bins.npz").unlink(), r"bins\.npz: no such file"),
        (_other_bins, r"bins\.npz: bins: expected 32 bins"),
        (_other_n, r"weights\.safetensors: weights do not fit .*head.4.bias: expected shape \(8,\), got \(32,\)"),
    ],
)
def test_damage_is_told_with_the_file(tmp_path, damage, message):
    tiny().save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(WeightsError, match=message):
        ColorUNet.from_pretrained(tmp_path)


def test_an_unknown_name_is_told():
    with pytest.raises(WeightsError, match=r"expected a bundled name .* got 'landscape'"):
        ColorUNet.from_pretrained("landscape")


@pytest.mark.parametrize("shape", [(150, 150), (170, 256), (3000, 4000), (4000, 3000), (500, 3000), (1, 1), (1, 5000)])
@pytest.mark.parametrize("multiple", [8, 32, 64])
def test_network_shape_needs_no_padding_and_is_near_to_a_square(shape, multiple):
    height, width = network_shape(*shape, 192, multiple)
    assert height % multiple == width % multiple == 0
    aspect = shape[1] / shape[0]
    if 0.5 <= aspect <= 2 and min(shape) > multiple:
        assert height == width <= 192
    assert network_shape(*shape[::-1], 192, multiple) == (width, height)


def test_what_is_bundled():
    sizes = {name: (folder / "weights.safetensors").stat().st_size for name, folder in bundled_models().items()}
    assert set(sizes) == {"everyday", "landscapes"}
    assert max(sizes.values()) <= 10e6
    assert sum(sizes.values()) <= 15e6
    bins = ColorUNet.from_pretrained("landscapes").bins
    assert np.array_equal(bins.table, ColorBins.default().table)
    assert np.array_equal(bins.colors, ColorBins.default().colors)


@pytest.mark.parametrize(("name", "parameters", "blue"), [("landscapes", 142_016, 0.03), ("everyday", 4_419_968, 0.01)])
def test_bundled_networks(name, parameters, blue):
    network = ColorUNet.from_pretrained(name)
    assert sum(p.numel() for p in network.parameters()) == parameters
    # A plain bright sky over a dark plain: blue above.
    luma = np.full((128, 128), 0.25, np.float32)
    luma[:70] = 0.65
    probabilities = predict(network, luma).softmax(0)
    chroma = torch.einsum("bhw,bc->chw", probabilities, torch.from_numpy(network.bins.colors.copy()))
    assert chroma[0, :20].mean() > blue


def test_network_input_is_the_luma_resampled():
    luma = np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1))
    small = network_input(luma, 192, 64)
    assert (small.shape, small.dtype) == ((192, 192), np.float32)
    np.testing.assert_allclose(
        small[50, 1:-1], np.interp(np.arange(1, 191) * 400 / 192 + 0.54, np.arange(400), luma[0] / 255), atol=0.01
    )
    same = network_input(luma[:192, :192], 192, 64)
    assert np.array_equal(same, luma[:192, :192] / np.float32(255))


def test_predict_is_near_to_float32():
    network, luma = tiny(), np.random.default_rng(0).random((2, 20, 24), dtype=np.float32)
    logits = predict(network, luma)
    assert logits.shape == (2, 32, 20, 24)
    assert logits.dtype == torch.float32
    assert logits.is_contiguous()
    with torch.inference_mode():
        exact = network(torch.from_numpy(luma)[:, None])
    torch.testing.assert_close(logits, exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(predict(network, luma[0]), logits[0], rtol=0.05, atol=0.05)


def test_predict_of_none_is_none():
    assert predict(tiny(), np.zeros((0, 8, 8), np.float32)).shape == (0, 32, 8, 8)


@pytest.mark.parametrize("make", [tiny, lite])
def test_predict_with_the_mirror_image_knows_no_left_and_right(make):
    network, luma = make(), np.random.default_rng(0).random((2, 64, 96), dtype=np.float32)
    both, turned = (predict(network, x, mirror=True) for x in (luma, luma[..., ::-1]))
    assert torch.equal(both, turned.flip(-1))
    one, other = predict(network, luma), predict(network, luma[..., ::-1]).flip(-1)
    assert not torch.equal(one, other)
    assert torch.equal(both, (one + other) / 2)


def test_torch_compile_agrees():
    # One way down and up: each size is a kernel that g++ compiles for a second.
    network, x = tiny(down=(4, 6), up=(4,)), torch.rand(1, 1, 20, 24)
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(network)(x), network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("damage", ["nan", "int8"])
def test_weights_that_are_no_finite_floats_are_refused(tmp_path, damage):
    from safetensors.torch import load_file, save_file

    network = ColorUNet(UNetConfig(down=(4, 8), up=(4,), head=4), ColorBins.default())
    network.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    name = next(name for name, value in sorted(tensors.items()) if value.ndim == 4)
    if damage == "nan":
        tensors[name][0, 0, 0, 0] = torch.nan
    else:
        tensors[name] = tensors[name].to(torch.int8)
    save_file(tensors, tmp_path / "weights.safetensors")
    told = {"nan": f"expected finite floats, got others in {name}", "int8": f"{name}: expected floats, got others"}
    with pytest.raises(WeightsError, match=rf"weights.safetensors: .*{told[damage]}$"):
        ColorUNet.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "list; expected an object of keys and values"),
        ('{"down": 5}', "down: expected a list of integers, got 5"),
        ('{"up": [4, 2.0]}', r"up: expected a list of integers, got \[4, 2.0\]"),
        ('{"fold": 2.0}', "fold: expected an integer, got 2.0"),
        ('{"head": false}', "head: expected an integer, got False"),
    ],
)
def test_configurations_say_what_was_expected(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=f"config.json: .*{message}"):
        ColorUNet.from_pretrained(tmp_path)
