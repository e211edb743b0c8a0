"""The house stands: a room imports only from floors below its own, and no module imports itself by way of others.

Imports are read, not run: relative or absolute, at the top of a file, in a function or under ``if TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from paths import ROOT

# From the top down, a line a floor; rooms of one floor know nothing of each other. A room is a folder or a module.
FLOORS = {
    "": ["bench", "fastcolor"],
    "fastcolor": [
        "commands",
        "doctor training",
        "evaluation",
        "film",
        "photo",
        "plots network",
        "bins",
        "prior",
        "ops encoding smoother loss fitting",
        "arrays files",
        "kernels",
        "errors plural reference",
    ],
    "fastcolor.kernels": ["registry", "numba_cpu cupy_cuda numba_cuda", "cache common"],
    "fastcolor.reference": ["loss smoothing", "ops soft fitting centers", "bins", "cells", "color", "constants"],
    "bench": [
        "__main__",
        "gpu_day",
        "runner worker",
        "publish",
        "suites",
        "peers sass",
        "measure",
        "cases",
        "bytes",
    ],
}
FOLDERS = {
    "bench": "bench",
    "fastcolor": "fastcolor",
    "kernels": "fastcolor.kernels",
    "reference": "fastcolor.reference",
}
# `import fastcolor` is the face: it shows what all rooms have, so that no room looks at it, but for what it has itself.
FACES = {package: f"{package}.__init__" for package in FLOORS if package}
OUTSIDE = {"fastcolor.__main__", "fastcolor.data"}
FACE_HAS = {"__version__"}


class Import(NamedTuple):
    """`source` imports `target`, both full names of modules, at `place`, which is file:line."""

    source: str
    target: str
    place: str


def modules(root: Path) -> dict[str, Path]:
    """Every module of the four trees by its name as installed; a package by its folder is ``package.__init__``."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            found[".".join((package, *path.relative_to(root / folder).with_suffix("").parts))] = path
    return found


