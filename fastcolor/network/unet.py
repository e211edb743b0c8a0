"""ColorUNet: the network of the paper's Figure 2, from a luma image to n logits per pixel.

The default :class:`UNetConfig` is the paper's network, 142,016 parameters at 32 bins. Deeper and wider ones are the
same class with longer tuples. With ``fold=2`` the network sees 2x2 luma pixels as four channels and gives logits of
half the side: a quarter of the work a pixel, at little cost in quality, since chroma is upsampled to the full luma
anyway.

Source: Billaut, de Rochemonteix, Thibault, "ColorUNet" (arXiv 1811.03120), Figure 2.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..bins import ColorBins
from ..errors import WeightsError
from ..files.atomic import atomic_path, write_json
from .pretrained import BINS, CONFIG, WEIGHTS, model_folder


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a :class:`ColorUNet`, and how its logits are best used; the defaults are the paper's.

    Parameters
    ----------
    bins : int
        n, the number of logits per pixel.
    down : tuple of int
        Output channels of the down cells, first cell first. Each halves the side of the image.
    up : tuple of int
        Output channels of the up cells, deepest first: one fewer than `down`.
    head : int
        Channels between the last upsampling and the logits.
    fold : int
        1, 2 or 4. Blocks of fold x fold luma pixels enter as fold^2 channels; logits have 1/fold of the luma's side.
    temperature : float
        T of the annealed mean unless the user chooses another.
    size : int
        Side in pixels of the square that photographs become for the network unless the user chooses another.
    doubt, gain : float
        How far doubt pulls to gray, and the gain of the chroma, unless the user chooses a temperature: see
        :class:`fastcolor.photo.decoding.Decoding`. 0 and 1 are the plain annealed mean.
    mirror : bool
        Whether photographs are seen a second time as in a mirror, unless the user chooses.

    Raises
    ------
    ValueError
        If the tuples do not fit together, or a number is out of range.
    """

    bins: int = 32
    down: tuple[int, ...] = (16, 32, 64)
    up: tuple[int, ...] = (32, 32)
    head: int = 16
    fold: int = 1
    temperature: float = 0.38
    size: int = 256
    doubt: float = 0.0
    gain: float = 1.0
    mirror: bool = False

    def __post_init__(self) -> None:
        for name in ("down", "up"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.down) < 2 or len(self.up) != len(self.down) - 1:
            raise ValueError(f"up: expected one width fewer than down has (at least 2), got {self.down} and {self.up}")
        if not all(isinstance(width, int) and width > 0 for width in (self.bins, *self.down, *self.up, self.head)):
            raise ValueError(f"down, up, head, bins: expected positive integers, got {self}")
        if self.fold not in (1, 2, 4):
            raise ValueError(f"fold: expected 1, 2 or 4, got {self.fold}")
        if not self.temperature >= 0 or self.size < 1:
            raise ValueError(f"temperature, size: expected T >= 0 and a size >= 1, got {self.temperature}, {self.size}")
        if not (self.doubt >= 0 and self.gain > 0 and isinstance(self.mirror, bool)):
            given = f"{self.doubt}, {self.gain}, {self.mirror}"
            raise ValueError(f"doubt, gain, mirror: expected a number >= 0, one > 0, true or false, got {given}")

    @property
    def multiple(self) -> int:
        """The input is padded inside to a multiple of this many pixels."""
        return int(self.fold * 2 ** len(self.down))

    @classmethod
    def _load(cls, path: Path) -> UNetConfig:
        """Read a JSON file that :meth:`ColorUNet.save_pretrained` wrote; WeightsError that names it if it is wrong."""
        try:
            values = json.loads(path.read_text())
            if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
                raise ValueError(f"unknown keys {', '.join(unknown)}")
            return cls(**values)
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such file; is this the folder of a model?") from None
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(f"{path}: expected the configuration of a ColorUNet, got {error}") from error


