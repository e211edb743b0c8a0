"""The way of torch tensors and CuPy arrays through the CUDA host code, without a GPU (see pretended_gpu)."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from paths import HELPERS, TESTS


def test_tensors_and_cupy_arrays_are_taken_as_they_are() -> None:
    """Agreement of every operation, any dtype, layout and `out`, with tensors and a stand-in for CuPy's arrays."""
    options = ["-q", "-p", "pretended_gpu", "-p", "no:cacheprovider", "-k", "pretended and not nothing_as_large"]
    environment = {
        "PYTHONPATH": str(HELPERS),
        "FASTCOLOR_TEST_BACKENDS": "pretended-gpu",
        "FASTCOLOR_HYPOTHESIS_PROFILE": "pretended",
        "FASTCOLOR_TEST_REPORT": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "kernels/test_agreement.py", "toolkit/test_loss.py",
         "arrays/test_plans.py"], cwd=TESTS,
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    summary = done.stdout.splitlines()[-1]
    print(summary)
    assert int(re.findall(r"(\d+) passed", summary)[0]) >= 90
    assert "skipped" not in summary
