"""Metrics against outsiders, and `fastcolor evaluate`."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fastcolor.evaluation.metrics import colorfulness, delta_e2000, psnr, rgb_to_lab


def photos(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two images: near, far, gray against color, gray against gray."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    b = rng.integers(0, 256, (40, 64, 3), dtype=np.uint8)
    b[:10] = np.clip(a[:10].astype(int) + rng.integers(-3, 4, (10, 64, 3)), 0, 255)
    a[10:20] = a[10:20, :, :1]
    b[15:25] = b[15:25, :, :1]
    return a, b


# Sharma, Wu, Dalal (2005), table 1: pairs in Lab and their CIEDE2000; the hard ones, around hue 0 and in the blue.
SHARMA = [
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 2.8361, -74.0200), (50.0000, 0.0000, -82.7485), 3.4412),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_ciede2000_is_the_published_table(first, second, expected):
    assert delta_e2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=5e-5)
    assert delta_e2000(np.array(second), np.array(first)) == pytest.approx(expected, abs=5e-5)


def test_lab_and_ciede2000_agree_with_scikit_image():
    color = pytest.importorskip("skimage.color")
    a, b = photos(0)
    assert np.abs(rgb_to_lab(a) - color.rgb2lab(a)).max() < 1e-3
    exact = color.deltaE_ciede2000(color.rgb2lab(a), color.rgb2lab(b))
    assert np.abs(delta_e2000(color.rgb2lab(a), color.rgb2lab(b)) - exact).max() < 1e-9
    # float32 Lab: a hue may flip by a turn where two colors are opposite, a few thousandths of the difference.
    near = np.abs(delta_e2000(rgb_to_lab(a), rgb_to_lab(b)) - exact)
    assert near.max() < 0.01
    assert near.mean() < 1e-4


def test_equal_images_differ_by_nothing():
    a, _ = photos(1)
    assert delta_e2000(rgb_to_lab(a), rgb_to_lab(a)).max() == 0
    assert psnr(a, a) == np.inf


def test_psnr_is_scikit_images():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = photos(2)
    assert psnr(a, b) == pytest.approx(metrics.peak_signal_noise_ratio(a, b))


def test_colorfulness_by_hand():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    assert colorfulness(red) == pytest.approx(0.3 * np.hypot(200, 100))
    half = red.copy()
    half[:, 0] = 0
    assert colorfulness(half) == pytest.approx(np.hypot(100, 50) + 0.3 * np.hypot(100, 50))


@pytest.fixture
def case(tmp_path):
    """A folder of photographs, and a model that knows them no better than chance."""
    torch = pytest.importorskip("torch")
    from fastcolor.bins import ColorBins
    from fastcolor.network.unet import ColorUNet, UNetConfig

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, size in enumerate([(40, 30), (64, 48), (20, 20)]):
        corners = np.random.default_rng(number).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR).save(folder / f"{number}.png")
    torch.manual_seed(0)
    config = UNetConfig(down=(4, 4), up=(4,), head=4, fold=2, temperature=0.5, size=32)
    model = ColorUNet(config, ColorBins.default()).eval()
    model.save_pretrained(tmp_path / "model")
    return folder, tmp_path / "model", model


def test_gray_and_truth_are_what_they_are(case):
    from fastcolor.evaluation.photos import evaluate
    from fastcolor.files.sets import find_images
    from fastcolor.photo.decoding import Decoding

    folder, _, model = case
    report = evaluate(model, {"val": find_images(folder)}, decodings=[Decoding(0.4), Decoding(1.0, 1.0, 1.4)])
    (entry,) = report["sets"]
    gray, truth, *rows = entry["results"]
    originals = [np.asarray(Image.open(path)) for path in find_images(folder)]
    assert gray["colorfulness"] == 0
    assert truth["colorfulness"] == pytest.approx(np.mean([colorfulness(rgb) for rgb in originals]))
    grays = [np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, axis=-1) for rgb in originals]
    assert gray["psnr"] == pytest.approx(np.mean([psnr(a, b) for a, b in zip(grays, originals, strict=True)]), abs=0.05)
    assert [(row["temperature"], row["doubt"], row["gain"]) for row in rows] == [(0.4, 0, 1), (1.0, 1.0, 1.4)]
    assert (entry["name"], entry["images"]) == ("val", 3)
    assert 0 <= entry["top1"] <= 1
    assert entry["weighted_cross_entropy"] > 2
    assert sum(row["share"] for row in entry["calibration"]["groups"]) == pytest.approx(1)
    assert "content" not in entry


def test_several_sets_are_measured_alone_and_together_and_by_content(case):
    from fastcolor.evaluation.content import Content
    from fastcolor.evaluation.photos import evaluate
    from fastcolor.evaluation.tuning import fit_decoding
    from fastcolor.files.sets import find_images

    folder, _, model = case
    paths = find_images(folder)
    content = Content({"0": "food"}, (("[12]", "people"),))
    report = evaluate(model, {"a": paths[:1], "b": paths[1:]}, content=content)
    alone, other, together = report["sets"]
    assert [(one["name"], one["images"]) for one in report["sets"]] == [("a", 1), ("b", 2), ("together", 3)]
    for measure in ("psnr", "ciede2000", "colorfulness"):
        first, second, mean = (entry["results"][2][measure] for entry in (alone, other, together))
        assert mean == pytest.approx((first + 2 * second) / 3), "a mean over photographs, not over sets"
    assert together["top1"] == pytest.approx((alone["top1"] + 2 * other["top1"]) / 3)
    classes = {kind["name"]: kind for kind in together["content"]}
    assert list(classes) == ["people", "food"], "in the order of the classes, those that are there"
    assert classes["food"]["results"] == alone["results"]
    assert classes["people"]["results"] == other["results"]
    named = evaluate(model, {"together": paths[:1], "b": paths[1:]})["sets"]
    assert [(one["name"], one["images"]) for one in named] == [("together", 1), ("b", 2), ("together", 3)]
    for measure_ in (evaluate, partial(fit_decoding, give=0.0)):
        with pytest.raises(ValueError, match=r"sets: expected photographs in every set, got .*'b': 0"):
            measure_(model, {"a": paths, "b": []})
        with pytest.raises(ValueError, match=r"sets: expected photographs in every set, got {}"):
            measure_(model, {})


def test_a_gray_photograph_has_no_psnr_and_leaves_the_others_theirs(case, tmp_path):
    from fastcolor.evaluation.photos import evaluate
    from fastcolor.evaluation.report import table
    from fastcolor.files.atomic import write_json
    from fastcolor.files.sets import find_images

    folder, _, model = case
    paths = find_images(folder)
    Image.open(paths[0]).convert("L").convert("RGB").save(paths[0])
    colored, mixed, gray = (
        evaluate(model, {"a": some})["sets"][0]["results"] for some in (paths[1:], paths, paths[:1])
    )
    for i in (0, 2):
        assert mixed[i]["psnr"] == pytest.approx(colored[i]["psnr"])
        assert gray[i]["psnr"] is None
    report = evaluate(model, {"a": paths[:1], "b": paths[1:]})
    assert "nan" in table(report)
    assert "a: 1 photograph at size" in table(report)
    write_json(tmp_path / "report.json", report)
    write_json(tmp_path / "film.json", {"psnr": [float("inf"), 1.5], "flicker": (float("nan"),)})
    assert json.loads((tmp_path / "film.json").read_text()) == {"psnr": [None, 1.5], "flicker": [None]}


def test_a_network_that_is_right_scores_so(case):
    """Logits made of the labels: top-1 is 1, and what is left is the bins' own error."""
    torch = pytest.importorskip("torch")
    from fastcolor import encode, merge
    from fastcolor.evaluation.calibration import Reliability
    from fastcolor.evaluation.photos import label_scores
    from fastcolor.photo.decoding import Decoding

    folder, _, model = case
    rgb = np.asarray(Image.open(folder / "1.png"))
    luma, labels, _ = encode(rgb, model.bins)
    logits = 30 * torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 32).permute(2, 0, 1).float()
    meter = Reliability()
    scores = label_scores(logits, rgb, model.bins, 0.5, meter)
    assert scores["top1"] == 1
    assert scores["weighted_cross_entropy"] < 1e-6
    assert meter.report()["groups"] == [{"share": 1.0, "confidence": pytest.approx(1), "accuracy": 1.0}]
    gray = np.repeat(np.round(255 * luma).astype(np.uint8)[..., None], 3, axis=-1)
    assert psnr(merge(Decoding(0.5).chroma(logits, model.bins), luma), rgb) > psnr(gray, rgb) + 4


