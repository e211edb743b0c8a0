"""The shape of a ColorUNet, and how its logits are best used: what `config.json` in the folder of a model says."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..arrays import checks
from ..errors import WeightsError, in_short
from ..files.objects import read_object

PLAIN, LITE0 = "plain", "efficientnet-lite0"
SHAPES: dict[str, dict[str, Any]] = {  # by encoder: the fields that follow from it, unless they are given
    PLAIN: {"down": (16, 32, 64), "bottom": 0, "up": (32, 32), "head": 16, "fold": 1},
    LITE0: {"down": (), "bottom": 256, "up": (192, 128, 64, 32), "head": 0, "fold": 2},
}
LITE0_STRIDE = 32
MAX_WIDTH = 65_536  # channels of a layer, whose weights are 150 GB if all are so wide
MAX_CELLS = 8  # of the way down: the input is padded to multiples of 1,024 pixels then
MAX_SIZE = 4096  # pixels
LARGEST_FILE = 1 << 20  # bytes of a config.json
MOST = 1000.0  # doubt and gain: far beyond use, and their squares far from the end of float32
OWN: Any = None  # the encoder's own value, which __post_init__ puts in its place


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a :class:`~fastcolor.network.unet.ColorUNet`, and how its logits are best used.

    The defaults are the paper's network. What is None by default is the encoder's own value, given here as
    "plain / efficientnet-lite0".

    Parameters
    ----------
    bins : int
        n, the number of logits per pixel.
    encoder : {"plain", "efficientnet-lite0"}
        The way down: cells of convolution and pooling as in the paper, or EfficientNet-Lite0 with a stem for one
        channel, which can start from public weights (:func:`fastcolor.network.encoder_weights.load_encoder`).
    down : tuple of int, optional
        (16, 32, 64) / (). Output channels of the plain encoder's cells, first cell first. Each halves the side.
    bottom : int, optional
        0 / 256. Channels of the deepest map, at 1/32 of the side, behind EfficientNet-Lite0.
    up : tuple of int, optional
        (32, 32) / (192, 128, 64, 32). Output channels of the up cells, deepest first: one fewer than `down`, or four,
        at 1/16, 1/8, 1/4 and 1/2 of the side.
    head : int, optional
        16 / 0. Channels between the plain network's last upsampling and its logits.
    fold : int, optional
        1 / 2. Logits have 1/fold of the luma's side. The plain encoder takes blocks of fold x fold pixels (1, 2 or 4)
        as fold^2 channels; EfficientNet-Lite0's stem has stride 2.
    temperature : float
        T of the annealed mean unless the user chooses another.
    size : int
        Side in pixels of the square that photographs become for the network unless the user chooses another.
    doubt, gain : float
        How far doubt pulls to gray, and the gain of the chroma, both at most 1000, unless the user chooses a
        temperature: see :class:`fastcolor.photo.decoding.Decoding`. 0 and 1 are the plain annealed mean.
    mirror : bool
        Whether photographs are seen a second time as in a mirror, unless the user chooses.

    Raises
    ------
    ValueError, TypeError
        If the widths do not fit together or to the encoder, or a number is out of range.

    Examples
    --------
    >>> UNetConfig().down, UNetConfig(encoder="efficientnet-lite0").up
    ((16, 32, 64), (192, 128, 64, 32))
    """

    bins: int = 32
    encoder: str = PLAIN
    down: tuple[int, ...] = OWN
    bottom: int = OWN
    up: tuple[int, ...] = OWN
    head: int = OWN
    fold: int = OWN
    temperature: float = 0.38
    size: int = 256
    doubt: float = 0.0
    gain: float = 1.0
    mirror: bool = False

    def __post_init__(self) -> None:
        checks.choice("encoder", self.encoder, tuple(SHAPES))
        for name, own in SHAPES[self.encoder].items():
            given = getattr(self, name)
            several = isinstance(own, tuple)
            object.__setattr__(self, name, own if given is None else _width(name, given, several=several))
        (self._check_plain if self.encoder == PLAIN else self._check_lite0)()
        check_decoding(self.temperature, self.doubt, self.gain)
        checks.integer("size", self.size, 1, MAX_SIZE)
        if not isinstance(self.mirror, bool):
            raise TypeError(f"mirror: expected true or false, got {self.mirror!r}")

    def _check_plain(self) -> None:
        if not 2 <= len(self.down) <= MAX_CELLS or len(self.up) != len(self.down) - 1:
            raise ValueError(
                f"up: expected one width fewer than down has (2 to {MAX_CELLS}), "
                f"got {_few(self.down)} and {_few(self.up)}"
            )
        if self.fold not in (1, 2, 4):
            raise ValueError(f"fold: expected 1, 2 or 4, got {self.fold}")
        _check_positive(self, self.bins, *self.down, *self.up, self.head, self.fold)
        if self.bottom != 0:
            raise ValueError(f"bottom: expected 0 with encoder={PLAIN!r}, whose last cell it is, got {self.bottom}")

    def _check_lite0(self) -> None:
        fixed = {name: SHAPES[LITE0][name] for name in ("down", "head", "fold")}
        given = {name: getattr(self, name) for name in fixed}
        if given != fixed:
            raise ValueError(
                f"{', '.join(fixed)}: expected {fixed} with encoder={LITE0!r}, got {given}; leave them out"
            )
        if len(self.up) != 4:
            raise ValueError(f"up: expected 4 widths with encoder={LITE0!r}, deepest first, got {_few(self.up)}")
        _check_positive(self, self.bins, self.bottom, *self.up)

    @property
    def multiple(self) -> int:
        """The input is padded inside to a multiple of this many pixels."""
        return LITE0_STRIDE if self.encoder == LITE0 else int(self.fold * 2 ** len(self.down))


def check_decoding(temperature: float, doubt: float, gain: float) -> None:
    """TypeError or ValueError if one is no number or out of range."""
    checks.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
    checks.real("doubt", doubt, 0.0, MOST)
    checks.real("gain", checks.positive("gain", gain), 0.0, MOST)


def _width(name: str, value: Any, *, several: bool) -> Any:
    """A width, or a tuple of them, of which JSON has lists."""
    if several and not (isinstance(value, (list, tuple)) and all(type(width) is int for width in value)):
        raise TypeError(f"{name}: expected a list of integers, got {value!r}")
    if not several and type(value) is not int:
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    return tuple(value) if several else value


def _check_positive(config: UNetConfig, *widths: Any) -> None:
    if not all(type(width) is int and 0 < width <= MAX_WIDTH for width in widths):
        raise ValueError(f"down, bottom, up, head, fold, bins: expected integers in 1..{MAX_WIDTH}, got {config}")


def _few(widths: tuple[int, ...]) -> str:
    """Widths as text, the first of them if they are many."""
    return str(widths[:12]) + (f" and {len(widths) - 12} more" if len(widths) > 12 else "")


def load_config(path: Path) -> UNetConfig:
    """Read a JSON file that :meth:`ColorUNet.save_pretrained` wrote; WeightsError that names it if it is wrong."""
    try:
        values = read_object(path, LARGEST_FILE)
        if unknown := sorted(set(values) - {field.name for field in fields(UNetConfig)}):
            raise ValueError(f"unknown keys {', '.join(unknown)}")
        return UNetConfig(**values)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; is this the folder of a model?") from None
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: expected the configuration of a ColorUNet, got {in_short(error)}") from error
