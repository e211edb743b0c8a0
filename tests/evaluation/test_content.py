"""Classes of content: the TOML file, what it refuses, and the table's planted numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from fastcolor.evaluation.calibration import Reliability
from fastcolor.evaluation.content import CLASSES, OTHER, Content
from fastcolor.evaluation.report import WORSE, table


def load(tmp_path: Path, text: str) -> Content:
    path = tmp_path / "content.toml"
    path.write_text(text)
    return Content.load(path)


def test_names_win_over_globs_and_the_first_glob_counts(tmp_path: Path) -> None:
    text = '"sky and sea" = ["opensky_*"]\npeople = ["sport_*", "voc_0001"]\nobjects = ["sport_00*", "sport_0009"]\n'
    content = load(tmp_path, text)
    names = {
        "sport_0009": "objects",
        "sport_0010": "people",
        "voc_0001": "people",
        "voc_00012": OTHER,
        "opensky_1": "sky and sea",
    }
    assert {name: content.of_name(name) for name in names} == names
    assert content.of(Path("anywhere/sport_0009.webp")) == "objects"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('persons = ["a"]', r"content\.toml: expected classes among people, .* got 'persons'"),
        ('people = "a"', "people: expected an array of patterns, got str"),
        ("people = [3]", "got 3, not a text"),
        ('people = [""]', "got '', which is empty"),
        ('people = ["val/a"]', "got 'val/a', which has a folder"),
        ('people = ["a.webp"]', "got 'a.webp', which has a suffix"),
        ('people = ["a[0-9"]', r"got 'a\[0-9', whose \[ is not closed"),
        ('people = ["a"]\nfood = ["a"]', "expected a pattern once, got 'a' in 'people' and 'food'"),
        ("people = = 3", r"content\.toml: expected TOML, got .*line 1"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, text)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Content.load(tmp_path / "none.toml")


def test_the_file_of_the_validation_sets() -> None:
    content = Content.load(ROOT / "docs" / "content.toml")
    assert {*content.names.values(), *(kind for _, kind in content.globs)} == set(CLASSES)
    assert content.of_name("sport_00000000") == "people"
    assert content.of_name("intel-scenes_00000000") == "landscapes"


def planted() -> dict:
    """Two classes of three photographs, one of which color made worse."""

    def rows(gray: float, network: float) -> list[dict]:
        numbers = {"temperature": 1.0, "doubt": 1.0, "gain": 1.4}
        return [
            {"name": "gray", "psnr": 20.0, "ciede2000": gray, "colorfulness": 0.0},
            {"name": "truth", "colorfulness": 50.0},
            {"name": "network", **numbers, "psnr": 21.5, "ciede2000": network, "colorfulness": 40.0},
        ]

    content = [
        {"name": "people", "images": 2, "results": rows(10.0, 9.0)},
        {"name": "other", "images": 1, "results": rows(10.0, 10.5)},
    ]
    calibration = {"expected_error": 0.034, "groups": [{"share": 1.0, "confidence": 0.5, "accuracy": 0.466}]}
    entry = {"name": "val", "images": 3, "top1": 0.25, "weighted_cross_entropy": 3.0, "calibration": calibration}
    entry |= {"results": rows(10.0, 9.5), "content": content}
    return {"size": 192, "mirror": False, "lam": 0.5, "sets": [entry]}


def test_table_of_planted_numbers() -> None:
    lines = {line.split(",")[0]: line for line in table(planted()).splitlines()}
    assert "+1.50" in lines["people"]
    assert "-10.0%" in lines["people"]
    assert "-20.0%" in lines["people"]
    assert not lines["people"].endswith(WORSE)
    assert "+5.0%" in lines["other"]
    assert lines["other"].endswith(WORSE)
    assert "expected calibration error 3.4 %" in table(planted())


def test_calibrated_pixels_have_no_error_and_overconfident_ones_have_theirs() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.05, 1, 400_000)
    meter, bold = Reliability(), Reliability()
    for part in np.array_split(top, 3):
        draw = rng.random(part.size)
        meter.add(part, draw < part)
        bold.add(part, draw < part - 0.05)
    found = meter.report()
    # ten groups of 40,000 hits, standard deviation at most 0.5 / 200 each: five of them
    assert found["expected_error"] < 5 * 0.5 / 200
    assert bold.report()["expected_error"] == pytest.approx(0.05, abs=5 * 0.5 / 200)
    assert [round(row["share"], 2) for row in found["groups"]] == [0.1] * 10
    assert np.all(np.diff([row["confidence"] for row in found["groups"]]) > 0)


def test_meters_add_up_and_one_confidence_is_one_group() -> None:
    first, second, both = Reliability(), Reliability(), Reliability()
    first.add(np.full((2, 2), 0.5), np.array([[True, True], [True, False]]))
    second.add(np.array([0.9]), np.array([False]))
    both += first
    both += second
    rows = both.report()["groups"]
    assert [(row["confidence"], row["accuracy"]) for row in rows] == [(0.5, 0.75), (0.9, 0.0)]
    assert both.report()["expected_error"] == pytest.approx(0.8 * 0.25 + 0.2 * 0.9)
