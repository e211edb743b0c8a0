"""Temporal smoothing of the probabilities before decoding, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from .arrays import checks
from .arrays.dispatch import choose, known
from .arrays.kinds import Seen, adopt, empty, is_traced, is_watched, kind, native, native_as
from .arrays.plans import Plans
from .kernels.common.device_arrays import is_capturing
from .reference.bins import ColorBins, space_of
from .reference.constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, DEFAULT_WINDOW

MAX_WINDOW = 65_535  # 45 minutes of film; the ring of the smallest network's output would take 100 GB
_FILM = 16  # plans of a film: arrays that come by turns may lie differently
_BYTES = {"float32": 4, "float16": 2, "uint8": 1}


def _now(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, kept out of code that torch compiles."""

    @wraps(method)
    def now(self: TemporalSmoother, logits: Any, *others: Any) -> Any:
        if not (kind(logits) == "torch" and is_traced(logits)):
            return method(self, logits, *others)
        from .arrays.torch_ops import eagerly

        return eagerly(method, self, logits, *others)

    return now


class TemporalSmoother:
    """``rgb_t = decode(log p̂_t)`` with ``p̂_t = sum_{i=0..window} softmax(x_{t-i}) exp(-α i)``.

    Computed by the recursion ``s_t = p_t + e^-α s_{t-1} - e^{-α (window + 1)} p_{t-window-1}`` over a ring of past
    frames, in one pass over a frame: the cost does not grow with the window, the memory is
    ``n H W (4 + (window + 1) sizeof(ring))`` bytes.

    Parameters
    ----------
    bins : ColorBins
    alpha : float
        Decay a frame, >= 0.
    window : int
        Number of past frames that count, 0..65535.
    temperature : float
        T >= 0 of the annealed mean of p̂.
    ring : {"float32", "float16", "uint8"}
        Storage of past probabilities; uint8 takes a quarter of the memory and errs by 1.6e-4 of p̂ at most
        with the default α and window. With T > 1 rounding in improbable bins is amplified, whatever the ring.
    from_logits : bool
        False if frames are probabilities, of any scale; zeros are welcome.
    backend : str

    Notes
    -----
    The state lies on the device of the frames. It is changed in place and its frames are counted in Python. A CUDA
    graph or an exported program would repeat one frame for ever, so that :meth:`step` raises RuntimeError in either;
    compiled code breaks its graph there.

    References
    ----------
    ColorUNet (arXiv:1811.03120), section 3.5: window 20, α = 0.2.

    Examples
    --------
    >>> import numpy as np, fastcolor
    >>> bins = fastcolor.ColorBins.default()
    >>> smoother = fastcolor.TemporalSmoother(bins)
    >>> for frame in range(3):
    ...     rgb = smoother.step(np.zeros((bins.n, 4, 6), np.float32), np.full((4, 6), 128, np.uint8))
    >>> rgb.shape, smoother.probabilities.shape
    ((4, 6, 3), (32, 4, 6))
    """

    def __init__(
        self,
        bins: ColorBins,
        *,
        alpha: float = DEFAULT_ALPHA,
        window: int = DEFAULT_WINDOW,
        temperature: float = DEFAULT_TEMPERATURE,
        ring: str = "float32",
        from_logits: bool = True,
        backend: str = "auto",
    ) -> None:
        checks.color_bins(bins)
        checks.choice("ring", ring, checks.RINGS)
        self.bins, self.backend, self.ring, self.from_logits = bins, backend, ring, bool(from_logits)
        self.alpha = checks.real("alpha", alpha, 0.0)
        self.window = checks.integer("window", window, 0, MAX_WINDOW)
        self.temperature = checks.temperature(temperature)
        self._plans = Plans(_FILM)
        self._kernel: Any = None
        self._like: Seen | None = None  # of a frame: an empty array of its kind on its device, with its shape
        known(backend)

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy: the plans are those of this one's state, where it lies."""
        return {name: value for name, value in vars(self).items() if name != "_plans"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _plans=Plans(_FILM))

    def reset(self) -> None:
        """Forget all past frames, for instance at a scene cut. The next frame may have another shape."""
        self._kernel = self._like = None
        self._plans.clear()

    def step(self, logits: Any, luma: Any, *, out: Any = None) -> Any:
        """Add a frame and decode it with all that is remembered.

        Parameters
        ----------
        logits : array, shape (n, H, W)
            float16, bfloat16, float32 or float64 (rounded to float32).
        luma : array, shape (H, W)
            uint8 in 0..255, or floats in [0, 1]; for bins of Lab L, floats in [0, 100].
        out : array, shape (H, W, 3), uint8, optional
            Written and returned.

        Returns
        -------
        array, shape (H, W, 3), uint8
            0 where this frame's logits or luma are invalid; such a pixel adds nothing to later frames.

        Raises
        ------
        ValueError
            If the shape, kind or device differs from the frames before: call :meth:`reset` first.
        MemoryError
            If the ring of the window does not fit; the message says what it takes.
        """
        return self._plans.call("step", self._step, (logits, luma, out, self.bins), {}, self.backend)

    @_now
    def _step(self, logits: Any, luma: Any, out: Any, bins: ColorBins) -> Any:
        x, y = self._check(logits, bins, luma=luma)
        checks.luma(y, space_of(bins))
        checks.shape("luma", y, x.shape[1:], "it must be the shape of logits without the bins")
        rgb = checks.result(out, x, (*y.shape, 3), "uint8")
        self._advance(lambda kernel: kernel.step(native(x), native_as(y, "uint8", "float32"), out=native(rgb)), x)
        return rgb.array

    def chroma(self, logits: Any, *, out: Any = None) -> Any:
        """Add a frame, as :meth:`step` does, and give its smoothed chroma instead of RGB.

        For chroma smoothed at low resolution, to be merged with a larger luma, and for bins of other color spaces: the
        result is a mean of ``bins.colors``, whatever these are.

        Parameters
        ----------
        logits : array, shape (n, H, W)
            float16, bfloat16, float32 or float64 (rounded to float32).
        out : array, shape (2, H, W), float32, optional
            Written and returned.

        Returns
        -------
        array, shape (2, H, W), float32
            ``annealed_mean(log p̂)``; NaN where this frame's logits are invalid.
        """
        return self._plans.call("chroma", self._chroma, (logits, out, self.bins), {}, self.backend)

    @_now
    def _chroma(self, logits: Any, out: Any, bins: ColorBins) -> Any:
        (x,) = self._check(logits, bins)
        chroma = checks.result(out, x, (2, *x.shape[1:]), "float32")
        self._advance(lambda kernel: kernel.chroma(native(x), out=native(chroma)), x)
        return chroma.array

    def _check(self, logits: Any, bins: ColorBins, **others: Any) -> list[Seen]:
        checks.ndim("logits", checks.array("logits", logits), 3, 3)
        x, _ = checks.logits(logits, -3, bins)
        seen = {"logits": x} | {name: checks.beside(name, value, "logits", x) for name, value in others.items()}
        checks.no_gradient("TemporalSmoother", **seen)
        if self._like is not None:
            checks.shape("logits", x, self._like.shape, "frames must not change their shape; reset() starts anew")
            checks.beside("logits", logits, "the frames before", self._like)
        if x.traced and not is_watched():
            raise TypeError(
                f"logits: expected a plain tensor, got {type(logits).__name__}, whose values may not be those in its "
                "memory; .as_subclass(torch.Tensor) makes one"
            )
        if x.traced or is_capturing(logits):
            raise RuntimeError(
                "TemporalSmoother: expected a frame to add now, got one to be recorded (torch.export or a CUDA graph), "
                "and a replay would not count frames; call it outside"
            )
        return list(seen.values())

    def _advance(self, run: Callable[[Any], Any], logits: Seen) -> None:
        """Give a frame to the kernel; one that fails, for want of memory say, does not start the film."""
        kernel = self._start(logits) if self._like is None else self._kernel
        if kernel is not None:
            try:
                run(kernel)
            except MemoryError as error:
                if self._like is None and logits.device == "cpu":  # a GPU's library says by itself what was asked for
                    raise self._too_large(logits) from error
                raise
        if self._like is None:
            self._kernel, self._like = kernel, empty(logits, (0,), "float32")._replace(shape=logits.shape)

    def _start(self, logits: Seen) -> Any:
        """The state of a film of such frames; None if they have no pixels."""
        module = choose(self.backend, logits.device, "TemporalSmoother")
        if 0 in logits.shape:
            return None
        return module.TemporalSmoother(
            self.bins,
            alpha=self.alpha,
            window=self.window,
            temperature=self.temperature,
            ring=self.ring,
            from_logits=self.from_logits,
        )

    def _too_large(self, logits: Seen) -> MemoryError:
        taken = math.prod(logits.shape) * (4 + (self.window + 1) * _BYTES[self.ring])
        return MemoryError(
            f"window: expected one whose past frames fit into memory, got {self.window}, which takes "
            f"{taken / 1e9:,.1f} GB for logits {logits.shape} in a ring of {self.ring}; take a smaller window or frame"
        )

    @property
    def probabilities(self) -> Any:
        """``p̂ / sum_b p̂``, shape (n, H, W), float32; NaN where no frame of the window had a valid pixel.

        Raises
        ------
        RuntimeError
            Before the first frame.
        """
        if self._like is None:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        if self._kernel is None:
            return empty(self._like, self._like.shape, "float32").array
        return adopt(self._like, self._kernel.probabilities)
