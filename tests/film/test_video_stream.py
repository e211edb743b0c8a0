"""colorize_video: the same frames as one by one, in order, in bounded memory; errors and closing are passed on."""

from __future__ import annotations

import copy
import itertools
import math
import threading
import time

import numpy as np
import pytest

import fastcolor
from fastcolor import ColorBins, TemporalSmoother, colorize, colorize_video, reference
from fastcolor.film import video
from fastcolor.film.sample_clip import sample_frames
from fastcolor.photo.colorizer import Colorizer
from fastcolor.photo.paper import render
from fastcolor.photo.pipeline import prefetch

torch = pytest.importorskip("torch")
from fastcolor.network.unet import ColorUNet, UNetConfig  # noqa: E402


@pytest.fixture(scope="module")
def network() -> ColorUNet:
    """Untrained, with logits strong enough to tell frames apart."""
    torch.manual_seed(0)
    model = ColorUNet(UNetConfig(down=(8, 8), up=(8,), head=8, size=64), ColorBins.default()).eval()
    with torch.no_grad():
        model.head[-1].weight *= 30
    return model


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    """Two shots of 12 frames."""
    return list(sample_frames(64, 48, seconds=0.5, shots=(0, 1)))


def test_without_smoothing_each_frame_is_colorize(network, clip):
    frames = list(colorize_video(clip, model=network, smooth=False, batch=5))
    assert len(frames) == len(clip)
    for frame, source in zip(frames, clip, strict=True):
        # the network rounds differently in other batches
        assert np.abs(frame.astype(int) - colorize(source, model=network)).max() <= 2


def test_frames_are_seen_once_whatever_the_model_says(clip, monkeypatch):
    from fastcolor.network import inference

    config = UNetConfig(down=(8, 8), up=(8,), head=8, size=64, mirror=True)
    model, real, mirrors = ColorUNet(config, ColorBins.default()).eval(), inference.predict, []
    assert Colorizer.load(model).mirror

    def spy(*args, mirror=False):
        mirrors.append(mirror)
        return real(*args, mirror=mirror)

    monkeypatch.setattr(inference, "predict", spy)
    list(colorize_video(clip[:4], model=model, batch=2))
    assert mirrors == [False, False]


def test_the_paper_s_smoothing_is_that_of_the_reference(network, clip):
    from fastcolor.network.inference import network_input, predict

    gray = [fastcolor.files.images.gray_of(fastcolor.files.images.luma_of(frame)) for frame in clip[:12]]
    smoother = reference.TemporalSmoother(network.bins, alpha=0.3, window=4, temperature=0.5)
    options = {"alpha": 0.3, "window": 4, "temperature": 0.5, "cuts": None, "batch": 12}
    frames = colorize_video(gray, model=network, smooth="paper", **options)
    logits = predict(network, np.stack([network_input(luma, 64, network.config.multiple) for luma in gray])).numpy()
    for luma, x, frame in zip(gray, logits, frames, strict=True):
        expected = render(smoother.chroma(x).astype(np.float32), luma, borders=False).astype(int)
        assert np.abs(frame - expected).max() <= 1


def test_first_frame_of_a_scene_is_the_unsmoothed_one(network, clip):
    plain = list(colorize_video(clip, model=network, smooth=False))
    for kind in ("paper", True, "motion"):
        if kind == "motion":
            pytest.importorskip("cv2")
        smoothed = list(colorize_video(clip, model=network, smooth=kind))
        bleeding = list(colorize_video(clip, model=network, smooth=kind, cuts=None))
        for first in (0, 12):
            np.testing.assert_array_equal(smoothed[first], plain[first])
        assert (smoothed[11] != plain[11]).any()
        assert kind != "paper" or (bleeding[12] != plain[12]).any()


def test_names_of_smoothing(network, clip):
    for name, other in (("none", False), ("steady", True)):
        for a, b in zip(*(colorize_video(clip[:4], model=network, smooth=kind) for kind in (name, other)), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["uint8", "float16", "float32"])
def test_rings_agree(network, clip, kind):
    exact = list(colorize_video(clip, model=network, smooth="paper", ring="float32"))
    for a, b in zip(exact, colorize_video(clip, model=network, smooth="paper", ring=kind), strict=True):
        assert np.abs(a.astype(int) - b).max() <= {"uint8": 3, "float16": 1, "float32": 0}[kind]


