"""Several sets and the sources in them: how often each comes, what is validated, which network is kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from fastcolor.commands.main import main  # noqa: E402
from fastcolor.files.sets import source_of, unlike_names  # noqa: E402
from fastcolor.network.config import UNetConfig  # noqa: E402
from fastcolor.network.pretrained import bundled_models  # noqa: E402
from fastcolor.network.unet import ColorUNet  # noqa: E402
from fastcolor.training.checkpoint import load_tensors  # noqa: E402
from fastcolor.training.config import TrainConfig  # noqa: E402
from fastcolor.training.mixture import PhotoSet, open_sets, parse_set, shares  # noqa: E402
from fastcolor.training.models import Best  # noqa: E402
from fastcolor.training.runfile import describe, read_description  # noqa: E402
from fastcolor.training.runlog import read_log  # noqa: E402
from fastcolor.training.sampler import KeySampler  # noqa: E402
from fastcolor.training.trainer import CHECKPOINT, saved_config  # noqa: E402

SMALL = ["--steps", "6", "--batch", "4", "--size", "16", "--augment", "random", "--pictures", "1", "--workers", "0"]
SMALL += ["--balance", "0.5", "--save-every", "2", "--validate-every", "3"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """`first` has 9 photographs of one source and one of another, `second` four without a source."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(1)
    names = {"first": [f"many_{k:08x}" for k in range(9)] + ["few_0000000a"], "second": [f"IMG_{k}" for k in range(4)]}
    for name, stems in names.items():
        for part in ("train", "val"):
            (root / name / part).mkdir(parents=True)
            for stem in stems:
                corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
                Image.fromarray(corners).resize((24, 20), 2).save(root / name / part / f"{stem}.png")
    return [root / "first", root / "second"]


def test_the_bundled_network_is_described() -> None:
    told = read_description(bundled_models()["everyday"] / "run.toml")
    assert told.top["recipe"] == "everyday"
    network = UNetConfig(**told.network)
    assert network == ColorUNet.from_pretrained("everyday").config
    TrainConfig(**told.training, network=network)


def test_photographs_come_as_their_sets_and_sources_do(sets: list[Path]) -> None:
    opened = open_sets([PhotoSet(sets[0], 3), PhotoSet(sets[1], 1)])
    found = shares(opened, 0.5)
    assert found is not None
    assert found.sum() == pytest.approx(1)
    assert found[:10].sum() == pytest.approx(0.75)
    names = [photograph.stem for photograph in opened[0].train]
    few, many = names.index("few_0000000a"), names.index("many_00000003")
    assert found[few] == pytest.approx(3 * found[many])  # (9 / 1) ** 0.5
    pooled = open_sets([PhotoSet(place) for place in sets])
    assert [one.weight for one in pooled] == [10 / 14, 4 / 14]
    assert shares(pooled, 0.0) is None  # all alike: each comes once an epoch
    assert source_of(Path("a_b_0123abcd.webp.jpg")) == "a_b"


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["/d/people", "/d/more.zip"], ["people", "more"]),
        (["/d/photos", "/d/photos.zip", "/d/photos.2"], ["photos", "photos.zip", "photos.2"]),
        (["/d1/p/photos", "/d2/p/photos", "/d/x"], ["d1-p-photos", "d2-p-photos", "x"]),
        (["/a-b/c", "/a/b-c", "/b-c"], None),
        (["/a-b/c", "/a/b/c"], None),
    ],
)
def test_sets_have_unlike_names(places: list[str], names: list[str] | None) -> None:
    found = unlike_names([Path(place) for place in places])
    assert len(set(found)) == len(places)
    assert names is None or found == names


