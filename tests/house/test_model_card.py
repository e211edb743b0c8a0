"""The model card: its tables are those of docs/evaluation.json, and every photograph beside it has a source."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from paths import ROOT, script

DOCS = ROOT / "docs"
SHOWN = (ROOT / "fastcolor/data/samples", DOCS / "pictures")
PAGE = (DOCS / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """docs/make_model_card.py as a module."""
    return script(ROOT / "docs/make_model_card.py")


def test_the_tables_are_those_of_the_figures(maker: ModuleType) -> None:
    figures = json.loads((DOCS / "evaluation.json").read_text(encoding="utf-8"))
    assert list(figures) == maker.networks(), "run python docs/make_model_card.py --measure SET/val ..."
    assert maker.with_block(PAGE, "\n".join(maker.tables_of(figures))) == PAGE, "run python docs/make_model_card.py"


def test_the_figures_name_no_folder() -> None:
    assert not re.search(r"[/\\]", (DOCS / "evaluation.json").read_text(encoding="utf-8"))


def test_what_is_worse_than_gray_is_bold(maker: ModuleType) -> None:
    gray, truth = {"ciede2000": 10.0}, {"colorfulness": 40.0}
    better, worse = ({"ciede2000": value, "colorfulness": 30.0} for value in (9.0, 11.0))
    assert maker.content_cell(better, gray, truth) == "9.00 (-10.0%), color -25%"
    assert maker.content_cell(worse, gray, truth) == "**11.00 (+10.0%)**, color -25%"


def test_a_page_without_its_markers_is_an_error(maker: ModuleType) -> None:
    with pytest.raises(ValueError, match="expected one block"):
        maker.with_block(PAGE.replace(maker.END, ""), "")


def test_the_sheets_show_photographs_that_are_there(maker: ModuleType) -> None:
    shown = [maker.photograph(stem) for stems in maker.SHEETS.values() for stem in stems]
    assert {path.name for path in shown} >= {path.name for path in (DOCS / "pictures").glob("*.jpg")}


@pytest.mark.parametrize("folder", SHOWN, ids=lambda folder: folder.name)
def test_every_photograph_has_a_source_and_every_source_a_photograph(folder: Path) -> None:
    named = re.findall(r"`(\w+\.jpg)`", (folder / "SOURCES.md").read_text(encoding="utf-8"))
    there = sorted(path.name for path in folder.glob("*.jpg"))
    assert sorted(set(named) - {"grace_hopper.jpg", "china.jpg"}) == there, "the two are names in other packages"


def test_what_asks_for_attribution_is_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    rows = [line for folder in SHOWN for line in (folder / "SOURCES.md").read_text(encoding="utf-8").splitlines()]
    attributed = [row for row in rows if row.startswith("|") and "CC BY" in row]
    assert len(attributed) == 4
    for row in attributed:
        file, _, author = (cell.strip("` ").split(", 20")[0] for cell in row.split("|")[1:4])
        assert file in notice
        assert author.split(" (")[0] in notice
