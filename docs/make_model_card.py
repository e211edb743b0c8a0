"""Make the pictures and tables of docs/MODEL_CARD.md: python docs/make_model_card.py [--measure FOLDER ...].

The sheets show photographs of docs/pictures and of the package; demo.jpg is that of `fastcolor demo`. `--measure` takes
the folders of the validation sets, whose photographs may not be shown, and runs `fastcolor evaluate` on them with every
bundled network; what it says is kept in docs/evaluation.json, and the tables are made of that. With OMP_NUM_THREADS=1
it takes minutes; many threads on busy cores can take an hour.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fastcolor.commands import demo  # noqa: E402
from fastcolor.commands.main import main as fastcolor  # noqa: E402
from fastcolor.evaluation.report import change, decibels, vividness  # noqa: E402
from fastcolor.files.atomic import atomic_path, write_json  # noqa: E402
from fastcolor.files.images import gray_of, read_photo  # noqa: E402
from fastcolor.files.writing import write_photo  # noqa: E402
from fastcolor.network.pretrained import bundled_models  # noqa: E402
from fastcolor.photo.colorizer import DEFAULT_MODEL, Colorizer  # noqa: E402
from fastcolor.photo.decoding import Decoding  # noqa: E402
from fastcolor.plots.figures import Picture, confidence_map, contact_sheet, enlarged  # noqa: E402

DOCS, SAMPLES = ROOT / "docs", ROOT / "fastcolor/data/samples"
PAGE, FIGURES, CONTENT = DOCS / "MODEL_CARD.md", DOCS / "evaluation.json", DOCS / "content.toml"
START, END = "<!-- figures:start -->", "<!-- figures:end -->"
SHEETS = {
    "sheet-people.jpg": ("hopper", "collins", "tourist", "stairs", "sebah", "hine"),
    "sheet-more.jpg": ("chelsea", "friends", "wine", "coffee", "fig", "pagoda", "hibiscus"),
}
WIDTH, DEMO_WIDTH = 200, 300  # of a column
QUALITY = 77  # of the JPEG


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", type=Path, nargs="+", metavar="FOLDER", help="validation sets: SET/val ...")
    args = parser.parse_args()
    if args.measure:
        write_json(FIGURES, measured(args.measure))
    text = PAGE.read_text(encoding="utf-8")
    tables = "\n".join(tables_of(json.loads(FIGURES.read_text(encoding="utf-8"))))
    with atomic_path(PAGE) as temporary:
        temporary.write_text(with_block(text, tables), encoding="utf-8")
    for name, photographs in SHEETS.items():
        write_photo(DOCS / name, sheet([photograph(stem) for stem in photographs]), quality=QUALITY)
    write_photo(DOCS / "demo.jpg", demo.sheet(Colorizer.load(), width=DEMO_WIDTH), quality=QUALITY)


def networks() -> list[str]:
    """Names of the bundled networks, the default first."""
    return sorted(bundled_models(), key=lambda name: (name != DEFAULT_MODEL, name))


def photograph(stem: str) -> Path:
    return next(path for folder in (DOCS / "pictures", SAMPLES) if (path := folder / f"{stem}.jpg").exists())


def sheet(paths: Sequence[Path]) -> Picture:
    """A row a photograph: its luma, what each network makes of it, how sure the default one is, and its own colors."""
    colorizers = {name: Colorizer.load(name) for name in networks()}
    return contact_sheet([row(path, colorizers) for path in paths], width=WIDTH)


def row(path: Path, colorizers: dict[str, Colorizer]) -> list[tuple[str, Picture]]:
    photo = read_photo(path)
    predictions = {}
    for name, colorizer in colorizers.items():
        (predictions[name],) = colorizer.predict(colorizer.reduce(photo.luma)[None], with_confidence=True)
    top = predictions[DEFAULT_MODEL].top
    assert top is not None
    cells = [("gray", gray_of(photo.luma))]
    cells += [(name, colorizers[name].render(prediction, photo.luma)) for name, prediction in predictions.items()]
    cells.append((f"confidence of {DEFAULT_MODEL}", enlarged(confidence_map(top), photo.luma.shape)))
    if photo.rgb is not None:  # an old photograph has no colors of its own
        cells.append(("truth", photo.rgb))
    return cells


def measured(folders: Sequence[Path]) -> dict[str, Any]:
    """``{network: what `fastcolor evaluate` says}``, sets by the names that they have on every machine."""
    names = {str(folder): folder.parent.name if folder.name == "val" else folder.name for folder in folders}
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for network in networks():
            file = Path(temporary) / f"{network}.json"
            words = ["evaluate", *names, "--model", network, "--content", str(CONTENT), "--json", str(file)]
            if status := fastcolor(words):
                sys.exit(status)
            report = json.loads(file.read_text(encoding="utf-8"), parse_float=lambda number: round(float(number), 4))
            for entry in report["sets"]:
                entry["name"] = names.get(entry["name"], entry["name"])
            found[network] = report
    return found


def tables_of(found: dict[str, Any]) -> Iterator[str]:
    """Markdown: for every set one table of the networks, and one of their colors by what the photographs show."""
    for entries in zip(*(report["sets"] for report in found.values()), strict=True):
        yield f"### {entries[0]['name']}: {entries[0]['images']} photographs"
        yield from networks_table(dict(zip(found, entries, strict=True)))
        yield from content_table(dict(zip(found, entries, strict=True)))


def networks_table(entries: dict[str, Any]) -> Iterator[str]:
    """PSNR, CIEDE2000 and colorfulness of a set, of gray, every network and the truth."""
    gray, truth = next(iter(entries.values()))["results"][:2]
    yield "\n| network | decoding | PSNR, dB (to gray) | CIEDE2000 (to gray) | colorfulness (to the truth) | top-1 |"
    yield "|---|---|---:|---:|---:|---:|"
    yield f"| gray | | {decibels(gray):.2f} | {gray['ciede2000']:.2f} | {gray['colorfulness']:.1f} | |"
    for name, entry in entries.items():
        for row in entry["results"][2:]:
            yield (
                f"| `{name}` | {Decoding(row['temperature'], row['doubt'], row['gain'])} "
                f"| {decibels(row):.2f} ({decibels(row) - decibels(gray):+.2f}) "
                f"| {row['ciede2000']:.2f} ({change(row, gray):+.1%}) "
                f"| {row['colorfulness']:.1f} ({vividness(row, truth):+.1%}) | {entry['top1']:.1%} |"
            )
    yield f"| truth | | | | {truth['colorfulness']:.1f} | |"


def content_table(entries: dict[str, Any]) -> Iterator[str]:
    """CIEDE2000 and colorfulness of every network by content; what is worse than gray is bold."""
    yield "\n| content | photographs | gray | " + " | ".join(f"`{name}`" for name in entries) + " |"
    yield "|---|---:|---:|" + "---:|" * len(entries)
    for kinds in zip(*(entry["content"] for entry in entries.values()), strict=True):
        gray, truth = kinds[0]["results"][:2]
        cells = [content_cell(kind["results"][2], gray, truth) for kind in kinds]
        yield f"| {kinds[0]['name']} | {kinds[0]['images']} | {gray['ciede2000']:.2f} | " + " | ".join(cells) + " |"
    yield ""


def content_cell(row: dict[str, Any], gray: dict[str, Any], truth: dict[str, Any]) -> str:
    mark = "**" if row["ciede2000"] > gray["ciede2000"] else ""
    return f"{mark}{row['ciede2000']:.2f} ({change(row, gray):+.1%}){mark}, color {vividness(row, truth):+.0%}"


def with_block(text: str, generated: str) -> str:
    """`text` with what stands between the markers replaced."""
    made, count = re.subn(f"{START}.*?{END}", lambda _: f"{START}\n{generated}\n{END}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE}: expected one block from {START} to {END}, got {count}")
    return made


if __name__ == "__main__":
    main()
