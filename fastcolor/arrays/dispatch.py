"""Which backend runs: ``"auto"`` picks by the device of the arrays and is quiet, an explicit name runs or raises."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from ..errors import BackendUnavailableError
from ..kernels import registry


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
    return {name: _status(backend) for name, backend in registry.BACKENDS.items()}


def _status(backend: registry.Backend) -> BackendStatus:
    error = registry.unavailable_because(backend.name)
    reason = "" if error is None else f"{type(error).__name__}: {error}{backend.hint and '; ' + backend.hint}"
    return BackendStatus(backend.name, backend.devices, error is None, reason)


def known(backend: str) -> None:
    """Raise if no backend has that name, or if the one that has it does not run here."""
    if isinstance(backend, str) and backend == "auto":
        return
    if not isinstance(backend, str) or backend not in registry.BACKENDS:
        raise ValueError(f"backend: expected 'auto' or one of {sorted(registry.BACKENDS)}, got {backend!r}")
    if (error := registry.unavailable_because(backend)) is not None:
        raise BackendUnavailableError(f"backend: {_status(registry.BACKENDS[backend])}") from error


def choose(backend: str, device: str, *ops: str) -> ModuleType:
    """The kernel module that has the operations `ops` for arrays on `device`.

    Raises
    ------
    ValueError
        If no backend has that name.
    BackendUnavailableError
        If it cannot run here, does not take arrays on that device, or lacks an operation.
    """
    if type(backend) is not str:
        known(backend)
    where = device.partition(":")[0]
    fitting = []
    for candidate in registry.BACKENDS.values():
        if where in candidate.devices and backend in ("auto", candidate.name):
            if registry.unavailable_because(candidate.name) is None:
                module = registry.load(candidate.name)
                if all(hasattr(module, op) for op in ops):
                    return module
            fitting.append(candidate)
    if backend != "auto" and backend not in registry.BACKENDS:
        known(backend)
    if not fitting:
        raise BackendUnavailableError(_wrong_device(backend, device))
    reasons = "; ".join(_refusal(b, ops) for b in fitting)
    raise BackendUnavailableError(f"backend: {reasons}") from registry.unavailable_because(fitting[0].name)


def _wrong_device(backend: str, device: str) -> str:
    message = f"backend: no backend for {backend!r} takes arrays on device {device!r}; "
    if device == "meta":
        return f"{message}no values are there: make the array on the device of its data"
    if backend == "auto":
        takes = {name: b.devices for name, b in registry.BACKENDS.items()}
        return f"{message}there are {takes}; move the array to the CPU first"
    wanted = " and ".join(registry.BACKENDS[backend].devices)
    return f"{message}it takes those on {wanted}: move the array there, or choose by device with backend='auto'"


def _refusal(backend: registry.Backend, ops: tuple[str, ...]) -> str:
    status = _status(backend)
    if not status.available:
        return str(status)
    missing = next(op for op in ops if not hasattr(registry.load(backend.name), op))
    return f"{backend.name} has no {missing}; choose another backend"
