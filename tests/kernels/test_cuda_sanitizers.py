"""The CUDA kernels under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, on the host shim.

All operations must come out clean at awkward sizes and addresses; bugs put in on purpose must not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cuda_host import exercise, sanitized
from cuda_host.seeded import ADDRESS, BUGS
from once import made_once


def _clean(sanitizer: str, *where: tuple[int, ...]) -> None:
    exercise.prepare(sanitizer, *where)
    done = sanitized.run(sanitizer, "-m", "cuda_host.exercise", *(",".join(map(str, part)) for part in where))
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-8000:]}"
    assert done.stdout.strip() == "clean"


def test_no_access_outside_and_nothing_undefined() -> None:
    _clean(ADDRESS)


def test_no_data_race() -> None:
    """Real threads take longer: one size, one address."""
    _clean("thread", (68,), (0,))


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    def make(folder: Path) -> None:
        found: dict[str, Any] = {}
        for sanitizer in (ADDRESS, "thread"):
            done = sanitized.run(sanitizer, "-m", "cuda_host.seeded", sanitizer)
            assert done.returncode == 0, done.stderr[-4000:]
            found.update(json.loads(done.stdout))
        (folder / "found.json").write_text(json.dumps(found))

    found: dict[str, Any] = json.loads((made_once(tmp_path_factory, "caught", make) / "found.json").read_text())
    return found


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_put_in_is_caught(caught: dict[str, Any], name: str) -> None:
    status, output = caught[name]
    assert status != 0, f"{name}: nothing was noticed"
    assert BUGS[name].says in output, output[:4000]
