"""A run's description, `run.toml`: all options that decide it, readable, and enough to repeat it.

At the top the sets and what the run starts from, then the tables ``[network]`` and ``[training]`` with the fields of
:class:`~fastcolor.network.config.UNetConfig` and :class:`~fastcolor.training.config.TrainConfig`. What is left out has
the value of ``recipe``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import in_short
from ..files.toml import read_toml
from ..network.config import UNetConfig
from .config import TrainConfig

RUN_FILE = "run.toml"
TOP = {"recipe": str, "sets": list, "bins": str, "start": str, "encoder_weights": str, "validate_every": int}
_HEAD = "# What decided this run; `fastcolor train --config run.toml --out RUN` repeats it."


class Described(NamedTuple):
    """What a description says: the top, and the two tables."""

    top: dict[str, Any]
    network: dict[str, Any]
    training: dict[str, Any]


def describe(config: TrainConfig, **top: Any) -> str:
    """The text of a description; what is None at the top is left out.

    Examples
    --------
    >>> print(describe(TrainConfig(), sets=["photos=2"])[:102])
    # What decided this run; `fastcolor train --config run.toml --out RUN` repeats it.
    sets = ["photos=2"]
    """
    training = asdict(config)
    network = training.pop("network")
    lines = [_HEAD, *_lines((name, value) for name, value in top.items() if value is not None)]
    for name, table in (("network", network), ("training", training)):
        lines += ["", f"[{name}]", *_lines(table.items())]
    return "\n".join(lines) + "\n"


def _lines(items: Iterable[tuple[str, Any]]) -> list[str]:
    """``name = value``; JSON's texts, numbers, truths and arrays of them are TOML's, but for DEL.

    ValueError that names what is no UTF-8, as names of files can be.
    """
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f") for name, value in items]
    for line in lines:
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{line!a}: expected names in UTF-8, which TOML is; rename the file") from error
    return lines


def read_description(path: Path) -> Described:
    """Read what :func:`describe` wrote, or a person.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TOML, or has a key that is unknown or of another type; names the file and the key.
    """
    try:
        values = read_toml(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; a run writes its description into {RUN_FILE}") from None
    tables = {}
    for name, kind in (("network", UNetConfig), ("training", TrainConfig)):
        tables[name] = values.pop(name, {})
        if not isinstance(tables[name], dict):
            raise ValueError(f"{path}: expected a table [{name}], got {in_short(repr(tables[name]))}")
        _check_keys(path, f" in [{name}]", tables[name], [f.name for f in fields(kind) if f.name != "network"])
    _check_keys(path, "", values, [*TOP, "[network]", "[training]"])
    for name, value in values.items():
        if type(value) is not TOP[name]:
            raise ValueError(f"{path}: {name}: expected {TOP[name].__name__}, got {in_short(repr(value))}")
    if not all(isinstance(text, str) for text in values.get("sets", [])):
        said = in_short(repr(values["sets"]))
        raise ValueError(f'{path}: sets: expected texts, "SET" or "SET=WEIGHT", got {said}')
    return Described(values, **tables)


def _check_keys(path: Path, where: str, found: dict[str, Any], known: list[str]) -> None:
    if unknown := sorted(set(found) - set(known)):
        raise ValueError(f"{path}: unknown{where}: {in_short(', '.join(unknown))}; expected some of {', '.join(known)}")
