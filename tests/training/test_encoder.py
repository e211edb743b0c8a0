"""A run with an encoder of its own: its rate, what is frozen, weight decay, public weights, and what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.network.config import UNetConfig  # noqa: E402
from fastcolor.network.unet import ColorUNet  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.dataset import Sample  # noqa: E402
from fastcolor.training.distributed import Team  # noqa: E402
from fastcolor.training.mixture import PhotoSet  # noqa: E402
from fastcolor.training.train import train  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, Trainer, saved_config  # noqa: E402

BINS = ColorBins.default()
LITE = UNetConfig(encoder="efficientnet-lite0", bottom=16, up=(8, 8, 8, 8))
SMALL = TrainConfig(network=LITE, steps=4, batch=2, size=32, augment="mixed", loader="device", weight_decay=0.1)
RESUME = ["train", "--resume", "--pictures", "0"]


def trainer(**options: Any) -> Trainer:
    return Trainer(replace(SMALL, **options), BINS, torch.device("cpu"), Team())


def sample() -> Sample:
    labels = torch.randint(0, 32, (3, 48, 48), generator=torch.Generator().manual_seed(0)).byte()
    return Sample(torch.rand(3, 1, 96, 96), labels, torch.ones(3, 48, 48), labels < 32)


def test_groups_have_their_rates_and_decays() -> None:
    """What a step moves: by Adam's first step, the rate times the sign of the gradient, and the decay of matrices."""
    made = trainer(rate=1e-3, encoder_rate=0.1, warmup=0)
    before = {name: value.clone() for name, value in made.model.named_parameters()}
    made.train_step(sample())
    for name, value in made.model.named_parameters():
        rate = 1e-3 * (0.1 if name.startswith("encoder.") else 1.0)
        decay = 0.1 if value.ndim > 1 else 0.0
        moved = (value - (1 - rate * decay) * before[name]).abs().max()
        assert moved <= 1.001 * rate + 1e-7, name  # where the gradient is no more than Adam's epsilon it is less
        assert moved > 0.99 * rate or name.endswith("bias"), name
    assert [group["share"] for group in made.optimizer.param_groups] == [1.0, 1.0, 0.1, 0.1]
    assert made.optimizer.param_groups[0]["lr"] == 1e-3


def test_an_encoder_with_weights_begins_at_the_shares_of_the_bins() -> None:
    made = trainer()
    before = made.model.head[-1].weight.clone()
    made.start_encoder_from("efficientnet-lite0")
    for network in (made.model, made.average):
        assert torch.equal(network.head[-1].bias, torch.log(torch.tensor(BINS.prior) + 1e-4).float())
        assert torch.equal(network.head[-1].weight, 0.1 * before)


def test_in_bfloat16_layers_are_spared_in_training_alone() -> None:
    def spared(network: ColorUNet) -> int:
        return sum("forward" in vars(layer) for layer in network.modules())

    assert spared(trainer(bfloat16=True).model) > 0
    assert spared(trainer(bfloat16=True).average) == spared(trainer().model) == 0


def test_frozen_blocks_stay_with_their_statistics() -> None:
    made = trainer(freeze=2)
    frozen = ("encoder.stem.", "encoder.blocks.0.", "encoder.blocks.1.")
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    made.train_step(sample())
    for name, value in made.model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, before[name]) == name.startswith(frozen), name
    with pytest.raises(ValueError, match="freeze: expected at most the 16 blocks of the encoder, got 17"):
        trainer(freeze=17)


