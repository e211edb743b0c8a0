"""ColorUNet: from a luma image to n logits per pixel, with a choice of encoder.

The default :class:`~fastcolor.network.config.UNetConfig` is the network of the paper's Figure 2, 142,016 parameters at
32 bins. Deeper and wider ones are the same class with longer tuples. With ``fold=2`` the network sees 2x2 luma pixels
as four channels and gives logits of half the side: a quarter of the work a pixel, at little cost in quality, since
chroma is upsampled to the full luma anyway. With ``encoder="efficientnet-lite0"`` the way down is one that can have
learned from ImageNet what is in a picture; its logits have half the side, too.

Source: Billaut, de Rochemonteix, Thibault, "ColorUNet" (arXiv 1811.03120), Figure 2.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..arrays import checks
from ..bins import ColorBins
from ..errors import WeightsError, in_short
from ..files.atomic import atomic_path, write_json
from ..files.tensors import look_into, read_tensors
from .config import PLAIN, UNetConfig, load_config
from .decoder import Bottom, sum_cells
from .efficientnet import DEEPEST, SKIPS, EfficientNetLite0
from .plain import DownCells, head, up_cells
from .pretrained import BINS, CONFIG, WEIGHTS, misfit, model_folder, taken


def pad_reflected(x: Tensor, multiple: int) -> Tensor:
    """Continue (N, C, H, W) by reflection, below and to the right, to the next multiple; any size, even one pixel."""
    for axis in (-2, -1):
        length = x.shape[axis]
        target = -(-length // multiple) * multiple
        if target != length:
            period = max(1, 2 * (length - 1))
            index = torch.arange(target, device=x.device) % period
            x = x.index_select(axis, torch.minimum(index, period - index))
    return x


class ColorUNet(nn.Module):
    """``logits = head(up(... up(deepest, skip) ..., skip))``: luma in [0, 1] to n logits per pixel.

    Its modules are `down`, or `encoder` and `bottom`, as ``config.encoder`` says, then `up` and `head`, whose last
    convolution gives the logits.

    Parameters
    ----------
    config : UNetConfig, optional
        The paper's by default.
    bins : ColorBins, optional
        What the logits stand for; needed to decode them and to save the network.

    Raises
    ------
    ValueError
        If `bins` has another number of bins than `config`, or divides another plane than UV.

    References
    ----------
    ColorUNet (arXiv:1811.03120), Figure 2; EfficientNet (arXiv:1905.11946), table 1.

    Examples
    --------
    >>> network = ColorUNet()
    >>> sum(parameter.numel() for parameter in network.parameters())
    142016
    >>> network(torch.zeros(1, 1, 50, 70)).shape
    torch.Size([1, 32, 50, 70])
    >>> ColorUNet(UNetConfig(encoder="efficientnet-lite0")).eval()(torch.zeros(1, 1, 50, 70)).shape
    torch.Size([1, 32, 25, 35])
    """

    def __init__(self, config: UNetConfig | None = None, bins: ColorBins | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        if bins is not None:
            _check_bins(bins, config)
        self.bins = bins
        if config.encoder == PLAIN:
            self.down = DownCells(config.fold, config.down)
            self.up, channels = up_cells(config.down, config.up)
            self.head = head(channels, config.head, config.bins)
        else:
            self.encoder = EfficientNetLite0()
            self.bottom = Bottom(DEEPEST, config.bottom)
            self.up = sum_cells(config.bottom, SKIPS.values(), config.up)
            self.head = nn.Sequential(nn.Conv2d(config.up[-1], config.bins, 1))

    def regularize(self, *, drop_path: float = 0.0, dropout: float = 0.0) -> None:
        """What training does so that a network with EfficientNet-Lite0 does not learn its photographs by heart.

        It is no part of the configuration: a network is made, loaded and copied without, and evaluation has none.

        Parameters
        ----------
        drop_path : float
            Stochastic depth, in [0, 1): the probability with which a sample skips block i of the encoder, 0 to 15, is
            ``drop_path * i / 15``. Blocks 0, 1, 3, 5, 8, 11 and 15, which change stride or channels, have no way around
            and are never skipped, so that 14 / 15 of `drop_path` is the most.
        dropout : float
            The probability in [0, 1) with which a channel of the deepest map is zero for a sample.

        Raises
        ------
        ValueError, TypeError
            If one is out of range, or not 0 with the plain encoder, which has neither.
        """
        for name, value in (("drop_path", drop_path), ("dropout", dropout)):
            checks.real(name, value, 0.0, 0.999)
            if value and self.config.encoder == PLAIN:
                raise ValueError(f"{name}: expected 0 with encoder={PLAIN!r}, which has no such layers, got {value}")
        if self.config.encoder != PLAIN:
            self.encoder.set_drop(drop_path)
            self.bottom.dropout.p = dropout

    def forward(self, luma: Tensor) -> Tensor:
        """Logits (N, n, ceil(H / fold), ceil(W / fold)) of luma (N, 1, H, W) in [0, 1]; any H and W."""
        if luma.ndim != 4 or luma.shape[1] != 1:
            raise ValueError(f"luma: expected shape (N, 1, H, W), got {tuple(luma.shape)}; luma[None, None] adds axes")
        height, width = (-(-side // self.config.fold) for side in luma.shape[-2:])
        luma = pad_reflected(luma, self.config.multiple)
        if self.config.encoder == PLAIN:
            x, skips = self.down(luma)
        else:
            x, skips = self.encoder(luma)
            x = self.bottom(x)
        for cell in self.up:
            x = cell(x, skips.pop())
        return self.head(x)[..., :height, :width]

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str]) -> ColorUNet:
        """The network of a bundled model's name, or of a folder that :meth:`save_pretrained` wrote; in eval mode.

        Raises
        ------
        WeightsError
            Unknown name, missing or damaged file, weights that do not fit the configuration, those of another encoder
            say, or that are not finite floats: names the file.

        Examples
        --------
        >>> ColorUNet.from_pretrained("landscapes").bins.n
        32
        """
        folder = model_folder(name_or_path)
        config = load_config(folder / CONFIG)
        bins = _load_bins(folder / BINS, config)
        path = folder / WEIGHTS
        try:
            stored, _ = look_into(path)
            if wrong := misfit(stored, shapes_of(config)):  # before anything of the size in the config is made
                raise WeightsError(f"{path}: weights do not fit {folder / CONFIG}: {in_short(wrong)}")
            tensors = read_tensors(path, stored)
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such file") from None
        except WeightsError:
            raise
        except (ValueError, OSError) as error:
            raise WeightsError(f"{path}: expected a safetensors file, got a damaged one ({in_short(error)})") from error
        model = cls(config, bins)
        try:
            model.load_state_dict(taken(tensors, model.state_dict()))
        except ValueError as error:
            raise WeightsError(f"{path}: {error}") from error
        # Channels-last weights make the bfloat16 convolutions two to three times faster on the CPU.
        return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def save_pretrained(
        self, folder: str | os.PathLike[str], *, half: bool = False, said: dict[str, str] | None = None
    ) -> None:
        """Write `weights.safetensors`, `config.json` and `bins.npz` into `folder`, made if need be.

        Each file is written whole or not at all, the weights last; OSError if the disk is full.

        Parameters
        ----------
        folder : path
        half : bool
            Store the convolutions as float16: half the size.
        said : dict, optional
            What is said of the weights: the metadata of their file, which come and go with them.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        if self.bins is None:
            raise ValueError("bins: expected the ColorBins of the logits, got None; ColorUNet(config, bins) keeps them")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, asdict(self.config))
        ColorBins(self.bins.table, self.bins.colors, self.bins.prior).save(folder / BINS)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        if half:  # not batch normalisation: its variances can leave the range of float16, and weigh nothing
            tensors = {name: value.half() if value.ndim == 4 else value for name, value in tensors.items()}
        try:
            with atomic_path(folder / WEIGHTS) as temporary:
                save_file(tensors, temporary, said)
        except SafetensorError as error:
            raise OSError(f"{folder / WEIGHTS}: cannot be written ({error})") from error


def shapes_of(config: UNetConfig) -> dict[str, Tensor]:
    """The tensors of a ColorUNet by name, without memory for what is in them."""
    with torch.device("meta"):
        return dict(ColorUNet(config).state_dict())


def _load_bins(path: Path, config: UNetConfig) -> ColorBins:
    """The bins of a model, which fit its configuration."""
    try:
        bins = ColorBins.load(path)
    except (ValueError, OSError) as error:  # which names the file
        raise WeightsError(str(error)) from error
    try:
        _check_bins(bins, config)
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    return bins


def _check_bins(bins: ColorBins, config: UNetConfig) -> None:
    if bins.n != config.bins:
        raise ValueError(f"bins: expected {config.bins} bins as in the config, got {bins.n}")
    if bins.space != "yuv":
        raise ValueError(f"bins: expected bins of YUV, whose luma is the network's input, got bins of {bins.space}")
