"""Values that no file of ours has: bins, models, checkpoints and descriptions are refused by name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fuzz_targets import SEPARATOR, attempt, tensors_file  # noqa: E402
from safetensors.torch import load, save  # noqa: E402

from fastcolor.commands.main import main  # noqa: E402

CORPUS = Path(__file__).with_name("corpus")


def fitted() -> dict[str, Any]:
    """The arrays of a file with moments for K = 5."""
    with np.load(io.BytesIO((CORPUS / "bins/seed-fitted-file").read_bytes()[1:])) as archive:
        return dict(archive)


def without(*names: str) -> Callable[[dict[str, Any]], object]:
    return lambda values: [values.pop(name) for name in names]


def with_(**more: Any) -> Callable[[dict[str, Any]], object]:
    return lambda values: values.update(more)


BINS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "as it is": (with_(), ""),
    "with another member": (with_(more=np.zeros(3)), ""),
    "no colors": (without("colors", "prior"), "one without colors, prior"),
    "colors of 10**30": (with_(colors=np.full((4, 2), 1e30)), "chroma, first of yuv: expected values in"),
    "colors of 10**300": (with_(colors=np.full((4, 2), 1e300)), "colors: expected finite chroma, got NaN or inf"),
    "colors of NaN": (with_(colors=np.full((4, 2), np.nan)), "colors: expected finite chroma, got NaN or inf"),
    "complex colors": (with_(colors=np.ones((4, 2)) * 1j), "it must hold real numbers"),
    "colors that are text": (with_(colors=np.full((4, 2), "0.1")), "it must hold real numbers"),
    "true colors": (with_(colors=np.zeros((4, 2), bool)), "it must hold real numbers"),
    "one color": (with_(colors=np.array(0.1)), "colors: expected shape (n, 2)"),
    "no colors at all": (with_(colors=np.zeros((0, 2))), "colors: expected shape (n, 2) with n in 1..1024"),
    "a negative prior": (with_(prior=np.array([2, -1, 0, 0])), "prior: expected 4 shares >= 0 that sum to 1"),
    "a great prior": (with_(prior=np.full(4, 1e308)), "prior: expected 4 shares >= 0 that sum to 1"),
    "a prior of NaN": (with_(prior=np.full(4, np.nan)), "prior: expected 4 shares >= 0 that sum to 1"),
    "a complex prior": (with_(prior=np.full(4, 0.25 + 0j)), "it must hold real numbers"),
    "labels beyond the colors": (with_(table=np.full((5, 5), 4, np.uint8)), "table: expected labels in 0..3, got 4..4"),
    "labels of 10**18": (with_(table=np.full((5, 5), 10**18)), "table: expected labels in 0..3"),
    "floats as labels": (with_(table=np.zeros((5, 5))), "table: expected integer labels"),
    "no square of labels": (with_(table=np.zeros((5, 4), int)), "table: expected shape (K, K)"),
    "an unknown space": (with_(space=np.array("hsv")), "space: expected one of"),
    "a space that is a number": (with_(space=np.zeros(3)), "space: expected one of"),
    "bins of another space": (with_(space=np.array("lab")), ""),
    "no counts": (without("counts_5"), "counts_K: expected some with K up to 255"),
    "no sums": (without("sums_5"), "sums_5: expected int64 of shape (2, 5, 5, 2), got nothing of this name"),
    "counts of K = 999": (with_(counts_999=np.zeros((2, 5, 5), int)), "counts_K: expected some with K up to 255"),
    "counts as floats": (with_(counts_5=np.zeros((2, 5, 5))), "counts_5: expected int64"),
    "negative counts": (with_(counts_5=np.full((2, 5, 5), -1)), "counts_5: expected no number below 0, got -1"),
    "counts beyond int64": (with_(counts_5=np.full((2, 5, 5), 2**62)), "counts: expected the same pixels for every K"),
    "other pixels of another K": (
        with_(counts_3=np.ones((2, 3, 3), int), sums_3=np.zeros((2, 3, 3, 2), int)),
        "counts: expected the same pixels for every K",
    ),
    "sums beyond the plane": (with_(sums_5=np.full((2, 5, 5, 2), 2**62)), "sums_5: expected chroma within the plane"),
    "the least sum": (with_(sums_5=np.full((2, 5, 5, 2), -(2**63))), "sums_5: expected chroma within the plane"),
    "negative squares": (with_(squares=np.full((2, 2, 2), -1)), "squares: expected no number below 0"),
    "fewer images than none": (with_(images=np.array(-1)), "images: expected no number below 0, got -1"),
}


@pytest.mark.promise("Hostile files", "bins with values that none of ours have are refused with the value's name")
@pytest.mark.parametrize("name", BINS)
def test_bins(name: str) -> None:
    damage, message = BINS[name]
    arrays, file = fitted(), io.BytesIO()
    damage(arrays)
    np.savez(file, **arrays)
    said = attempt("bins", b"\0" + file.getvalue())
    assert message in said if message and said else said is None and not message, said


def good_model() -> tuple[dict[str, Any], dict[str, Any]]:
    begin, _, rest = (CORPUS / "models/seed-full-file").read_bytes().partition(SEPARATOR)
    return json.loads(begin), load(rest[1:])


def one(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    """Puts `value`, or what it makes of the one there, in the place of the last tensor of such a name."""

    def damage(tensors: dict[str, Any]) -> None:
        name = max(name for name in tensors if name.endswith(key))
        tensors[name] = value(tensors[name]) if callable(value) else torch.full_like(tensors[name], value)

    return damage


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "as it is": ({}, ""),
    "a size of inf": ({"size": float("inf")}, "size: expected an integer, got float"),
    "a size of 192.5": ({"size": 192.5}, "size: expected an integer, got float"),
    "a size that is true": ({"size": True}, "size: expected an integer, got bool"),
    "a fold of 1.0": ({"fold": 1.0}, "fold: expected an integer, got 1.0"),
    "a temperature of NaN": ({"temperature": float("nan")}, "temperature: expected a finite number >= 0"),
    "a temperature of 10**400": ({"temperature": 10**400}, "temperature: expected a finite number >= 0"),
    "a gain that is text": ({"gain": "1"}, "gain: expected a number, got str"),
    "a mirror that is 1": ({"mirror": 1}, "mirror: expected true or false, got 1"),
    "bins that are true": ({"bins": True}, "expected integers in 1..65536"),
    "an encoder that is a list": ({"encoder": [1]}, "encoder: expected one of"),
    "a key that moves the cursor": ({"\x1b[2J": 1}, "unknown keys \\x1b[2J"),
}
WEIGHTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "NaN": (one("weight", float("nan")), "expected finite floats, got others in"),
    "inf in half": (one("weight", lambda w: w.half() / 0), "expected finite floats, got others in"),
    "float64 beyond float32": (one("weight", lambda w: w.double() + 1e300), "expected finite floats, got others in"),
    "integers": (one("weight", lambda w: w.int()), "expected floats, got others"),
    "8-bit floats": (one("weight", lambda w: w.to(torch.float8_e4m3fn)), "expected floats, got others"),
    "complex numbers": (one("weight", lambda w: w + 0j), ""),
    "a counter of floats": (one("tracked", lambda w: w.float()), "expected integers, got others"),
    "negative variances": (one("running_var", -1.0), "expected variances >= 0, got others in"),
    "one missing": (lambda w: w.popitem(), "missing"),
    "one left over": (with_(more=torch.zeros(1)), "more left over"),
    "a name that moves the cursor": (with_(**{"\x1b[2J": torch.zeros(1)}), "\\x1b[2J left over"),
}


@pytest.mark.promise("Hostile files", "a model's configuration of wrong types or ranges is refused by its key")
@pytest.mark.parametrize("name", CONFIGS)
def test_configurations(name: str) -> None:
    changes, message = CONFIGS[name]
    config, tensors = good_model()
    said = attempt("models", json.dumps({**config, **changes}).encode() + SEPARATOR + b"\0" + save(tensors))
    assert message in said if message and said else said is None and not message, said


@pytest.mark.promise("Hostile files", "weights that are not finite floats, or not the network's, are refused by name")
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(name: str) -> None:
    damage, message = WEIGHTS[name]
    config, tensors = good_model()
    damage(tensors)
    said = attempt("models", json.dumps(config).encode() + SEPARATOR + b"\0" + save(tensors))
    assert said is not None
    assert message in said


def good_checkpoint() -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and JSON after a step."""
    data = tensors_file((CORPUS / "checkpoints/seed-step").read_bytes())
    meta = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["json"])
    return load(data), meta


