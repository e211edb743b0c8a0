"""Stand-ins for a GPU and its libraries: NumPy for CuPy, tensors on the CPU, events that read the wall clock."""

from __future__ import annotations

import gc
import time
import types

import numpy as np
import torch

from bench.measure import clocks, device, timing
from bench.suites import sizes

SMALL = ((24, 37), (40, 52))
MADE_UP = {
    "name": "Made-Up GPU 1",
    "compute_capability": "0.0",
    "memory_gb": 1.5,
    "driver": "1.2.3",
    "cuda_of_torch": "0.1",
    "cuda_runtime": "0.1",
    "nvrtc": "0.2",
    "clock_sm_mhz": 1000.0,
    "clock_sm_max_mhz": 2000.0,
}


class FakeEvent:
    """Reads the wall clock where a CUDA event marks a stream."""

    def __init__(self, enable_timing=False):
        assert enable_timing

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        assert self.at

    def elapsed_time(self, end):
        return 1e3 * (end.at - self.at)


FAKE_CUDA = types.SimpleNamespace(
    Event=FakeEvent,
    synchronize=lambda: None,
    empty_cache=lambda: None,
    current_device=lambda: 0,
    get_device_properties=lambda index: types.SimpleNamespace(L2_cache_size=1 << 10),
    reset_peak_memory_stats=lambda: None,
    memory_allocated=lambda: 100,
    max_memory_allocated=lambda: 350,
)


def installed(monkeypatch):
    """A stand-in that every module finds where it asks for the device "cuda"; with short work of everything."""
    for module, name, value in (
        (clocks, "LEAD", 1e-6),
        (clocks, "CALLS", 2),
        (sizes, "TINY", 16),
        (timing, "QUICK", timing.Budget(0.001, 1, 1)),
        (device, "QUICK_BUFFER_BYTES", 1 << 12),
        (torch, "compile", lambda function, **options: function),
        (gc, "collect", lambda: 0),  # a quarter of a second in a process full of tests
    ):
        monkeypatch.setattr(module, name, value)
    stand_in = device.Cuda("cpu", np, FAKE_CUDA, (("fastcolor", "numba"),), SMALL, flush=1 << 12)
    stand_in.network_images = 1
    monkeypatch.setattr(device, "place", lambda name: stand_in if name == "cuda" else device.Cpu())
    return stand_in
