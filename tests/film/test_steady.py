"""Steady chroma: no trails, no smear of flashes and dissolves, and steady where nothing moves."""

from __future__ import annotations

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastcolor import ColorBins, TemporalSmoother, annealed_mean  # noqa: E402
from fastcolor.film import steady as module  # noqa: E402
from fastcolor.film.flow import carry_along, doubled, halved, lucas_kanade, mean_around  # noqa: E402
from fastcolor.film.motion import backward_flow  # noqa: E402
from fastcolor.film.scenes import CutDetector  # noqa: E402
from fastcolor.film.steady import SteadySmoother  # noqa: E402
from fastcolor.film.video import _Smoothed, _starter  # noqa: E402

SIDE = 64
RED, BLUE = np.array([-0.1, 0.3], np.float32), np.array([0.3, -0.1], np.float32)
LEVEL = 1 / 255


def texture(seed: int, low: float = 0.2, high: float = 0.8, side: int = SIDE) -> np.ndarray:
    blocks = np.random.default_rng(seed).uniform(low, high, (side // 4, side // 4))
    rows = np.repeat(np.repeat(blocks, 4, 0), 4, 1)
    return mean_around(rows.astype(np.float32), 2)


def flat(color: np.ndarray) -> np.ndarray:
    return np.broadcast_to(color[:, None, None], (2, SIDE, SIDE)).copy()


def moving_square() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(chroma, luma, inside): a bright red square of 16 pixels crosses a dark blue picture, two pixels a frame."""
    ground, front, film = texture(0, 0.1, 0.5), texture(1, 0.6, 0.9)[:16, :16], []
    for step in range(20):
        luma, inside = ground.copy(), np.zeros((SIDE, SIDE), bool)
        inside[24:40, 2 + 2 * step : 18 + 2 * step] = True
        luma[inside] = front.ravel()
        film.append((np.where(inside, RED[:, None, None], BLUE[:, None, None]), luma, inside))
    return film


def one_hot(chroma: np.ndarray) -> tuple[np.ndarray, ColorBins]:
    """Confident logits of two of the default bins where the chroma is red and where it is blue."""
    bins = ColorBins.default()
    logits = np.full((bins.n, SIDE, SIDE), -12, np.float32)
    red, blue = int(np.argmax(bins.colors[:, 1])), int(np.argmax(bins.colors[:, 0]))
    is_red = chroma[1] > 0.1
    logits[red][is_red] = logits[blue][~is_red] = 0
    return logits, bins


def run(film, smoother=None) -> list[np.ndarray]:
    smoother = smoother or SteadySmoother()
    return [smoother.step(chroma, luma) for chroma, luma, *_ in film]


def trail(film, results: list[np.ndarray], now: list[np.ndarray]) -> float:
    """Mean difference from a frame's own chroma where the square was in the last five frames and is no more."""
    errors = []
    for step in range(8, 20):
        left = np.any([film[k][2] for k in range(step - 5, step)], axis=0)
        left &= ~(mean_around(film[step][2].astype(np.float32), 2) > 1e-3)
        errors.append(np.abs(results[step] - now[step])[:, left].mean())
    return float(np.mean(errors))


def test_a_moving_square_leaves_nothing_behind():
    film = moving_square()
    mine = trail(film, run(film), [chroma for chroma, *_ in film])
    plain = TemporalSmoother(ColorBins.default(), window=0)
    paper = TemporalSmoother(ColorBins.default())
    logits = [one_hot(chroma)[0] for chroma, *_ in film]
    dragged = trail(film, [paper.chroma(x) for x in logits], [plain.chroma(x) for x in logits])
    print("trail", mine / LEVEL, "paper", dragged / LEVEL)
    assert mine <= LEVEL
    assert dragged >= 10 * LEVEL


def still(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """A flow that sees no motion."""
    return np.zeros((2, *now.shape), np.float32)


def test_trust_alone_leaves_no_trail_and_without_either_there_is_one(monkeypatch):
    film = moving_square()
    now = [chroma for chroma, *_ in film]
    assert trail(film, run(film, SteadySmoother(flow=still)), now) <= 2 * LEVEL
    monkeypatch.setattr(module, "_trust", lambda past, chroma, luma, usual: np.ones_like(luma))
    assert trail(film, run(film, SteadySmoother(flow=still)), now) >= 10 * LEVEL


def test_noise_of_a_pan_is_averaged_along_the_motion():
    """Of stripes that move three pixels a frame less is left than of each frame by itself: noise, and blurred edges."""
    rng, wide = np.random.default_rng(0), texture(0, side=4 * SIDE)
    red = (np.arange(4 * SIDE) // 16 % 2 == 1)[:, None]
    color = np.broadcast_to(np.where(red, RED, BLUE), (SIDE, 4 * SIDE, 2))
    errors = []
    for smoother in (SteadySmoother(), None):
        for step in range(20):
            part = slice(3 * step, 3 * step + SIDE)
            truth = np.moveaxis(color[:, part], -1, 0)
            noisy = (truth + rng.normal(0, 0.05, truth.shape)).astype(np.float32)
            result = smoother.step(noisy, wide[:SIDE, part].copy()) if smoother else noisy
        errors.append(np.abs(result - truth)[:, 6:-6, 6:-12].mean())
    print("noise left", errors[0] / errors[1])
    assert errors[0] <= 0.7 * errors[1]


def chain(film, decode) -> list[np.ndarray]:
    """As colorize_video does, cuts and all; `decode` makes chroma of what the film has in its place."""
    stub = SimpleNamespace(bins=ColorBins.default(), chroma=decode)
    link = _Smoothed(stub, CutDetector(), _starter(stub, "steady", 0.2, 20, "float32"))
    return [link.chroma(prediction, luma) for prediction, luma, *_ in film]


def smoothed(film) -> list[np.ndarray]:
    """The network's logits are one-hot."""
    bins = ColorBins.default()
    logits = [(torch.from_numpy(one_hot(chroma)[0]), luma) for chroma, luma, *_ in film]
    return chain(logits, lambda x: np.asarray(annealed_mean(x, bins, temperature=0.4)))


def flash(white: float, length: int) -> list[float]:
    """Levels of chroma that a blue film is off, in a flash whose frames the network sees as red and just after it."""
    luma = texture(2)
    grain = np.random.default_rng(0).normal(0, 0.01, (30, SIDE, SIDE)).astype(np.float32)
    film = [(flat(BLUE), (luma + noise).clip(0, 1)) for noise in grain]
    for step in range(12, 12 + length):
        film[step] = flat(RED), (film[step][1] + white * (1 - film[step][1])).astype(np.float32)
    results = smoothed(film)
    return [float(np.abs(result - results[5]).mean() / LEVEL) for result in results[12 : 13 + length]]


@pytest.mark.parametrize("white", [0.4, 1.0])
@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_does_not_smear(white, length):
    """The film is off by 102 levels in a red frame; a frame that counts 0.02 against 1 / (e^α - 1) = 4.5 gives 0.5."""
    off = flash(white, length)
    assert off[-1] <= 2
    if white < 1:  # else all is white, and its chroma is not seen
        assert max(off) <= 4


def test_a_flash_is_seen_where_it_counts_as_any_frame(monkeypatch):
    monkeypatch.setattr(module, "_LEAST", 1.0)
    assert max(flash(0.4, 1)) >= 10


def test_what_a_white_flash_interrupts_goes_on():
    """A noisy network is as steady just after a flash as just before it, which it is not after a cut."""
    noise = np.random.default_rng(0).normal(0, 0.05, (24, 2, SIDE, SIDE)).astype(np.float32)
    film = [(flat(BLUE) + part, texture(2)) for part in noise]
    film[16] = flat(RED), np.ones((SIDE, SIDE), np.float32)
    error = [float(np.abs(result - flat(BLUE)).mean()) for result in chain(film, lambda chroma: chroma)]
    assert error[17] <= 1.3 * error[15]
    assert error[17] <= 0.6 * error[0]


def off(film, truth) -> list[float]:
    """Levels of chroma that each frame of a film is off its true color, in the mean."""
    return [float(np.abs(result - color).mean() / LEVEL) for result, color in zip(run(film), truth, strict=True)]


def test_light_that_stays_is_no_flash():
    """Lights go on: the old color stays for the two frames that may be a flash, and no longer."""
    luma, truth = texture(2), [flat(RED)] * 10 + [flat(BLUE)] * 10
    film = [(color, luma if step >= 10 else 0.6 * luma) for step, color in enumerate(truth)]
    error = off(film, truth)
    assert error[10] >= 10
    assert max(error[12:]) <= LEVEL


@pytest.mark.parametrize(("first", "length"), [(0, 1), (0, 2), (1, 1), (1, 5), (2, 2), (12, 1), (12, 5), (12, 10)])
def test_a_flash_leaves_nothing_wherever_it_is(first, length):
    """Flashes that are no cut, in which the network sees red; those of frames 0 to 2 come before there is a past."""
    luma, truth = texture(2), [flat(BLUE)] * 24
    film = [(color, luma) for color in truth]
    for step in range(first, first + length):
        film[step] = flat(RED), (luma + 0.4 * (1 - luma)).astype(np.float32)
    assert max(off(film, truth)[first + length :]) <= 2


def fade(length: int) -> list[float]:
    """Levels that a red fade from black is off, whose darkest third the network leaves gray, since that third."""
    luma, truth = texture(2, 0.0, 1.0), [flat(RED)] * (length + 4)
    gray = range(length // 3 + 1)
    film = [
        (color * np.float32(step not in gray), np.float32(min(1, step / length)) * luma)
        for step, color in enumerate(truth)
    ]
    return off(film, truth)[len(gray) :]


@pytest.mark.parametrize("length", [8, 16, 24])
def test_a_fade_from_black_takes_the_colors_of_what_is_clear(length, monkeypatch):
    """Gray is forgotten sooner than where a dark frame counts as much as a clear one."""
    error = fade(length)
    monkeypatch.setattr(module, "_CLEAR", 1e-4)
    plain = fade(length)
    assert sum(error) <= 0.8 * sum(plain)
    assert error[length // 2] <= 6


@pytest.mark.parametrize("when", [0, 5])
def test_nan_stays_in_its_frame(when):
    film = [(flat(BLUE), texture(2)) for _ in range(12)]
    film[when][0][0, 20:24, 30] = np.nan
    results = run(film)
    bad = np.zeros((SIDE, SIDE), bool)
    bad[20:24, 30] = True
    for step, result in enumerate(results):
        assert (np.isnan(result).all(axis=0) == (bad & (step == when))).all()
        np.testing.assert_allclose(result[:, ~bad], flat(BLUE)[:, ~bad], atol=1e-5)
    np.testing.assert_allclose(results[when + 1], flat(BLUE), atol=1e-4)


@pytest.mark.parametrize("length", [6, 12, 24])
def test_a_dissolve_leaves_no_color_of_the_old_scene(length):
    one, other = texture(3), texture(4)
    film = []
    for step in range(14 + length):
        share = np.float32(np.clip((step - 8) / length, 0, 1))
        film.append((flat(RED if share < 0.5 else BLUE), (1 - share) * one + share * other))
    blue = smoothed([(flat(BLUE), other)])[0]
    end = 8 + length
    assert np.abs(smoothed(film)[end + 3] - blue).mean() <= LEVEL


def test_a_dissolve_lingers_where_nothing_is_forgotten(monkeypatch):
    monkeypatch.setattr(module, "_trust", lambda past, chroma, luma, usual: np.ones_like(luma))
    with pytest.raises(AssertionError):
        test_a_dissolve_leaves_no_color_of_the_old_scene(6)


def test_a_cut_shows_the_new_scene_by_itself():
    film = [(flat(RED), texture(5, 0.0, 0.4))] * 6 + [(flat(BLUE), texture(6, 0.5, 1.0))] * 3
    results = smoothed(film)
    np.testing.assert_array_equal(results[6], smoothed(film[6:])[0])


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (32, 48), (33, 31)])
def test_a_still_film_is_the_weighted_mean(shape):
    luma = np.random.default_rng(1).uniform(0, 1, (2 * shape[0], 2 * shape[1])).astype(np.float32)
    frames = np.random.default_rng(0).normal(0, 0.1, (12, 2, *shape)).astype(np.float32)
    smoother = SteadySmoother(alpha=0.3)
    results = [smoother.step(frame, luma) for frame in frames]
    np.testing.assert_array_equal(results[0], frames[0])
    weights = np.exp(-0.3 * np.arange(12))[::-1]
    expected = np.tensordot(weights / weights.sum(), frames, 1)
    np.testing.assert_allclose(results[-1], expected, atol=2e-3)
    flicker = [np.abs(np.diff(np.stack(film[4:]), axis=0)).mean() for film in (results, list(frames))]
    assert flicker[0] <= 0.5 * flicker[1]


def test_the_same_film_gives_the_same_bits():
    film = moving_square()
    for one, other in zip(run(film), run(film), strict=True):
        np.testing.assert_array_equal(one, other)


def test_opencv_s_flow_does_as_well():
    pytest.importorskip("cv2")
    film = moving_square()
    now = [chroma for chroma, *_ in film]
    assert trail(film, run(film, SteadySmoother(flow=backward_flow)), now) <= 3 * LEVEL


def test_nothing_but_numpy_is_needed():
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "import numpy as np\n"
        "from fastcolor.film.steady import SteadySmoother\n"
        "s = SteadySmoother()\n"
        "for t in range(3): s.step(np.zeros((2, 8, 8), np.float32), np.full((16, 16), 0.1 * t, np.float32))\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'av', 'scipy', 'skimage', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("shift", list(itertools.product((0, 3, -5), (0, 2))))
def test_lucas_kanade_finds_a_shift(shift):
    before = texture(0, 0.0, 1.0, side=96)
    flow = lucas_kanade(before, np.roll(before, shift, axis=(1, 0)))
    inner = np.median(flow[:, 16:-16, 16:-16], axis=(1, 2))
    np.testing.assert_allclose(inner, [-shift[0], -shift[1]], atol=0.5)


def test_means_carrying_and_sizes():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(7, 10)).astype(np.float32)
    expected = [[image[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean() for x in range(10)] for y in range(7)]
    np.testing.assert_allclose(mean_around(image, 2), expected, atol=1e-6)
    flow = rng.normal(0, 3, (2, 20, 30)).astype(np.float32)
    np.testing.assert_allclose(carry_along(np.full((4, 20, 30), 0.25, np.float32), flow), 0.25, rtol=1e-6)
    assert halved(image).shape == (4, 5)
    np.testing.assert_allclose(halved(image)[:3], image[:6].reshape(3, 2, 5, 2).mean(axis=(1, 3)), rtol=1e-6)
    np.testing.assert_allclose(
        doubled(np.full((2, 4, 5), 4.0, np.float32), (7, 10)), np.full((2, 7, 10), 4.0), rtol=1e-6
    )