def test_all_frames_in_order_whatever_the_batch(network):
    levels = 60 + np.random.default_rng(0).permutation(120)  # far from black and white, where color costs luma
    frames = (np.full((16, 16), level, np.uint8) for level in levels)
    colored = list(colorize_video(frames, model=network, batch=7))
    assert len(colored) == 120
    out = [fastcolor.files.images.gray_of(fastcolor.files.images.luma_of(rgb)) for rgb in colored]
    assert max(abs(int(np.median(gray)) - int(level)) for gray, level in zip(out, levels, strict=True)) <= 1


@pytest.mark.parametrize("count", [0, 1])
def test_few_frames(network, count):
    out = list(colorize_video([np.full((1, 3), 9, np.uint8)] * count, model=network))
    assert [rgb.shape for rgb in out] == [(1, 3, 3)] * count


def test_reads_only_so_far_ahead(network):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield np.full((16, 16), number % 256, np.uint8)

    stream = colorize_video(endless(), model=network, batch=2)
    for _ in range(10):
        next(stream)
    time.sleep(0.3)
    assert len(taken) < 10 + 30
    stream.close()
    assert not stages()


@pytest.mark.promise("Films", "large frames are not read far ahead: what waits is bounded by pixels")
def test_large_frames_wait_one_at_a_time(network, monkeypatch):
    monkeypatch.setattr(video, "_PIXELS", 16 * 16)
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield np.full((16, 16), number % 256, np.uint8)

    stream = colorize_video(endless(), model=network)
    for _ in range(10):
        next(stream)
    time.sleep(0.3)
    assert len(taken) <= 10 + 8  # one in each queue, one in each hand
    stream.close()
    assert not stages()


def test_errors_of_the_source_come_after_the_frames_before_it(network):
    def broken():
        yield from [np.zeros((16, 16), np.uint8)] * 5
        raise OSError("the tape is torn")

    seen = 0
    with pytest.raises(OSError, match="the tape is torn"):  # noqa: PT012
        for _ in colorize_video(broken(), model=network, batch=2):
            seen += 1
    assert seen == 5
    assert not stages()


def test_interrupt_in_the_consumer_ends_the_threads(network):
    closed = []

    def source():
        try:
            while True:
                yield np.zeros((16, 16), np.uint8)
        finally:
            closed.append(True)

    stream = colorize_video(source(), model=network)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        try:
            next(stream)
            raise KeyboardInterrupt
        finally:
            stream.close()
    assert closed == [True]
    assert not stages()


def test_changing_size_is_an_error(network):
    frames = [np.zeros((16, 24), np.uint8)] * 3 + [np.zeros((16, 16), np.uint8)]
    with pytest.raises(ValueError, match=r"frames: expected 24x16 pixels.*got 16x16 at frame 3"):
        list(colorize_video(frames, model=network))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1}, "alpha"),
        ({"window": -1}, "window"),
        ({"temperature": -0.1}, "temperature"),
        ({"cuts": 2.0}, "cuts"),
        ({"ring": "int4"}, "ring"),
        ({"smooth": "plain"}, "smooth: expected one of"),
        ({"batch": 0}, "batch"),
        ({"size": 1}, "size"),
    ],
)
def test_bad_options_are_refused_before_the_first_frame(network, options, message):
    with pytest.raises(ValueError, match=message):
        colorize_video([], model=network, **options)


def test_frames_must_be_frames(network):
    with pytest.raises(TypeError, match="frames: expected a path or an iterable"):
        colorize_video(3, model=network)
    with pytest.raises(TypeError, match="image: expected dtype uint8"):
        list(colorize_video([np.zeros((4, 4))], model=network))


def test_window_and_recursion_agree_over_2000_frames():
    """No drift: float32 recursion against the float64 window, within the derived bound.

    1.5 eps S / (1 - e^-α) for the sum, relative to S, and 4e-7 for the softmax and the normalisation.
    """
    bins, alpha, window = ColorBins.default(), 0.2, 20
    rng = np.random.default_rng(0)
    smoother = TemporalSmoother(bins, alpha=alpha, window=window)
    past, worst = [], []
    for frame in range(2000):
        logits = rng.normal(0, 4, (bins.n, 4, 8)).astype(np.float32)
        smoother.chroma(logits)
        past = [*past, reference.softmax(logits, axis=0)][-window - 1 :]
        if frame % 100 == 99:
            sums = reference.smooth_window(past, alpha, window)
            worst.append(np.abs(smoother.probabilities - sums / sums.sum(axis=0)).max())
    bound = 4e-7 + 1.5 * 2**-24 / (1 - math.exp(-alpha))
    assert max(worst) <= bound


