"""Which backend runs: ``"auto"`` picks by the device of the arrays and is quiet, an explicit name runs or raises."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from .errors import BackendUnavailableError
from .kernels import _registry


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend runs here and, if not, why and what to do.

    Attributes
    ----------
    name : str
    devices : tuple of str
        Devices whose arrays it takes.
    available : bool
    reason : str
        Empty if available.
    """

    name: str
    devices: tuple[str, ...]
    available: bool
    reason: str

    def __str__(self) -> str:
        state = "available" if self.available else f"not available: {self.reason}"
        return f"{self.name} ({', '.join(self.devices)}): {state}"


def backends() -> dict[str, BackendStatus]:
    """``{name: BackendStatus}``: what runs here, and for each backend that does not, why.

    A backend is available when something has run on it, not when its package is installed. The first call
    imports and probes them all.

    Examples
    --------
    >>> backends()["numba"].available
    True
    """
    return {name: _status(backend) for name, backend in _registry.BACKENDS.items()}


def _status(backend: _registry.Backend) -> BackendStatus:
    error = _registry.unavailable_because(backend.name)
    reason = "" if error is None else f"{type(error).__name__}: {error}; {backend.hint}"
    return BackendStatus(backend.name, backend.devices, error is None, reason)


def choose(backend: str, device: str) -> ModuleType:
    """The kernel module for arrays on `device`.

    Raises
    ------
    ValueError
        If no backend has that name.
    BackendUnavailableError
        If it cannot run here, or does not take arrays on that device.
    """
    where = device.partition(":")[0]
    if backend != "auto" and backend not in _registry.BACKENDS:
        raise ValueError(f"backend: expected 'auto' or one of {sorted(_registry.BACKENDS)}, got {backend!r}")
    fitting = [
        b for b in _registry.BACKENDS.values() if where in b.devices and (backend == "auto" or b.name == backend)
    ]
    if not fitting:
        takes = {name: b.devices for name, b in _registry.BACKENDS.items()}
        raise BackendUnavailableError(
            f"backend: no backend for {backend!r} takes arrays on device {device!r}; there are {takes}; "
            "move the array to the CPU first"
        )
    for candidate in fitting:
        if _registry.unavailable_because(candidate.name) is None:
            return _registry.load(candidate.name)
    reasons = "; ".join(str(_status(b)) for b in fitting)
    raise BackendUnavailableError(f"backend: {reasons}") from _registry.unavailable_because(fitting[0].name)
