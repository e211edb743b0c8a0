"""The mean of networks: of what it is the mean, and what is no mean."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor.bins import ColorBins  # noqa: E402
from fastcolor.commands.main import main  # noqa: E402
from fastcolor.network.config import UNetConfig  # noqa: E402
from fastcolor.network.soup import average  # noqa: E402
from fastcolor.network.unet import ColorUNet  # noqa: E402

BINS = ColorBins.default()
SMALL = UNetConfig(down=(4, 8), up=(4,), head=4)


def network(seed: int, config: UNetConfig = SMALL, bins: ColorBins = BINS) -> ColorUNet:
    torch.manual_seed(seed)
    made = ColorUNet(config, bins)
    for value in made.buffers():  # statistics of their own
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return made.eval()


def test_weights_and_statistics_are_the_means() -> None:
    parts = [network(seed) for seed in range(3)]
    mean = average(parts).state_dict()
    for name, value in mean.items():
        if value.is_floating_point():
            expected = np.mean([part.state_dict()[name].double().numpy() for part in parts], axis=0)
            np.testing.assert_array_equal(value.numpy(), expected.astype(np.float32), err_msg=name)
    assert not all(torch.equal(mean[name], parts[0].state_dict()[name]) for name in mean)


def test_how_it_is_decoded_is_the_first_ones() -> None:
    warm, cold = (network(1, UNetConfig(down=(4, 8), up=(4,), head=4, temperature=t)) for t in (1.0, 0.3))
    assert average([warm, cold]).config.temperature == 1.0


def test_what_does_not_fit() -> None:
    other = BINS.colors.copy()
    other[3] += 0.01
    with pytest.raises(ValueError, match="got none"):
        average([])
    with pytest.raises(ValueError, match=r"networks\[1\]: expected {'head': 4} as networks\[0\] has, got {'head': 8}"):
        average([network(0), network(0, UNetConfig(down=(4, 8), up=(4,), head=8))])
    with pytest.raises(ValueError, match=r"networks\[1\]: expected the bins"):
        average([network(0), network(0, bins=ColorBins(BINS.table, other, BINS.prior))])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        network(seed).save_pretrained(tmp_path / str(seed))
    command = ["average", str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(tmp_path / "mean")]
    assert main(command) == 0
    made = ColorUNet.from_pretrained(tmp_path / "mean")
    expected = average([network(0), network(1)])
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), expected.parameters(), strict=True))
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    network(0, UNetConfig(down=(4, 8), up=(8,), head=4)).save_pretrained(tmp_path / "2")
    assert main(["average", str(tmp_path / "0"), str(tmp_path / "2"), "--out", str(tmp_path / "other")]) == 1
    assert f"{tmp_path / '2'}: expected {{'up': (4,)}} as {tmp_path / '0'} has" in capsys.readouterr().err


def test_a_full_disk_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network(0).save_pretrained(tmp_path / "0")
    command = ["average", str(tmp_path / "0"), "--out", str(tmp_path / "mean")]
    with monkeypatch.context() as full:
        full.setattr("safetensors.torch.save_file", Mock(side_effect=OSError(28, "No space left on device")))
        assert main(command) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert main(command) == 0