def every(key: str, value: float) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda tensors, meta: [v.fill_(value) for n, v in tensors.items() if v.is_floating_point() and key in n]


def tensor(damage: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda tensors, meta: damage(tensors)


def said_in(damage: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda tensors, meta: damage(meta)


def no_optimizer(tensors: dict[str, Any], meta: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith("optimizer.")]:
        del tensors[name]


DEEP = "yuv 2 3 " + "0" * 20
CHECKPOINTS: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "as it is": (said_in(with_()), ""),
    "before the first step": (lambda tensors, meta: (no_optimizer(tensors, meta), meta.update(step=0)), ""),
    "no optimizer": (no_optimizer, "optimizer.0.exp_avg and 77 more missing"),
    "all NaN": (every("", float("nan")), "expected finite floats, got others in average."),
    "moments of inf": (every("exp_avg", float("inf")), "expected finite floats, got others in optimizer.0.exp_avg"),
    "negative mean squares": (every("exp_avg_sq", -1.0), "expected variances >= 0, got others in optimizer.0"),
    "moments of 1e300": (tensor(one("exp_avg", lambda w: w.double() + 1e300)), "expected finite floats, got others in"),
    "weights of 1e39": (
        tensor(one("head.0.bias", lambda w: w.double() + 1e39)),
        "expected finite floats, got others in",
    ),
    "Adam's step of -1": (every(".step", -1.0), ".step: expected a whole number in 1.."),
    "Adam's step of 0": (tensor(one(".step", 0.0)), ".step: expected a whole number in 1.."),
    "Adam's step of 0.5": (tensor(one(".step", 0.5)), ".step: expected a whole number in 1.."),
    "Adam's step after the run's": (tensor(one(".step", 1e6)), ".step: expected a whole number in 1.."),
    "integers as moments": (tensor(one("exp_avg", lambda w: w.int())), "expected floats, got others"),
    "an index out of range": (tensor(with_(**{"optimizer.999.exp_avg": torch.zeros(1)})), "optimizer.999.exp_avg left"),
    "an index that is none": (tensor(with_(**{"optimizer.x": torch.zeros(1)})), "optimizer.x left over"),
    "moments of another shape": (tensor(one("exp_avg", lambda w: w.reshape(-1, 1, 1))), "expected shape"),
    "no random state": (tensor(without("random")), "random missing"),
    "a short random state": (tensor(with_(random=torch.zeros(7, dtype=torch.uint8))), "random: expected shape (5056,)"),
    "a random state of zeros": (tensor(one("random", 0)), "random: expected the state of torch's generator"),
    "a random state of floats": (tensor(one("random", lambda w: w.float())), "random: expected integers, got others"),
    "a random state of int64": (tensor(one("random", lambda w: w.long())), "random: expected the state of torch's"),
    "no configuration": (said_in(without("config")), "no configuration in its JSON"),
    "a configuration that is text": (said_in(with_(config="plain")), "no configuration in its JSON"),
    "no network": (said_in(lambda meta: meta["config"].pop("network")), "no configuration in its JSON"),
    "an unknown option": (said_in(lambda meta: meta["config"].update(harm=1)), "unexpected keyword argument 'harm'"),
    "a batch of 10**400": (said_in(lambda meta: meta["config"].update(rate=10**400)), "rate: expected a finite number"),
    "no step": (said_in(without("step")), "step: expected an integer, got NoneType"),
    "a negative step": (said_in(with_(step=-1)), "step: expected an integer >= 0, got -1"),
    "a step of 1.0": (said_in(with_(step=1.0)), "step: expected an integer, got float"),
    "a step that is true": (said_in(with_(step=True)), "step: expected an integer, got bool"),
    "a clock that is a list": (said_in(with_(clock=[1])), "clock: expected an object, got [1]"),
    "a clock that goes back": (said_in(with_(clock={"seconds": -5})), "clock, seconds: expected a finite number >= 0"),
    "a clock of text": (said_in(with_(clock={"closing": "1"})), "clock, closing: expected a number, got str"),
    "widths of 12,000": (
        said_in(lambda meta: meta["config"]["network"].update(down=[12_000, 12_000])),
        "weights that do not fit its configuration: down.0.0.bias: expected shape (12000,), got (1,)",
    ),
    "bins that are a number": (said_in(with_(bins=3)), "bins: expected the text of color bins"),
    "bins of no text": (said_in(with_(bins="yuv")), "not enough values to unpack"),
    "bins of 10**9 cells": (said_in(with_(bins="yuv 2 1000000000 x")), "2 bins of 1000000000 x 1000000000 cells"),
    "bins that do not unpack": (said_in(with_(bins=DEEP)), "bins: expected the text of color bins"),
}


@pytest.mark.promise("Hostile files", "a checkpoint that lacks anything, or holds what no run leaves, is not resumed")
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(name: str) -> None:
    damage, message = CHECKPOINTS[name]
    tensors, meta = good_checkpoint()
    damage(tensors, meta)
    said = attempt("checkpoints", b"\0" + save(tensors, {"json": json.dumps(meta)}))
    assert message in said if message and said else said is None and not message, said


@pytest.mark.parametrize("text", ["[1]", "1", "null", "{", "[" * 100_000, '{"step": 1e999}', '"\\ud800"'])
def test_a_checkpoint_with_other_json(text: str) -> None:
    tensors, _ = good_checkpoint()
    assert attempt("checkpoints", b"\0" + save(tensors, {"json": text}))


def test_a_checkpoint_changes_nothing_unless_it_is_whole() -> None:
    from fuzz_targets import tiny_trainer

    trainer = tiny_trainer()
    state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    random = torch.get_rng_state()
    tensors, meta = good_checkpoint()
    every("model.head", 7.0)(tensors, meta)
    every("exp_avg_sq", -1.0)(tensors, meta)
    assert attempt("checkpoints", b"\0" + save(tensors, {"json": json.dumps(meta)}))
    assert all(torch.equal(value, state[name]) for name, value in trainer.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


DESCRIPTIONS = {
    "steps = 3": "unknown: steps",
    "[training]\nsteps = 2020-01-01": "steps: expected an integer, got datetime.date",
    "[training]\nrate = inf": "rate: expected a finite number >= 0, got inf",
    "[training]\nrate = nan": "rate: expected a finite number >= 0, got nan",
    "[training]\nsize = 192.5": "size: expected an integer, got float",
    "[training]\nbfloat16 = 1": "bfloat16: expected true or false, got 1",
    "[training]\nbatch = true": "batch: expected an integer, got bool",
    f"[training]\nclip = {10**400}": "clip: expected a finite number >= 0",
    "[network]\ndown = [1000000000, 4]\nup = [4]": "expected integers in 1..65536",
    "[network]\nfold = 1.0": "fold: expected an integer, got 1.0",
    "network = 3": "expected a table [network], got 3",
    "sets = [3]": 'sets: expected texts, "SET" or "SET=WEIGHT", got [3]',
    "validate_every = true": "validate_every: expected int, got True",
    "recipe = 'none'": "recipe: expected one of",
    "a = " + "[" * 5000: "expected TOML, got",
    "x" * (2 << 20): "expected at most 1048576",
    "\x1b[2J = 1": "expected TOML, got",
}


@pytest.mark.promise("Hostile files", "a run's description of wrong keys, types or ranges is refused with file and key")
@pytest.mark.parametrize("text", DESCRIPTIONS, ids=[text[:24] for text in DESCRIPTIONS])
def test_descriptions(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert main(["train", str(tmp_path), "--config", str(path), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"fastcolor: error: {path}: "), said
    assert DESCRIPTIONS[text] in said
    assert said.rstrip("\n").isprintable()
    assert not (tmp_path / "out").exists()
