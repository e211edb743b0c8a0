"""How a frame is to be shown: turned by quarters, mirrored, with pixels that need not be square."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_WIDEST = 10  # a pixel that is said to be wider or narrower than this is taken for square


class Orientation(NamedTuple):
    """One of the eight: transposed first, then mirrored left to right, top to bottom."""

    transposed: bool = False
    left_right: bool = False
    top_bottom: bool = False

    def shown(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pixels (H, W, ...) as they are shown.

        Examples
        --------
        >>> Orientation(transposed=True, left_right=True).shown(np.array([[1, 2], [3, 4]], np.uint8)).tolist()
        [[3, 1], [4, 2]]
        """
        turned = pixels.swapaxes(0, 1) if self.transposed else pixels
        rows, columns = slice(None, None, -1 if self.top_bottom else 1), slice(None, None, -1 if self.left_right else 1)
        return np.ascontiguousarray(turned[rows, columns])

    def aspect(self, coded: Fraction) -> Fraction:
        """Width over height of a shown pixel, given that of a coded one; 1 for what no film has."""
        if not 1 <= max(coded, 1 / coded if coded > 0 else _WIDEST + 1) <= _WIDEST:
            return Fraction(1)
        return 1 / coded if self.transposed else coded


def orientation_of(frame: Any) -> Orientation:
    """The nearest of the eight to the frame's display matrix, ``x' = a x + c y, y' = b x + d y``.

    ``frame.rotation`` is an angle, and knows no mirror.
    """
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(side, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