def test_an_epoch_has_each_sample_as_often_as_its_share_says() -> None:
    part = np.array([0.5, 0.3, 0.1, 0.05, 0.05])
    sampler = {"seed": 2, "shares": np.repeat(part / 4, 4)}
    whole = list(KeySampler(20, 5, start=0, stop=40, **sampler))
    epochs = np.array(whole).reshape(10, 20)
    for keys in epochs:
        counts = Counter((keys % 20).tolist())
        for index in range(20):
            expected = 20 * part[index // 4] / 4
            assert int(expected) <= counts[index] <= int(expected) + 1
    assert len(set(epochs.ravel().tolist())) == epochs.size, "a key comes twice, and its crop with it"
    mean = Counter((epochs % 20 // 4).ravel().tolist())
    assert [mean[k] / epochs.size for k in range(5)] == pytest.approx(part, abs=0.02)
    assert list(KeySampler(20, 5, start=7, stop=40, **sampler)) == whole[7:]
    ranks = [list(KeySampler(20, 4, start=0, stop=9, rank=rank, world=2, **sampler)) for rank in range(2)]
    together = [sorted(a + b) for a, b in zip(*ranks, strict=True)]
    assert together == [sorted(batch) for batch in KeySampler(20, 4, start=0, stop=9, **sampler)]


def words(sets: list[Path], run: Path, *more: str) -> list[str]:
    return ["train", f"{sets[0]}=2", f"{sets[1]}=1", "--out", str(run), *SMALL, *more]


@pytest.mark.parametrize("loader", ["workers", "device"])
def test_a_run_on_two_sets_goes_on_after_a_kill(
    sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    """Killed behind a checkpoint, before the next validation; --resume finds the sets in run.toml."""
    from fastcolor.training.trainer import Trainer

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(words(sets, whole, "--loader", loader)) == 0
    step = Trainer.train_step

    def dies(self: Trainer, *arguments: object) -> torch.Tensor:
        if self.step == 5:
            raise KeyboardInterrupt
        return step(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", dies)
        main(words(sets, killed, "--loader", loader))
    assert load_tensors(killed / CHECKPOINT)[1]["step"] == 4
    assert main(["train", "--resume", "--out", str(killed), "--workers", "0", "--save-every", "2"]) == 0
    a, b = (load_tensors(run / CHECKPOINT)[0] for run in (whole, killed))
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    rows = read_log(killed / "log.csv")
    assert [row["step"] for row in rows] == ["3", "6"]
    for row in rows:
        each = float(row["validation_loss/first"]), float(row["validation_loss/second"])
        assert float(row["validation_loss"]) == pytest.approx((2 * each[0] + each[1]) / 3, abs=2e-5)
        assert each[0] != each[1]
    assert (killed / "run.toml").read_bytes() == (whole / "run.toml").read_bytes()
    for name in ("model", "best"):
        assert (killed / name / "run.toml").read_bytes() == (killed / "run.toml").read_bytes()
        ColorUNet.from_pretrained(killed / name)
    kept = json.loads((killed / "best" / "validation.json").read_text())
    least = min(rows, key=lambda row: float(row["validation_loss"]))
    assert kept["step"] == int(least["step"])


def test_the_best_is_kept_and_a_worse_one_is_not(tmp_path: Path) -> None:
    from fastcolor.bins import ColorBins

    bins = ColorBins.default()
    good, bad = ColorUNet(bins=bins), ColorUNet(bins=bins)
    best = Best(tmp_path, {"lam": 0.5}, anew=True)
    assert best.take(good, 10, 2.0, {"a": 2.0})
    again = Best(tmp_path, {"lam": 0.5}, anew=False)
    assert again.loss == 2.0
    for loss in (2.0, 2.5, float("nan")):
        assert not again.take(bad, 20, loss, {"a": loss})
    kept = ColorUNet.from_pretrained(tmp_path / "best")
    assert torch.equal(kept.head[0].weight, good.head[0].weight)
    assert Best(tmp_path, {"lam": 0.6}, anew=False).take(bad, 20, 2.5, {"a": 2.5}), "another measure begins anew"
    assert Best(tmp_path, {"lam": 0.6}, anew=True).loss == float("inf")


@pytest.mark.parametrize("stopped", ["weights.safetensors", "validation.json"])
def test_a_kill_while_the_best_is_written_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    """Before its weights are in place, or between them and the file to be read: the loss is always that of the weights
    there.
    """
    import os

    from fastcolor.bins import ColorBins

    first, better = ColorUNet(bins=ColorBins.default()), ColorUNet(bins=ColorBins.default())
    best = Best(tmp_path, {"lam": 0.5}, anew=True)
    best.take(first, 10, 2.0, {"a": 2.0})
    replaced = os.replace

    def killed(source: object, target: object) -> None:
        if str(target).endswith(stopped):
            raise KeyboardInterrupt
        replaced(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            best.take(better, 20, 1.0, {"a": 1.0})
    again = Best(tmp_path, {"lam": 0.5}, anew=False)
    there, loss = (first, 2.0) if stopped == "weights.safetensors" else (better, 1.0)
    assert again.loss == loss
    assert json.loads((tmp_path / "best" / "validation.json").read_text())["loss"] == loss
    assert torch.equal(ColorUNet.from_pretrained(tmp_path / "best").head[0].weight, there.head[0].weight)
    (tmp_path / "best" / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="expected the weights of the best network"):
        Best(tmp_path, {"lam": 0.5}, anew=False)


def test_a_described_run_is_repeated(sets: list[Path], tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    assert main(words(sets, first, "--lam", "0.7")) == 0
    assert main(["train", "--config", str(first / "model" / "run.toml"), "--out", str(second), "--workers", "0"]) == 0
    assert saved_config(second) == saved_config(first)
    assert (second / "run.toml").read_bytes() == (first / "run.toml").read_bytes()
    a, b = (load_tensors(run / CHECKPOINT)[0] for run in (first, second))
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    again = ["train", str(sets[1]), "--config", str(first / "run.toml"), "--out", str(other), "--workers", "0"]
    assert main([*again, "--steps", "1", "--lam", "0.3"]) == 0
    config = saved_config(other)
    assert (config.steps, config.lam, config.balance) == (1, 0.3, 0.5)
    assert f'sets = ["{sets[1]}"]' in (other / "run.toml").read_text()


def test_wrong_descriptions_are_named(sets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.toml"

    def error(text: str, *more: str) -> str:
        path.write_text(text)
        assert main(["train", "--config", str(path), "--out", str(tmp_path / "run"), *more]) == 1
        assert not (tmp_path / "run").exists()
        err = capsys.readouterr().err
        assert "run.toml" in err or "--config" in err
        return err

    assert "unknown in [training]: lern; expected some of steps, batch" in error("[training]\nlern = 1")
    assert "unknown in [network]: width" in error("[network]\nwidth = 1")
    assert "unknown: seed; expected some of recipe, sets" in error("seed = 1")
    assert "sets: expected list, got 'a'" in error('sets = "a"')
    assert "sets: expected texts" in error("sets = [1]")
    assert "expected TOML, got" in error("sets = [")
    assert "batch: expected an integer >= 1" in error(f'sets = ["{sets[0]}"]\n[training]\nbatch = 0')
    assert "rate: expected a number" in error('[training]\nrate = "high"')
    assert "bfloat16: expected true or false" in error("[training]\nbfloat16 = 1")
    assert "recipe: expected one of 'paper'" in error('recipe = "best"')
    assert "expected one of the two, got both" in error("", "--resume")
    assert "expected one of the two, got both" in error("", "--recipe", "paper")
    path.unlink()
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "run")]) == 1
    assert "run.toml: no such file" in capsys.readouterr().err
    assert main(["train", "--resume", "--recipe", "paper", "--out", str(tmp_path / "run")]) == 1
    assert "--resume, --recipe: expected one of the two" in capsys.readouterr().err


def test_a_description_has_any_path_that_is_text(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(describe(TrainConfig(), sets=['odd\x7f\t"\u00e9']), encoding="utf-8")
    assert read_description(path).top["sets"] == ['odd\x7f\t"\u00e9']
    with pytest.raises(ValueError, match=r"sets = .*photos.udcff.*expected names in UTF-8"):
        describe(TrainConfig(), sets=["photos\udcff"])


def test_changed_options_are_kept_before_the_first_step(
    sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What run.toml says is what a run that is killed and goes on does."""
    from fastcolor.training.trainer import Trainer

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    assert main(words(sets, run, "--steps", "1")) == 0
    resume = ["train", "--resume", "--out", str(run), "--workers", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", dies)
        main([*resume, "--steps", "2", "--distance", "3"])
    assert "distance = 3.0" in (run / "run.toml").read_text()
    assert saved_config(run).distance == 3.0
    (run / "run.toml").unlink()
    capsys.readouterr()
    assert main(resume) == 1
    assert f"name the sets; {run / 'run.toml'}, which keeps them, is not there" in capsys.readouterr().err


def test_a_start_is_a_bundled_name_and_gives_its_decoding(
    sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a folder has that name; the run of its description decodes so, too."""
    from dataclasses import replace

    monkeypatch.chdir(tmp_path)
    (tmp_path / "landscapes").mkdir()
    bundled = ColorUNet.from_pretrained("landscapes")
    own = ColorUNet(replace(bundled.config, temperature=0.7, gain=1.3, doubt=2.0, mirror=True), bundled.bins)
    own.load_state_dict(bundled.state_dict())
    own.save_pretrained(tmp_path / "mine")
    small = ["--recipe", "landscapes", "--steps", "1", "--batch", "2", "--size", "16", "--workers", "0"]
    for start, expected, told in (("landscapes", bundled, "landscapes"), ("mine", own, str(tmp_path / "mine"))):
        run = tmp_path / f"run-{start}"
        assert main(["train", str(sets[1]), "--out", str(run), "--start", start, *small, "--pictures", "0"]) == 0
        assert read_description(run / "run.toml").top["start"] == told
        assert ColorUNet.from_pretrained(run / "model").config == expected.config


def test_wrong_sets_are_told_before_anything_is_written(
    sets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def error(*places: str) -> str:
        assert main(["train", *places, "--out", str(run), *SMALL]) == 1
        assert not run.exists()
        return capsys.readouterr().err

    first, second = map(str, sets)
    assert "sets: expected at least one prepared set, got none" in error()
    assert "nothing: no such folder or pack" in error(first, str(tmp_path / "nothing"))
    for weight in ("0", "-1", "nan", "inf", "much", ""):
        assert f"={weight}: expected SET=WEIGHT with a finite weight > 0" in error(f"{first}={weight}", second)
    assert "expected each set once, got" in error(first, second, f"{first}/../first")
    assert "expected a weight for all 2 sets or for none, got 1" in error(f"{first}=2", second)
    (tmp_path / "half" / "train").mkdir(parents=True)
    assert "expected photographs under" in error(first, str(tmp_path / "half"))
    Image.new("RGB", (8, 8)).save(tmp_path / "half" / "train" / "a.png")
    assert str(Path("half") / "val") in error(first, str(tmp_path / "half"))
    assert "which names no set" in error("=0.5", second)
    assert "expected a path, got an empty one" in error("", second)
    assert parse_set("/data/a=1/photos") == PhotoSet(Path("/data/a=1/photos"))
    (tmp_path / "a=b").mkdir()
    assert parse_set(str(tmp_path / "a=b")) == PhotoSet(tmp_path / "a=b")


@pytest.mark.parametrize("name", ["log.csv", "train.log", CHECKPOINT, "best/config.json", "best/validation.json"])
def test_a_full_disk_is_told_by_the_name_of_the_file(
    sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """No room for that file from the second validation on: the checkpoint before it loads, and the run goes on."""
    import builtins
    import errno
    import os

    run = tmp_path / "run"
    assert main(words(sets, run, "--steps", "3")) == 0
    good = (run / CHECKPOINT).read_bytes()
    (run / "best" / "weights.safetensors").unlink()  # so that the next one is the best
    full = OSError(errno.ENOSPC, "No space left on device")

    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, text: str) -> None:
            raise full

    opened, replaced = builtins.open, os.replace

    def open_(file: object, *arguments: object, **options: object) -> object:
        found = opened(file, *arguments, **options)  # type: ignore[call-overload]
        if str(file) != str(run / name) or "a" not in arguments:
            return found
        found.close()
        return Full()

    def replace_(source: object, target: object) -> None:
        if str(target) == str(run / name) and name != "log.csv":
            raise full
        replaced(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", open_)
        patch.setattr(os, "replace", replace_)
        capsys.readouterr()
        assert main(words(sets, run, "--resume", "--steps", "6")) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("fastcolor: error: ")
    assert str(run / name) in last
    assert "No space left on device" in last
    assert load_tensors(run / CHECKPOINT)[1]["step"] in (3, 4)
    assert (run / CHECKPOINT).read_bytes() == good or load_tensors(run / CHECKPOINT)[1]["step"] == 4
    assert not [path for path in run.rglob(".*") if path.is_file()]
    assert main(words(sets, run, "--resume", "--steps", "6")) == 0
    assert load_tensors(run / CHECKPOINT)[1]["step"] == 6
