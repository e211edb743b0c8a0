"""docs/gpu.md says what the sources say: its tables are made anew, its examples run (on the CPU)."""

from __future__ import annotations

import doctest
import importlib
import os
import re
from types import ModuleType

import pytest
from cuda_host.build import available
from paths import ROOT, script

from bench.sass import cubin, rules

TEXT = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
MISSING = cubin.missing() + ([] if available() else ["g++"])
needs_tools = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("FASTCOLOR_REQUIRE_TOOLS") != "1", reason=f"{MISSING} missing: {cubin.EXTRA}"
)


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """docs/make_gpu_page.py as a module."""
    return script(ROOT / "docs/make_gpu_page.py")


@needs_tools
def test_the_tables_are_those_of_the_sources(page: ModuleType) -> None:
    made_with = re.search(r"NVRTC [\d.]+", TEXT)
    assert made_with is not None
    if made_with[0] != cubin.versions() and os.environ.get("FASTCOLOR_REQUIRE_TOOLS") != "1":
        pytest.skip(f"the page was made with {made_with[0]}, here is {cubin.versions()}: registers may differ")
    assert page.with_block(TEXT, page.block()) == TEXT, "run python docs/make_gpu_page.py"


@needs_tools
def test_decode_is_predicted_near_the_speed_of_a_copy(page: ModuleType) -> None:
    for arch in page.ARCHITECTURES:
        named = [kernel for kernel in page.kernels(arch) if kernel.row.case.startswith("decode, ")]
        decode = [kernel for kernel in named if "n = " not in kernel.row.case]
        decode += [page.in_bfloat16(arch, kernel) for kernel in decode if "float16" in kernel.row.case]
        assert len(decode) == 6
        for kernel in decode:
            shares = {gpu.name: page.prediction(gpu, kernel, 8 << 20).share for gpu in page.GPUS if gpu.arch == arch}
            print(arch, kernel.row.case, shares)
            assert min(shares.values()) >= 0.85, (kernel.row.case, shares)


def test_examples_of_the_predictions_run(page: ModuleType) -> None:
    result = doctest.testmod(importlib.import_module(page.predict.__module__))
    assert result.attempted
    assert not result.failed


def test_what_is_predicted_is_not_called_measured() -> None:
    assert "every time there\n> is *predicted*" in TEXT
    predicted = TEXT[TEXT.index("<!-- generated:start") : TEXT.index("### Predicted, and measured on an H200")]
    assert "measured" not in predicted.replace("not measured", "")


def test_without_the_tools(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cubin, "missing", lambda: ["nvidia-cuda-nvrtc"])
    assert rules.main(["decode", "fc::decode_planar<float, 32, 4, float, 1, fc::u32>"]) == 1
    assert re.search(r"nvidia-cuda-nvrtc missing; pip install 'fastcolor\[kernel-check\]'", capsys.readouterr().err)


def test_examples_run_on_the_cpu() -> None:
    names: dict[str, object] = {}
    ran = 0
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        if "torch.cuda" not in code:
            changed = code.replace('"cuda"', '"cpu"').replace("512", "32").replace("fullgraph=True", 'backend="eager"')
            exec(changed, names)
            ran += 1
    assert ran >= 2
