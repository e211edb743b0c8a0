"""Does a backend give the right answer here? Installed is not the same as working."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from ..plural import counted

Place = tuple[Callable[[Any], Any], Callable[[Any], Any]]  # to the device, and back to NumPy
ON_CPU: Place = (np.asarray, np.asarray)


def named(error: Exception) -> str:
    """The class of an error, and what it says."""
    return f"{type(error).__name__}: {error}"


def check_path(path: str, backend: str = "auto", place: Place = ON_CPU) -> tuple[bool, str]:
    """Run encode and decode on a small image against the reference; whether all is well, and what to say.

    Examples
    --------
    >>> check_path("the CPU path")[0]
    True
    """
    from .. import reference
    from ..bins import ColorBins
    from ..encoding import encode
    from ..ops import decode

    there, back = place
    started = perf_counter()
    try:
        bins = ColorBins.default()
        image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        luma, labels, _ = map(back, encode(there(image), bins, backend=backend))
        logits = np.where(labels == np.arange(bins.n)[:, None, None], 9, 0).astype(np.float32)
        rgb = back(decode(there(logits), there(luma), bins, backend=backend)).astype(int)
        wrong = int((labels != reference.encode(image, bins)[1]).sum())
        wrong += int((abs(rgb - reference.decode(logits, luma, bins)) > 1).sum())
    except Exception as error:
        return False, f"{path} does not run: {named(error)}"
    if wrong:
        return False, f"{path} gives {counted(wrong, 'wrong value')}; please report this with the text above"
    return True, f"encode and decode agree with the reference ({perf_counter() - started:.2f} s)"


def check_gpu(backend: str, torch: Any) -> tuple[bool, str]:
    """:func:`check_path` on the current GPU, by tensors of torch (the module, or None) if it sees one, else by CuPy."""
    if torch is not None and torch.cuda.is_available():
        place: Place = (lambda array: torch.from_numpy(array).cuda(), lambda tensor: tensor.cpu().numpy())
    else:
        import cupy

        place = (cupy.asarray, cupy.asnumpy)
    return check_path(f"the GPU path of {backend}", backend, place)
