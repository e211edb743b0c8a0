"""What a fit of the decoding chooses: from planted candidates, and on photographs of known colors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fastcolor import ColorBins
from fastcolor.commands.evaluate import _told
from fastcolor.evaluation import tuning
from fastcolor.evaluation.tuning import Candidate, choose
from fastcolor.photo.decoding import Decoding, moments

BINS = ColorBins.default()

CANDIDATES = [
    Candidate(Decoding(1, 1, 1), -0.13, -0.5, 0),
    Candidate(Decoding(1, 1, 1.2), -0.125, -0.4, 0),
    Candidate(Decoding(1, 0, 1.3), -0.122, -0.3, 2),
    Candidate(Decoding(1, 2, 1.3), -0.124, -0.45, 0),
    Candidate(Decoding(1, 1, 2), -0.02, 0.1, 0),
]


def test_vivid_within_what_is_given_and_no_class_worse() -> None:
    assert choose(CANDIDATES, 0.01)[0].decoding == Decoding(1, 1, 1.2)
    assert choose(CANDIDATES, 0.0)[0].decoding == Decoding(1, 1, 1)
    assert choose(CANDIDATES, 0.2)[0].decoding == Decoding(1, 1, 2)
    only = [one._replace(worse=one.worse + 1) for one in CANDIDATES]
    assert choose(only, 0.01)[0].decoding == Decoding(1, 1, 1.2), "the fewest, if there is none without"


def test_chosen_is_told_on_the_front_or_not() -> None:
    chosen, front = choose(CANDIDATES[1:], 0.01)
    off = Candidate(Decoding(1, 0.5, 1.1), -0.124, -0.42, 0)
    for one in (chosen, off):
        lines = _told(one, front).splitlines()[1:]
        assert [line.split("  ")[1] for line in lines if line.endswith("chosen")] == [str(one.decoding)]


def test_gray_photographs_are_no_measure_of_color() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (2, BINS.n, 24, 24)).astype(np.float32)
    truth = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    truth[1] = truth[1, ..., :1]
    with pytest.raises(
        ValueError, match=r"sets: expected color photographs in every set, got gray ones alone in \['b'\]"
    ):
        judge(logits, truth)
    one = judge(logits, truth, sets=["a", "a"])(Decoding(1, 0, 2))
    assert np.isfinite(one.change)
    assert one.worse == 1, "people; the gray food has no color to be wrong about"


def test_front_is_what_no_other_beats() -> None:
    front = choose(CANDIDATES, 0.01)[1]
    assert [one.decoding.gain for one in front] == [1, 1.2, 1.3, 2]
    assert all(one.decoding.doubt < 2 for one in front)


def judge(logits: np.ndarray, truth: np.ndarray, sets: Sequence[str] = ("a", "b")) -> tuning._Judge:
    from fastcolor import encode

    mean, square = moments(logits, BINS, 1.0)
    points = tuning._Points(mean, square, encode(truth, BINS)[0], truth)
    return tuning._Judge(points, BINS, sets, ["people", "food"])


def test_a_network_that_is_right_wants_its_colors_and_one_that_guesses_wants_gray() -> None:
    """Of the first photograph's two halves the sure one is right, the doubtful one is gray in truth."""
    from fastcolor import encode, merge

    rng = np.random.default_rng(0)
    color = int(np.linalg.norm(BINS.colors, axis=1).argsort()[-3])
    luma = np.full((2, 24, 24), 0.5, np.float32)
    chroma = np.zeros((2, 2, 24, 24), np.float32)
    chroma[..., :12] = BINS.colors[color][:, None, None]
    truth = merge(chroma, luma)
    _, labels, _ = encode(truth, BINS)
    logits = rng.normal(0, 1.5, (2, BINS.n, 24, 24)).astype(np.float32)
    np.put_along_axis(logits[..., :12], labels[:, None, :, :12].astype(int), 12.0, axis=1)
    found = judge(logits, truth)
    plain, careful = found(Decoding(1)), found(Decoding(1, 2))
    assert careful.change < plain.change - 0.05
    assert careful.vividness == pytest.approx(0, abs=0.1)
    assert (plain.worse, careful.worse) == (0, 0)
    assert found(Decoding(1, 0, 2.5)).vividness > careful.vividness + 0.2
    wrong = judge(np.roll(logits, 7, axis=1), truth)
    assert wrong(Decoding(1)).worse == 2
