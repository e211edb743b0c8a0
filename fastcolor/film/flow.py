"""Motion between small images with NumPy alone: dense Lucas-Kanade from coarse to fine, and arrays carried along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

_LEVELS = 3  # of the pyramid, each half of the one above
_RADIUS = 3  # pixels around each whose motion is taken to be the same
_SHORTEST = 8  # side of an image below which there is no coarser one
_STEADY = np.float32(2e-4)  # added to the squared gradients: a flat neighborhood stays where it is
_STEP = 1.5  # pixels that a level may move: the linear model holds no further


def lucas_kanade(before: Float, now: Float) -> Float:
    """``argmin_d sum_w (now[p] - before[p + d])^2`` for every pixel p, over a window w of 7 x 7: (2, h, w), x first.

    One Gauss-Newton step a level of a pyramid of three, from coarse to fine: motion of up to some six pixels. Whoever
    uses it must look whether the images agree along it.

    Parameters
    ----------
    before, now : ndarray, shape (h, w), float32
        Images whose standard deviation is about 0.25.

    References
    ----------
    Lucas and Kanade, "An iterative image registration technique", IJCAI 1981; Bouguet, "Pyramidal implementation of
    the Lucas Kanade feature tracker", 2001.

    Examples
    --------
    >>> noise = np.random.default_rng(0).uniform(size=(48, 64)).astype(np.float32)
    >>> image = 3 * mean_around(noise, 2)
    >>> flow = lucas_kanade(image, np.roll(image, 1, axis=1))
    >>> flow[:, 8:-8, 8:-8].mean(axis=(1, 2)).round().astype(int).tolist()
    [-1, 0]
    """
    pyramid = [(before, now)]
    while len(pyramid) < _LEVELS and min(pyramid[-1][0].shape) >= 2 * _SHORTEST:
        one, other = pyramid[-1]
        pyramid.append((halved(one), halved(other)))
    flow = np.zeros((2, *pyramid[-1][0].shape), np.float32)
    for one, other in reversed(pyramid):
        if flow.shape[1:] != one.shape:
            flow = 2 * doubled(flow, one.shape)
        flow = mean_around(flow + _step(one, other, flow), 1)
    return flow


def _step(before: Float, now: Float, flow: Float) -> Float:
    """What least squares adds to the flow, by the gradients of the image that is here."""
    wide = np.pad(now, 1, mode="edge")
    gx, gy = (wide[1:-1, 2:] - wide[1:-1, :-2]) / 2, (wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2
    error = now - carry_along(before[None], flow)[0]
    xx, xy, yy, ex, ey = mean_around(np.stack([gx * gx, gx * gy, gy * gy, gx * error, gy * error]), _RADIUS)
    xx, yy = xx + _STEADY, yy + _STEADY
    step = np.stack([yy * ex - xy * ey, xx * ey - xy * ex]) / (xx * yy - xy * xy)
    return step.clip(-_STEP, _STEP)


def carry_along(array: Float, flow: Float) -> Float:
    """``array[:, y + flow[1], x + flow[0]]``, bilinear, edges repeated: planes (c, h, w) of the frame before, seen now.

    Examples
    --------
    >>> carry_along(np.array([[[1, 2, 3]]], np.float32), np.array([[[-1] * 3], [[0] * 3]], np.float32)).tolist()
    [[[1.0, 1.0, 2.0]]]
    """
    height, width = flow.shape[1:]
    x = (flow[0] + np.arange(width, dtype=np.float32)).clip(0, width - 1)
    y = (flow[1] + np.arange(height, dtype=np.float32)[:, None]).clip(0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    x, y = x - left.astype(np.float32), y - top.astype(np.float32)
    first = top * width + left
    right, below = np.where(left < width - 1, 1, 0), np.where(top < height - 1, width, 0)
    planes = array.reshape(len(array), -1)
    upper = planes[:, first] * (1 - x) + planes[:, first + right] * x
    lower = planes[:, first + below] * (1 - x) + planes[:, first + below + right] * x
    return upper * (1 - y) + lower * y


def mean_around(array: Float, radius: int) -> Float:
    """Mean of (..., h, w) over squares of 2 radius + 1 pixels, of those inside the image."""
    return _running_mean(_running_mean(array, radius, -1), radius, -2)


def _running_mean(array: Float, radius: int, axis: int) -> Float:
    count = array.shape[axis]
    shape = [1] * array.ndim
    shape[axis] = count
    sums = np.cumsum(np.insert(array, 0, 0, axis=axis), axis=axis)
    places = np.arange(count)
    low, high = (places - radius).clip(0), (places + radius + 1).clip(max=count)
    share = (1 / (high - low)).astype(np.float32).reshape(shape)
    return (sums.take(high, axis=axis) - sums.take(low, axis=axis)) * share


def halved(image: Float) -> Float:
    """(h, w) at half the size, rounded up: means of 2 x 2 pixels, edges repeated."""
    even = np.pad(image, [(0, side % 2) for side in image.shape], mode="edge")
    sums: Float = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return sums * np.float32(0.25)


def doubled(array: Float, shape: tuple[int, ...]) -> Float:
    """Planes of :func:`halved` size at full size (h, w), smooth.

    Examples
    --------
    >>> doubled(np.array([[[0, 3]]], np.float32), (2, 3)).tolist()
    [[[0.0, 1.0, 1.5], [0.0, 1.0, 1.5]]]
    """
    return mean_around(array.repeat(2, axis=1).repeat(2, axis=2)[:, : shape[0], : shape[1]], 1)