def test_from_the_command_line(case, tmp_path, capsys):
    from fastcolor.commands.main import main

    folder, model, _ = case
    out, picture = tmp_path / "report.json", tmp_path / "sheet.png"
    options = ["--temperature", "0.38", "1", "--json", str(out), "--sheet", str(picture)]
    assert main(["evaluate", str(folder), "--model", str(model), *options]) == 0
    text = capsys.readouterr().out
    assert "3 photographs at size 32" in text
    assert [line.split()[0] for line in text.splitlines()[2:6]] == ["gray", "T", "T", "truth"]
    (entry,) = json.loads(out.read_text())["sets"]
    assert [row["name"] for row in entry["results"]] == ["gray", "truth", "network", "network"]
    assert Image.open(picture).size[0] > 500
    again = tmp_path / "other.png"
    assert (
        main(["evaluate", str(folder), "--model", str(model), *options[:3], "--size", "16", "--sheet", str(again)]) == 0
    )
    assert np.asarray(Image.open(again)).tobytes() != np.asarray(Image.open(picture)).tobytes(), "seen at another size"


def test_a_decoding_is_learned_and_goes_into_the_configuration(case, tmp_path, capsys):
    from fastcolor.commands.main import main
    from fastcolor.photo.colorizer import Colorizer
    from fastcolor.photo.decoding import Decoding

    folder, model, _ = case
    fitted, content = tmp_path / "decoding.json", tmp_path / "content.toml"
    content.write_text('plants = ["[01]"]\n')
    arguments = ["evaluate", str(folder), "--model", str(model), "--content", str(content)]
    assert main([*arguments, "--fit-decoding", str(fitted)]) == 0
    text = capsys.readouterr().out
    numbers = json.loads(fitted.read_text())
    fitted_at = (numbers.pop("size"), numbers.pop("mirror"))
    assert fitted_at == (32, False)
    assert f"by content, {Decoding(**numbers)}:" in text
    assert [line.split("  ")[1] for line in text.splitlines() if line.endswith("  chosen")] == [
        str(Decoding(**numbers))
    ]
    assert [line.split(",")[0] for line in text.splitlines() if line.startswith(("plants", "other"))] == [
        "plants",
        "other",
    ]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | numbers))
    assert Colorizer.load(model).decoding == Decoding(**numbers)
    first = fitted.read_bytes()
    assert main([*arguments, "--fit-decoding", str(fitted), "--force"]) == 0
    assert fitted.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["photos", "--every", "0"], "--every: expected at least 1, got 0"),
        (["photos", "photos"], "DIR: expected different folders"),
        (["photos", "empty"], "expected photographs under"),
        (["photos", "--content", "none.toml"], "none.toml"),
        (["photos", "--json", "nowhere/report.json"], "does not exist"),
        (["photos", "--fit-decoding", "nowhere/d.json"], "does not exist"),
        (["photos", "--sheet", "sheet.gif"], "sheet.gif: expected a name that ends in"),
        (["photos", "--lam", "1.5"], "--lam: expected a number in [0, 1]"),
        (["photos", "--give", "0.1"], "--give: expected with --fit-decoding alone"),
        (["photos", "--fit-decoding", "d.json", "--give", "-1"], "--give: expected a finite number >= 0"),
        (["photos", "--fit-decoding", "d.json", "--json", "./d.json"], "would be both --json and --fit-decoding"),
    ],
)
def test_refused_before_anything_is_measured(case, tmp_path, capsys, monkeypatch, arguments, message):
    from fastcolor.commands.main import main

    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments, "--model", "model"]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out