def conv(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3 convolution with padding 1, then ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def upsample(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3 transposed convolution of stride 2 that doubles the side exactly, then ReLU."""
    return [nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1), nn.ReLU(inplace=True)]


def down_cell(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, 2x2 max pooling, batch normalisation: (N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
    return nn.Sequential(*conv(inputs, outputs), *conv(outputs, outputs), nn.MaxPool2d(2), nn.BatchNorm2d(outputs))


def up_cell(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    """Transposed and two plain convolutions, batch normalisation: (N, inputs, H, W) -> (N, outputs, 2H, 2W)."""
    layers = [*upsample(inputs, middle), *conv(middle, outputs), *conv(outputs, outputs)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs))


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
    """``logits = head(up(... concat(up(down(...)), skip)))``: luma in [0, 1] to n logits per pixel.

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
    ColorUNet (arXiv:1811.03120), Figure 2.

    Examples
    --------
    >>> network = ColorUNet()
    >>> sum(parameter.numel() for parameter in network.parameters())
    142016
    >>> network(torch.zeros(1, 1, 50, 70)).shape
    torch.Size([1, 32, 50, 70])
    """

    def __init__(self, config: UNetConfig | None = None, bins: ColorBins | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        if bins is not None and bins.n != config.bins:
            raise ValueError(f"bins: expected {config.bins} bins as in the config, got {bins.n}")
        if bins is not None and bins.space != "yuv":
            raise ValueError(f"bins: expected bins of YUV, whose luma is the network's input, got bins of {bins.space}")
        self.bins = bins
        down = config.down
        self.down = nn.ModuleList(down_cell(a, b) for a, b in zip((config.fold**2, *down[:-1]), down, strict=True))
        self.up = nn.ModuleList()
        channels = down[-1]
        for skip, outputs in zip(reversed(down[:-1]), config.up, strict=True):
            self.up.append(up_cell(channels, skip, outputs))
            channels = outputs + skip
        last = nn.Conv2d(config.head, config.bins, 1)
        self.head = nn.Sequential(*upsample(channels, config.head), *conv(config.head, config.head), last)

    def forward(self, luma: Tensor) -> Tensor:
        """Logits (N, n, ceil(H / fold), ceil(W / fold)) of luma (N, 1, H, W) in [0, 1]; any H and W."""
        if luma.ndim != 4 or luma.shape[1] != 1:
            raise ValueError(f"luma: expected shape (N, 1, H, W), got {tuple(luma.shape)}; luma[None, None] adds axes")
        fold = self.config.fold
        height, width = (-(-side // fold) for side in luma.shape[-2:])
        x = F.pixel_unshuffle(pad_reflected(luma, self.config.multiple) - 0.5, fold)
        skips = []
        for cell in self.down:
            x = cell(x)
            skips.append(x)
        skips.pop()  # the deepest goes on by itself
        for cell in self.up:
            x = torch.cat([cell(x), skips.pop()], dim=1)
        return self.head(x)[..., :height, :width]

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str]) -> ColorUNet:
        """The network of a bundled model's name, or of a folder that :meth:`save_pretrained` wrote; in eval mode.

        Raises
        ------
        WeightsError
            Unknown name, missing or damaged file, or weights that do not fit the configuration: names the file.

        Examples
        --------
        >>> ColorUNet.from_pretrained("landscapes").bins.n
        32
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = model_folder(name_or_path)
        config = UNetConfig._load(folder / CONFIG)
        try:
            model = cls(config, ColorBins.load(folder / BINS))
        except (ValueError, OSError) as error:
            raise WeightsError(f"{folder / BINS}: {error}") from error
        path = folder / WEIGHTS
        try:
            model.load_state_dict(load_file(path))
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such file") from None
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: expected a safetensors file, got a damaged one ({error})") from error
        except RuntimeError as error:  # torch lists every tensor that is missing, left over or of another shape
            first = str(error).splitlines()[1:2]
            raise WeightsError(f"{path}: weights do not fit {folder / CONFIG}: {' '.join(first).strip()}") from error
        # Channels-last weights make the bfloat16 convolutions two to three times faster on the CPU.
        return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def save_pretrained(self, folder: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write `weights.safetensors`, `config.json` and `bins.npz` into `folder`, made if need be.

        Each file is written whole or not at all, the weights last; OSError if the disk is full.

        Parameters
        ----------
        folder : path
        half : bool
            Store the convolutions as float16: half the size.
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
                save_file(tensors, temporary)
        except SafetensorError as error:
            raise OSError(f"{folder / WEIGHTS}: cannot be written ({error})") from error
