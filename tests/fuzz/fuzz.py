"""Coverage-guided fuzzing of the loaders: python tests/fuzz/fuzz.py TARGET|all --seconds N. It needs the extra `fuzz`.

libFuzzer (by atheris) mutates the files of `corpus/TARGET` and keeps, in build/fuzz/TARGET, those that reach new lines
of this package. An input whose error is not a documented one that names the file, or that takes 10 seconds or 2 GB,
ends it with status 1 and lies under build/fuzz then: mend the loader, and put the input into the corpus, which
test_corpus.py tries at each run of the tests.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from fuzz_targets import TARGETS, attempt, tiny_bins, tiny_trainer

HERE = Path(__file__).resolve().parent
FOUND = HERE.parent.parent / "build/fuzz"
LIMITS = ["-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=512", "-max_len=65536"]
LOADERS = ("bins", "models", "checkpoints")


def main() -> int:
    """Fuzz one target in this process, or each in its own, at once, with its part of the seconds."""
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of the loaders.")
    parser.add_argument("target", choices=("all", *TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing, shared by all targets (%(default)s)")
    args = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: atheris, which is for Python 3.11 to 3.13 on Linux, is not installed: nothing is fuzzed")
        return 1 if os.environ.get("FASTCOLOR_REQUIRE_TOOLS") else 0
    if args.target != "all":
        _fuzz(args.target, args.seconds)
        return 0
    words = [sys.executable, __file__]
    share = str(max(1, args.seconds // len(LOADERS)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    logs = {name: _log(name) for name in LOADERS}
    runs = {
        name: subprocess.Popen([*words, name, "--seconds", share], stdout=log, stderr=log, env=environment)
        for name, log in ((name, open(path, "wb")) for name, path in logs.items())  # noqa: SIM115 (the child's)
    }
    failed = [name for name, run in runs.items() if run.wait()]
    for name, path in logs.items():
        lines = path.read_text(errors="replace").splitlines()
        told = lines[-60:] if name in failed else [line for line in lines if line.startswith(("Done", "stat::"))]
        print(f"{name}: {'FAILED' if name in failed else 'nothing found'}", *told, sep="\n  ")
    return 1 if failed else 0


def _log(name: str) -> Path:
    FOUND.mkdir(parents=True, exist_ok=True)
    return FOUND / f"{name}.log"


def _fuzz(name: str, seconds: int) -> None:
    """Does not return: libFuzzer ends the process, with 0 unless it has found something."""
    import zipfile

    import atheris

    with atheris.instrument_imports(include=["fastcolor"]):
        import fastcolor.files.images
        import fastcolor.training.runfile
        import fastcolor.training.trainer  # noqa: F401
    tiny_bins(), tiny_trainer()
    for seed in sorted((HERE / "corpus" / name).iterdir()):  # what is imported or compiled late is no part of an input
        attempt(name, seed.read_bytes())
    zipfile.ZipExtFile._update_crc = lambda *_: None  # type: ignore[attr-defined] # a sum hides what is behind it
    (FOUND / name).mkdir(parents=True, exist_ok=True)
    words = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={FOUND / name}-",
        f"-dict={HERE / 'tokens.dict'}",
        *LIMITS,
    ]
    atheris.Setup([name, *words, str(FOUND / name), str(HERE / "corpus" / name)], lambda data: attempt(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
