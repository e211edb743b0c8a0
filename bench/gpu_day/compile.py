"""Stage ``compile``: every instance of the kernels, by all cores at once, before the first stage that waits for one.

CuPy keeps what it has compiled on disk, for every process; without this the smoke and the sweep would compile one
after the other, and the tests' processes each the same.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

BACKEND = "cupy"
Wanted = tuple[str, str]  # source, name expression


def run(out: Path) -> int:
    """Exit status: 0, or 1 if an instance does not compile; which one is told at once."""
    start, every = time.perf_counter(), sorted(set(wanted()), reverse=True)  # the dearest, temporal, first
    listed, failed = time.perf_counter() - start, []
    processes = min(len(os.sched_getaffinity(0)), len(every))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(build, instance) for instance in every]):
                (source, expression), seconds, error = future.result()
                print(f"{seconds:6.2f} s {source}: {expression} {error}", flush=True)
                if error:
                    failed.append(expression)
                    print(f"FAILED {expression}", flush=True)
        except BaseException:
            # Time is up. The pool's own exit would wait until all that is queued is compiled; asked before this has
            # been done, it would also take the order to cancel back.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    print(
        f"{len(every)} instances by {processes} processes, listed in {listed:.1f} s; {len(failed)} failed", flush=True
    )
    return int(bool(failed))


def build(instance: Wanted) -> tuple[Wanted, float, str]:
    """Compile one as the first call would; the seconds it took, and the error if there is one."""
    start, error = time.perf_counter(), ""
    try:
        from fastcolor.kernels import registry

        engine = registry.load(BACKEND).ENGINE
        import cupy

        engine.function(cupy.empty(0, "float32"), *instance)
    except Exception:
        error = traceback.format_exc()[-1500:]
    return instance, time.perf_counter() - start, error


def wanted() -> Iterator[Wanted]:
    """Those that the rules of the machine code look at, and each kind and number of pixels that the sweep tries."""
    from ..cases import PLANAR, STREAMED, at_width
    from ..sass import calls
    from ..sass.instances import FAST_BINS, instances

    for instance in instances():
        yield instance.launch.source, instance.launch.expression
    for kind, count in (*PLANAR, *STREAMED):
        with at_width(kind, count):
            for instance in instances():
                if (instance.n, instance.layout) == (FAST_BINS, "planar") and instance.operation in calls.OF_LOGITS:
                    yield instance.launch.source, instance.launch.expression
