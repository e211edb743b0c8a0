"""The inputs of the fuzzer, and what it has found, through the loaders: without atheris, and in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from fuzz_targets import TARGETS, attempt

CORPUS = Path(__file__).with_name("corpus")
INPUTS = sorted(path for path in CORPUS.glob("*/*"))


@pytest.mark.promise("Hostile files", "an input that a fuzzer has found is read or refused with its file's name")
@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_corpus(path: Path) -> None:
    said = attempt(path.parent.name, path.read_bytes())
    if path.name.startswith("seed-"):
        assert said is None, "mutations begin with what is good"
    if path.name.startswith("refused-"):
        assert said is not None


def test_each_target_has_inputs() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)


def test_errors_without_a_name_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fuzzing calls a finding: planted errors of every kind that is none of the documented ones."""
    from fastcolor.bins import ColorBins
    from fastcolor.errors import BinsError

    planted = [KeyError("table"), ValueError("no file"), BinsError("no file"), MemoryError(), RecursionError()]
    for error in planted:
        monkeypatch.setattr(ColorBins, "load", lambda path, error=error: (_ for _ in ()).throw(error))
        with pytest.raises((type(error), AssertionError)):
            attempt("bins", b"\0")