@pytest.mark.parametrize("kind", ["paper", "steady", "motion"])
def test_smoothing_makes_a_noisy_network_steadier(network, kind):
    """On a still picture with grain the chroma must change less from frame to frame."""
    if kind == "motion":
        pytest.importorskip("cv2")
    nervous = copy.deepcopy(network)
    noise = torch.Generator().manual_seed(0)
    nervous.forward = lambda luma: 2 * torch.randn(len(luma), 32, 48, 64, generator=noise)
    still = next(sample_frames(64, 48, grain=0))
    rng = np.random.default_rng(0)
    film = [np.clip(still + rng.normal(0, 4, still.shape), 0, 255).astype(np.uint8) for _ in range(30)]

    def change(frames):
        array = np.stack(list(frames)[10:]).astype(float)
        chroma = array - array.mean(axis=-1, keepdims=True)
        return np.abs(np.diff(chroma, axis=0)).mean()

    plain = change(colorize_video(film, model=nervous, smooth=False))
    assert change(colorize_video(film, model=nervous, smooth=kind)) < 0.5 * plain


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (5, 5), (33, 31)])
@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
def test_chroma_of_the_smoother_is_the_reference_s(backend, shape, last):
    """Between steps as well, with pixels that are invalid in one frame, into any strides."""
    bins, rng = ColorBins.default(), np.random.default_rng(0)
    smoother = TemporalSmoother(bins, temperature=0.5, window=6, backend=backend)
    truth = reference.TemporalSmoother(bins, temperature=0.5, window=6)
    for frame in range(12):
        logits = rng.normal(0, 3, (bins.n, *shape)).astype(np.float32)
        if last:
            logits = np.moveaxis(np.ascontiguousarray(np.moveaxis(logits, 0, -1)), -1, 0)
        if frame == 4:
            logits[:, 0, 0] = np.nan
        if frame % 4 == 1:
            luma = rng.integers(0, 256, shape, dtype=np.uint8)
            assert np.abs(smoother.step(logits, luma).astype(int) - truth.step(logits, luma)).max() <= 1
            continue
        out = np.empty((2, *shape[::-1]), np.float32).transpose(0, 2, 1)
        assert smoother.chroma(logits, out=out) is out
        np.testing.assert_allclose(out, truth.chroma(logits), atol=1e-6)


def test_chroma_of_the_smoother_refuses_what_step_refuses():
    bins = ColorBins.default()
    smoother = TemporalSmoother(bins)
    smoother.chroma(np.zeros((bins.n, 2, 3), np.float32))
    with pytest.raises(ValueError, match="frames must not change their shape"):
        smoother.chroma(np.zeros((bins.n, 3, 3), np.float32))
    with pytest.raises(ValueError, match="logits: expected size"):
        smoother.chroma(np.zeros((bins.n + 1, 2, 3), np.float32))
    with pytest.raises(TypeError, match="out: expected dtype float32"):
        smoother.chroma(np.zeros((bins.n, 2, 3), np.float32), out=np.zeros((2, 2, 3)))


def test_drop_in_for_313_ab_bins():
    """Bins of another space: the smoother takes anything with colors, and chroma is their mean."""

    class AbBins:
        n, cells = 313, 1
        colors = np.random.default_rng(0).uniform(-110, 110, (313, 2)).astype(np.float32)
        table, prior = np.zeros((1, 1), np.uint8), np.full(313, 1 / 313)

        def weights(self, lam=0.5):
            return np.ones(313)

    bins = AbBins()
    smoother, truth = TemporalSmoother(bins), reference.TemporalSmoother(bins)
    for logits in np.random.default_rng(1).normal(0, 2, (25, 313, 6, 7)).astype(np.float32):
        ab, expected = smoother.chroma(logits), truth.chroma(logits)
    np.testing.assert_allclose(ab, expected, atol=2e-6 * 110)


def test_prefetch_passes_items_errors_and_closing():
    assert list(prefetch(iter(range(100)), 3)) == list(range(100))

    def fails():
        yield 1
        raise RuntimeError("broken")

    stream = prefetch(fails(), 1)
    assert next(stream) == 1
    with pytest.raises(RuntimeError, match="broken"):
        next(stream)
    chain = prefetch((x + 1 for x in prefetch(itertools.count(), 2)), 2)
    assert [next(chain) for _ in range(5)] == [1, 2, 3, 4, 5]
    chain.close()
    assert not stages()


def stages() -> list[threading.Thread]:
    """Threads of the pipeline that still run."""
    return [thread for thread in threading.enumerate() if thread.name == "fastcolor-stage"]
