"""Every example in a docstring runs, and every public function has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest
from fastcolor.kernels import registry

import fastcolor

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PACKAGES = ("fastcolor", "fastcolor.reference", "fastcolor.kernels")


def module_names() -> list[str]:
    """All modules below the packages, by import name: by path, `reference` would be imported a second time.

    But for the modules of backends that do not run here, which cannot be imported without their library.
    """
    names = set(PACKAGES)
    for package in PACKAGES:
        found = importlib.import_module(package)
        names |= {info.name for info in pkgutil.walk_packages(found.__path__, f"{package}.")}
    absent = {b.module for b in registry.BACKENDS.values() if registry.unavailable_because(b.name) is not None}
    return sorted(name for name in names - absent if not name.endswith(".__main__"))


@pytest.mark.parametrize("name", module_names())
def test_examples_run(name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("doctest"))
    result = doctest.testmod(module, extraglobs={"np": np}, optionflags=FLAGS)
    assert result.failed == 0


def example_owners() -> list[str]:
    """Public functions and classes that users call; exceptions and plain records are not shown by an example."""
    shown = []
    for name in fastcolor.__all__:
        value = getattr(fastcolor, name)
        if inspect.isfunction(value) or (inspect.isclass(value) and not issubclass(value, Exception)):
            shown.append(name)
    return shown


@pytest.mark.parametrize("name", example_owners())
def test_public_names_have_a_docstring_with_an_example(name: str) -> None:
    value = getattr(fastcolor, name)
    doc = inspect.getdoc(value)
    assert doc, "no docstring"
    if dataclass_record(value):
        return
    assert ">>>" in doc, "no example"


OPERATIONS = ("annealed_mean", "confidence", "decode", "encode", "histogram", "merge", "weighted_cross_entropy")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_all_of_itself(name: str) -> None:
    """Every section of numpydoc that it needs, and among the parameters every argument."""
    function = getattr(fastcolor, name)
    doc = inspect.getdoc(function) or ""
    headings = re.findall(r"^(.+)\n-+$", doc, re.MULTILINE)
    assert {"Parameters", "Returns", "Raises", "References", "Examples"} <= set(headings)
    said = doc.partition("Parameters\n")[2].partition("Returns\n")[0]
    told = {part.strip() for line in re.findall(r"^(\w[\w, ]*) : ", said, re.MULTILINE) for part in line.split(",")}
    assert told == set(inspect.signature(function).parameters)


def dataclass_record(value: object) -> bool:
    """A dataclass that only carries results: nothing to call."""
    return hasattr(value, "__dataclass_fields__") and not any(
        inspect.isfunction(member) or isinstance(member, classmethod)
        for name, member in vars(value).items()
        if not name.startswith("_")
    )
