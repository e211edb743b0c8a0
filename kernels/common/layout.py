"""How an array of logits lies in memory: planar (bins far apart) or channels-last (bins adjacent).

Every kernel sees a C-contiguous ``(pre, n, post)``: ``post`` pixels run fastest in the planar layout, and
``post == 1`` is channels-last. Whatever has another stride pattern is copied once.
"""

from __future__ import annotations

import math
from typing import Any

from .device_arrays import contiguous, is_contiguous, moveaxis


def planes(logits: Any, axis: int) -> tuple[Any, bool]:
    """View `logits` as C-contiguous (pre, n, post), bins in the middle; say whether that took a copy.

    torch's ``channels_last`` memory (bins on axis -3, but adjacent in memory) becomes (pixels, n, 1) without a copy.

    Parameters
    ----------
    logits : array
        NumPy, torch or CuPy, any strides.
    axis : int
        Where the n bins are.

    Returns
    -------
    view : ndarray, shape (pre, n, post)
        Pixels are in the order of the array without `axis`.
    copied : bool

    Examples
    --------
    >>> import numpy as np
    >>> view, copied = planes(np.zeros((2, 32, 4, 5)), -3)
    >>> view.shape, copied
    ((2, 32, 20), False)
    >>> view, copied = planes(np.zeros((2, 4, 5, 32)).transpose(0, 3, 1, 2), -3)
    >>> view.shape, copied
    ((40, 32, 1), False)
    """
    axis %= logits.ndim
    shape = logits.shape
    pre, n, post = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if is_contiguous(logits):
        return logits.reshape(pre, n, post), False
    last = moveaxis(logits, axis, -1)
    if is_contiguous(last):
        return last.reshape(pre * post, n, 1), False
    return contiguous(logits).reshape(pre, n, post), True
