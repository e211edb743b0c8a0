"""Gray photographs to color: luma -> logits at the size the network knows -> chroma -> merged with the full luma."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import checks
from ..errors import MissingExtraError
from ..files.images import as_photo
from ..ops import confidence
from .decoding import Decoding
from .paper import render

if TYPE_CHECKING:
    import torch

    from ..bins import ColorBins
    from ..network.unet import ColorUNet

DEFAULT_MODEL = "everyday"
SIZES = (16, 8192)  # sides that the network may be run at


def colorize(
    image: Any,
    *,
    model: str | os.PathLike[str] | ColorUNet | None = None,
    temperature: float | None = None,
    size: int | None = None,
    mirror: bool | None = None,
    device: str | torch.device | None = None,
) -> NDArray[np.uint8]:
    """``rgb = merge(decode(network(reduce(Y))), Y)``: a photograph of any size, in color; paper stays white.

    Parameters
    ----------
    image : path, Pillow image, or uint8 array (H, W) or (H, W, 3)
        Of a color image only the luma is used. Files and Pillow images are turned upright by their EXIF orientation;
        16-bit gray keeps its precision.
    model : str, path or ColorUNet, optional
        A bundled name, a folder of :meth:`ColorUNet.save_pretrained`, or a network in eval mode; the default is
        "everyday". Networks that are named are loaded once a process and device.
    temperature : float, optional
        Decode by the plain annealed mean at this T >= 0: small is vivid, 1 is the mean. By default the model's own
        decoding, which may hold back color where the network is in doubt:
        :class:`fastcolor.photo.decoding.Decoding`.
    size : int, optional
        Side in pixels of the square that the photograph becomes for the network; by default the model's. The result
        has the photograph's own shape and resolution at any size: chroma is upsampled, luma is kept.
    mirror : bool, optional
        Let the network see the photograph a second time as in a mirror, and take the mean of both logits: somewhat
        better, in twice the time. By default the model's.
    device : str or torch.device, optional
        By default CUDA where there is some, else the CPU. A ColorUNet runs where it is.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        Its luma is the input's wherever the color lies inside the RGB cube.

    Raises
    ------
    MissingExtraError
        torch or safetensors is not installed.
    ImageError, OSError
        The file cannot be read; names it.
    WeightsError
        Unknown model, or damaged weights.
    TypeError, ValueError
        Any other argument is wrong.

    References
    ----------
    ColorUNet (arXiv:1811.03120); Zhang et al. 2016 (arXiv:1603.08511), equation 5.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> fastcolor.colorize(np.full((30, 40), 128, np.uint8)).shape
    (30, 40, 3)
    """
    photo = as_photo(image)
    colorizer = Colorizer.load(model, temperature=temperature, size=size, mirror=mirror, device=device)
    (prediction,) = colorizer.predict(colorizer.reduce(photo.luma)[None])
    return colorizer.render(prediction, photo.luma)


class Prediction(NamedTuple):
    """What the network says of one photograph, at its own resolution."""

    chroma: NDArray[np.float32]  # (2, h, w)
    top: NDArray[np.float32] | None  # (h, w), the probability of the most likely bin


@dataclass(frozen=True)
class Colorizer:
    """A network and how it is used, checked: what :func:`colorize` makes of its options."""

    network: ColorUNet
    decoding: Decoding
    size: int
    mirror: bool = False

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | ColorUNet | None = None,
        *,
        temperature: float | None = None,
        size: int | None = None,
        mirror: bool | None = None,
        device: str | torch.device | None = None,
    ) -> Colorizer:
        """Parameters and errors as in :func:`colorize`."""
        decoding = None if temperature is None else Decoding(temperature)
        if size is not None:
            size = checks.integer("size", size, *SIZES)
        if mirror is not None and not isinstance(mirror, (bool, np.bool_)):
            raise TypeError(f"mirror: expected True, False or None, got {mirror!r}")
        network = _network(model, device)
        own = network.config
        return cls(
            network,
            Decoding(own.temperature, own.doubt, own.gain) if decoding is None else decoding,
            own.size if size is None else size,
            own.mirror if mirror is None else bool(mirror),
        )

    @property
    def temperature(self) -> float:
        """T of the decoding."""
        return self.decoding.temperature

    @property
    def bins(self) -> ColorBins:
        """What the network's logits stand for."""
        assert self.network.bins is not None  # checked by _network
        return self.network.bins

    def reduce(self, luma: NDArray[Any]) -> NDArray[np.float32]:
        """Luma (H, W), uint8 or float32 in [0, 1], as the network sees it: (h, w) float32."""
        from ..network.inference import network_input

        return network_input(luma, self.size, self.network.config.multiple)

    def logits(self, batch: NDArray[np.float32]) -> torch.Tensor:
        """Logits of (N, h, w) or (h, w) luma, on the CPU; with `mirror` the mean with those of the mirror image."""
        from ..network.inference import predict

        return predict(self.network, batch, mirror=self.mirror).cpu()

    def chroma(self, logits: Any) -> NDArray[np.float32]:
        """(2, h, w) or (N, 2, h, w) of logits, which may be the logarithms of any mean of probabilities."""
        return self.decoding.chroma(logits, self.bins)

    def render(self, prediction: Prediction, luma: NDArray[Any]) -> NDArray[np.uint8]:
        """RGB (H, W, 3), uint8, of the photograph whose luma this is: uint8 or float32 in [0, 1].

        ``merge(chroma, luma)``, and no tint where :func:`fastcolor.photo.paper.render` says that there is paper.
        """
        return render(prediction.chroma, luma)

    def predict(self, batch: NDArray[np.float32], *, with_confidence: bool = False) -> list[Prediction]:
        """A :class:`Prediction` for each image of (N, h, w) luma, all in one pass of the network."""
        logits = self.logits(batch)
        chroma = self.chroma(logits)
        tops = confidence(logits)[0].numpy() if with_confidence else [None] * len(chroma)
        return [Prediction(c, top) for c, top in zip(chroma, tops, strict=True)]


def _network(model: Any, device: Any) -> ColorUNet:
    """The network that `model` stands for, ready to run."""
    unet = network_module("colorize")
    if model is None or isinstance(model, (str, os.PathLike)):
        name = DEFAULT_MODEL if model is None else model
        return _load(name if isinstance(name, str) else Path(name), _device(device))
    if not isinstance(model, unet.ColorUNet):
        raise TypeError(f"model: expected a name, a folder or a ColorUNet, got {type(model).__name__}")
    if device is not None:
        raise ValueError(
            f"device: expected None with a ColorUNet, got {device!r}; it runs where it is, so move it first"
        )
    if model.training:
        raise ValueError("model: expected a network in eval mode, got one in training mode; call model.eval()")
    if model.bins is None:
        raise ValueError("model: expected a network with bins, got bins=None; ColorUNet(config, bins) sets them")
    return model


@lru_cache(maxsize=4)
def _load(name: str | Path, device: str) -> ColorUNet:
    return network_module("colorize").ColorUNet.from_pretrained(name).to(device)


def network_module(what: str) -> Any:
    """The module :mod:`fastcolor.network.unet`, or an error that `what` needs the extra that brings torch."""
    try:
        import safetensors  # noqa: F401

        from ..network import unet
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingExtraError(what, error.name, "torch") from None
    return unet


def _device(device: Any) -> str:
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device: expected 'cpu', 'cuda' or 'cuda:<number>', got {device!r}") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: expected one of {torch.cuda.device_count()} CUDA devices, got {device!r}; use 'cpu'")
    return str(chosen)