@cache
def imports(root: Path) -> list[Import]:
    """All imports of one module of the house by another."""
    known = modules(root)
    found = []
    for source, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _named(node, source):
                target = next((n for n in (name, f"{name}.__init__", *_owners(name)) if n in known), None)
                if target not in (None, source):
                    found.append(Import(source, str(target), f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"))
    return found


def _named(node: ast.AST, source: str) -> Iterator[str]:
    """Full names that a statement imports: ``package.module`` or ``package.module.attribute``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = source.split(".")[: -node.level] if node.level else []
        yield from (".".join((*above, *filter(None, [node.module]), alias.name)) for alias in node.names)


def _owners(name: str) -> list[str]:
    """What has the attribute `name`: a module, or a package's own file, which is asked for more than FACE_HAS."""
    owner, _, attribute = name.rpartition(".")
    return [owner] if attribute in FACE_HAS else [owner, f"{owner}.__init__"]


def violations(root: Path) -> list[str]:
    """Every import that runs upward or between two rooms of a floor, and every room that has no floor."""
    return [text for found in imports(root) if (text := _judged(found))]


def _judged(found: Import) -> str:
    for package, floors in FLOORS.items():
        inside = [_room(name, package) for name in (found.source, found.target)]
        if None in inside or inside[0] == inside[1]:
            continue
        if OUTSIDE & {f"{package}.{room}" for room in inside} or inside[0] == "__init__":
            continue
        level = {room: number for number, floor in enumerate(floors, 1) for room in floor.split()}
        if package in FACES:
            level["__init__"] = 0
        here, there = (level.get(str(room)) for room in inside)
        if here is None or there is None:
            lost = inside[0] if here is None else inside[1]
            return f"{found.place}: {package or 'the house'} has a room {lost!r} without a floor; give it one in FLOORS"
        if there <= here:
            where = "on the same floor" if there == here else "above"
            return f"{found.place}: {inside[0]!r} imports {inside[1]!r}, which is {where} in {package or 'the house'}"
    return ""


def _room(name: str, package: str) -> str | None:
    """The part of a module's name after `package`; None if it lies elsewhere."""
    prefix = f"{package}." if package else ""
    return name.removeprefix(prefix).partition(".")[0] if name.startswith(prefix) else None


def circles(root: Path) -> list[str]:
    """Ways along imports from a module back to itself, one for each import that closes one."""
    arrows: dict[str, dict[str, str]] = {}
    for source, target, place in imports(root):
        if source not in FACES.values():
            arrows.setdefault(source, {})[target] = place
    found, done = [], set()

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            circle = [*way[way.index(name) :], name]
            found.append(f"{arrows[way[-1]][name]}: {' imports '.join(circle)}")
        elif name not in done:
            for target in arrows.get(name, {}):
                walk(target, [*way, name])
            done.add(name)

    for name in sorted(arrows):
        walk(name, [])
    return found


def test_imports_run_downward() -> None:
    assert not violations(ROOT), "\n".join(violations(ROOT))


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not circles(ROOT), "\n".join(circles(ROOT))


def test_every_room_of_the_tables_is_there() -> None:
    """A table that speaks of rooms that have gone would hold nothing."""
    rooms = {(package, _room(name, package)) for package in FLOORS for name in modules(ROOT)}
    missing = {(p, room) for p, floors in FLOORS.items() for floor in floors for room in floor.split()} - rooms
    assert not missing


def test_every_room_says_what_is_in_it() -> None:
    """In the first line of its ``__init__.py``, which has no more than that: nothing is imported for a neighbor."""
    for name, path in modules(ROOT).items():
        if name.endswith(".__init__") and name.count(".") > 1 and name != "fastcolor.reference.__init__":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree), f"{path.relative_to(ROOT)}: no line that says what is in the room"
            assert len(tree.body) == 1, f"{path.relative_to(ROOT)}: more than a docstring"


# --- planted faults ---------------------------------------------------------------------------------------------------

HOUSE = {
    "fastcolor/__init__.py": "from .film.video import play\n__version__ = '1'\n",
    "fastcolor/errors.py": "",
    "fastcolor/bins.py": "from .files.images import read\n",
    "fastcolor/commands/main.py": "from .. import __version__\nfrom ..film import video\n",
    "fastcolor/film/video.py": "import fastcolor.bins\nfrom ..bins import fit\nfrom .cuts import cut\n",
    "fastcolor/film/cuts.py": "from ..errors import VideoError\n",
    "fastcolor/files/images.py": "from ..reference import ops\n",
    "fastcolor/network/unet.py": "",
    "fastcolor/plots/curves.py": "",
    "kernels/registry.py": "from .common import host\n",
    "kernels/common/host.py": "from ..._other import x\nfrom fastcolor.reference.ops import decode\n",
    "kernels/numba_cpu/ops.py": "from ...kernels.common import host\n",
    "reference/ops.py": "from . import constants\n",
    "reference/constants.py": "",
    "bench/__main__.py": "import fastcolor\nfrom .measure.timing import Clock\n",
    "bench/measure/timing.py": "from fastcolor.kernels import registry\n",
    "bench/sass/cubin.py": "from ..measure import timing\n",
}


def planted(root: Path, extra: dict[str, str]) -> Path:
    """HOUSE in a folder, with a fault; packages have their ``__init__.py``."""
    for name, text in {**HOUSE, **extra}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in [f for f in root.rglob("*") if f.is_dir()]:
        (folder / "__init__.py").touch()
    return root


def test_a_sound_house_has_no_fault(tmp_path: Path) -> None:
    planted(tmp_path, {})
    assert violations(tmp_path) == circles(tmp_path) == []
    assert len(imports(tmp_path)) > 12


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("fastcolor/film/x.py", "from ..commands.main import main", "'film' imports 'commands', which is above"),
        ("fastcolor/film/x.py", "import fastcolor.commands.main", "'film' imports 'commands', which is above"),
        ("fastcolor/film/x.py", "from fastcolor.commands import main", "'film' imports 'commands', which is above"),
        ("fastcolor/film/x.py", "from .. import commands", "'film' imports 'commands', which is above"),
        ("fastcolor/film/x.py", "import numpy, fastcolor.commands.main as m", "'film' imports 'commands'"),
        ("fastcolor/film/x.py", "def f():\n    from ..commands import main", "x.py:2: 'film' imports 'commands'"),
        ("fastcolor/film/x.py", "if TYPE_CHECKING:\n    from ..commands import main", "'film' imports 'commands'"),
        ("fastcolor/film/x.py", "from .. import play", "'film' imports '__init__', which is above"),
        ("fastcolor/film/x.py", "import fastcolor", "'film' imports '__init__', which is above"),
        ("fastcolor/film/deep/x.py", "from ...commands import main", "'film' imports 'commands', which is above"),
        ("fastcolor/plots/x.py", "from ..network.unet import U", "which is on the same floor in fastcolor"),
        ("fastcolor/errors.py", "from .bins import fit", "fastcolor/errors.py:1: 'errors' imports 'bins'"),
        ("fastcolor/attic/x.py", "from .. import bins", "has a room 'attic' without a floor"),
        ("fastcolor/film/x.py", "import bench.measure.timing", "'fastcolor' imports 'bench', which is above"),
        ("kernels/common/x.py", "from .. import registry", "'common' imports 'registry', which is above"),
        ("kernels/common/x.py", "from ...bins import fit", "'kernels' imports 'bins', which is above in fastcolor"),
        ("kernels/cupy_cuda/x.py", "from ..numba_cpu.ops import f", "on the same floor in fastcolor.kernels"),
        ("kernels/common/x.py", "from fastcolor.kernels.numba_cpu import ops", "'common' imports 'numba_cpu'"),
        ("reference/constants.py", "from .ops import decode", "'constants' imports 'ops', which is above"),
        ("bench/measure/x.py", "from ..peers import torch", ""),  # no such module: nothing of the house
        ("bench/measure/x.py", "from .. import __main__", "'measure' imports '__main__', which is above in bench"),
    ],
)  # fmt: skip
def test_a_planted_import_is_found(tmp_path: Path, file: str, text: str, said: str) -> None:
    found = violations(planted(tmp_path, {file: text}))
    assert len(found) == bool(said)
    assert said in "".join(found)
    assert not found or found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    "where", ["from .video import play", "def f():\n    from . import video", "import fastcolor.film.video"]
)
def test_a_planted_circle_is_found(tmp_path: Path, where: str) -> None:
    planted(tmp_path, {"fastcolor/film/cuts.py": where})
    assert not violations(tmp_path)
    (found,) = circles(tmp_path)
    assert found.endswith(": fastcolor.film.video imports fastcolor.film.cuts imports fastcolor.film.video")
    assert found.startswith("fastcolor/film/cuts.py:")
