"""Temporal smoothing of the probabilities before decoding, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arrays import checks, kinds
from .arrays.dispatch import choose, known
from .arrays.kinds import native, traced
from .arrays.prepare import check_logits, float32_or_uint8, result
from .kernels.common.device_arrays import is_capturing
from .reference.bins import ColorBins
from .reference.constants import DEFAULT_ALPHA, DEFAULT_TEMPERATURE, DEFAULT_WINDOW


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
        Number of past frames that count, >= 0.
    temperature : float
        T >= 0 of the annealed mean of p̂.
    ring : {"float32", "float16", "uint8"}
        Storage of past probabilities; uint8 takes a quarter of the memory and errs by 1.6e-4 of p̂ at most
        with the default α and window. With T > 1 rounding in improbable bins is amplified, whatever the ring.
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
        backend: str = "auto",
    ) -> None:
        checks.color_bins(bins)
        checks.choice("ring", ring, checks.RINGS)
        self.bins, self.backend, self.ring = bins, backend, ring
        self.alpha = checks.real("alpha", alpha, 0.0)
        self.window = checks.integer("window", window, 0)
        self.temperature = checks.real("temperature", temperature, 0.0, hint="T = 0 is the mode")
        self._kernel: Any = None
        self._like: Any = None  # an empty array that remembers kind and device
        self._shape: tuple[int, ...] | None = None
        known(backend)

    def reset(self) -> None:
        """Forget all past frames, for instance at a scene cut. The next frame may have another shape."""
        self._kernel = self._like = self._shape = None

    def step(self, logits: Any, luma: Any, *, out: Any = None) -> Any:
        """Add a frame and decode it with all that is remembered.

        Parameters
        ----------
        logits : array, shape (n, H, W)
            float16, bfloat16, float32 or float64 (rounded to float32).
        luma : array, shape (H, W)
            uint8 in 0..255, or float32 or float64 in [0, 1].
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
        """
        return _now(self._step, logits, luma, out)

    def _step(self, logits: Any, luma: Any, out: Any) -> Any:
        self._check(logits, luma=luma)
        checks.dtype("luma", luma, checks.LUMA_DTYPES, checks.UNITS)
        checks.shape("luma", luma, tuple(logits.shape[1:]), "it must be the shape of logits without the bins")
        out = result("out", out, logits, (*luma.shape, 3), "uint8")
        self._advance(lambda kernel: kernel.step(native(logits), float32_or_uint8(luma), out=native(out)), logits)
        return out

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
        return _now(self._chroma, logits, out)

    def _chroma(self, logits: Any, out: Any) -> Any:
        self._check(logits)
        out = result("out", out, logits, (2, *logits.shape[1:]), "float32")
        self._advance(lambda kernel: kernel.chroma(native(logits), out=native(out)), logits)
        return out

    def _check(self, logits: Any, **others: Any) -> None:
        check_logits(logits, -3, self.bins)
        checks.ndim("logits", logits, 3, 3)
        checks.arrays(logits=logits, **others)
        checks.no_gradient("TemporalSmoother", logits=logits, **others)
        if self._shape is not None:
            checks.shape("logits", logits, self._shape, "frames must not change their shape; reset() starts anew")
            checks.arrays(**{"the frames before": self._like, "logits": logits})
        if traced(logits) or is_capturing(logits):
            raise RuntimeError(
                "TemporalSmoother: expected a frame to add now, got one to be recorded (torch.export or a CUDA graph), "
                "and a replay would not count frames; call it outside"
            )

    def _advance(self, run: Callable[[Any], Any], logits: Any) -> None:
        """Give a frame to the kernel; one that fails, for want of memory say, does not start the film."""
        if self._shape is not None:
            if self._kernel is not None:
                run(self._kernel)
            return
        kernel = self._start(logits)
        if kernel is not None:
            run(kernel)
        self._kernel, self._shape = kernel, tuple(logits.shape)
        self._like = kinds.empty(logits, (0,), "float32")

    def _start(self, logits: Any) -> Any:
        """The state of a film of such frames; None if they have no pixels."""
        module = choose(self.backend, kinds.device(logits), "TemporalSmoother")
        if 0 in logits.shape:
            return None
        return module.TemporalSmoother(
            self.bins, alpha=self.alpha, window=self.window, temperature=self.temperature, ring=self.ring
        )

    @property
    def probabilities(self) -> Any:
        """``p̂ / sum_b p̂``, shape (n, H, W), float32; NaN where no frame of the window had a valid pixel.

        Raises
        ------
        RuntimeError
            Before the first frame.
        """
        if self._shape is None:
            raise RuntimeError("probabilities: expected at least one step() before; no frame has been seen")
        if self._kernel is None:
            return kinds.empty(self._like, self._shape, "float32")
        return kinds.adopt(self._like, self._kernel.probabilities)


def _now(function: Callable[..., Any], logits: Any, *others: Any) -> Any:
    """The call, kept out of code that torch compiles."""
    if not traced(logits):
        return function(logits, *others)
    from .arrays.torch_ops import eagerly

    return eagerly(function, logits, *others)