def test_drop_path_and_dropout_are_of_training_alone() -> None:
    made = trainer(drop_path=0.5, dropout=0.5)
    luma = torch.rand(2, 1, 32, 32)
    assert not torch.equal(made.model(luma), made.model(luma))
    assert torch.equal(made.average(luma), made.average(luma))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"freeze": 1}, "freeze: expected 0 for a network with encoder='plain', got 1"),
        ({"encoder_rate": 0.5}, "encoder_rate: expected 1 for a network with encoder='plain'"),
        ({"drop_path": 0.1}, "drop_path: expected 0 for a network with encoder='plain'"),
        ({"dropout": 0.1}, "dropout: expected 0 for a network with encoder='plain'"),
        ({"soft": 33}, r"soft: expected an integer in 0\.\.32, got 33"),
        ({"sigma": 0.0}, "sigma: expected a finite number > 0"),
        ({"area": 0.0}, "area: expected a finite number > 0"),
        ({"area": 1.5}, r"area: expected a number in \[0, 1\]"),
        ({"degrade": 2.0}, r"degrade: expected a number in \[0, 1\]"),
        ({"balance": -1.0}, r"balance: expected a number in \[0, 1\]"),
        ({"encoder_rate": -1.0}, "encoder_rate: expected a finite number >= 0"),
        ({"freeze": 1.5}, "freeze: expected an integer"),
        ({"drop_path": 1.5}, r"drop_path: expected a number in \[0, 1\]"),
    ],
)
def test_wrong_options_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        TrainConfig(**values)


def test_a_run_with_an_encoder_goes_on_bit_for_bit(photos: Path, tmp_path: Path) -> None:
    """With drop-out, whose random state the checkpoint keeps, and groups that the moments must find again."""
    config = replace(SMALL, drop_path=0.3, dropout=0.3, freeze=1, encoder_rate=0.3, soft=3, degrade=1.0, clip=1.0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train([PhotoSet(photos)], whole, config, BINS, pictures=0)
    train([PhotoSet(photos)], broken, replace(config, steps=2), BINS, pictures=0)
    train([PhotoSet(photos)], broken, config, BINS, resume=True, pictures=0)
    a, b = (load_tensors(run / CHECKPOINT)[0] for run in (whole, broken))
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_another_encoder_or_other_groups_are_told(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train([PhotoSet(photos)], run, replace(SMALL, steps=1, freeze=2), BINS, pictures=0)
    good = (run / CHECKPOINT).read_bytes()

    def error(*more: str) -> str:
        assert main([*RESUME, str(photos), "--out", str(run), *more]) == 1
        assert (run / CHECKPOINT).read_bytes() == good
        return capsys.readouterr().err

    assert "freeze: expected 2, as the run in" in error("--freeze", "5")
    assert "encoder_weights: expected none with resume" in error("--encoder-weights", "efficientnet-lite0")
    plain = TrainConfig(network=UNetConfig(fold=2), steps=2, batch=2, size=32)
    with pytest.raises(ValueError, match=r"network: expected that of the run in .*efficientnet-lite0.*, got .*plain"):
        train([PhotoSet(photos)], run, plain, BINS, resume=True)
    assert main(["train", str(photos), "--out", str(tmp_path / "new"), "--start", str(run / "model")]) == 1
    assert "start: expected a network of the shape UNetConfig(" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(["train", str(photos), "--out", str(tmp_path / "new"), "--encoder-weights", str(run / CHECKPOINT)]) == 1
    assert "expected encoder='efficientnet-lite0'" in capsys.readouterr().err


def test_the_recipe_starts_from_public_weights(photos: Path, tmp_path: Path) -> None:
    run, small = tmp_path / "run", ["--steps", "1", "--batch", "2", "--size", "32", "--pictures", "0", "--workers", "0"]
    words = ["train", str(photos), "--out", str(run), "--recipe", "everyday", *small, "--freeze", "16"]
    assert main([*words, "--encoder-weights", "efficientnet-lite0"]) == 0
    config = saved_config(run)
    assert (config.network.encoder, config.augment, config.degrade) == ("efficientnet-lite0", "mixed", 1.0)
    from fastcolor.network.encoder_weights import load_encoder

    expected, found = ColorUNet(config.network, BINS), ColorUNet.from_pretrained(run / "best")
    load_encoder(expected, "efficientnet-lite0")
    frozen = found.encoder.state_dict()
    for name, value in expected.encoder.state_dict().items():
        assert torch.equal(frozen[name], value), name
