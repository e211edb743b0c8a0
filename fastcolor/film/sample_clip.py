"""A short film made in code of the bundled photographs: pans, zooms, cuts, grain and a tone; for demo and tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files.atomic import atomic_path
from .av import load_av

RATE = 24
SHOTS = 3
SHOT_SECONDS = 2.0

_TONE = 440.0  # Hz
_SAMPLES = 48_000  # a second
_CHUNK = 1024  # samples of an audio frame
# Of each shot: photograph, center and width at the start and at the end as shares of the photograph's.
_PATHS = (
    ("stream.jpg", (0.40, 0.50, 0.62), (0.58, 0.50, 0.62)),  # pan
    ("picos_de_europa.jpg", (0.50, 0.50, 0.80), (0.45, 0.45, 0.55)),  # zoom in
    ("aitzgorri.jpg", (0.60, 0.45, 0.55), (0.42, 0.52, 0.70)),  # both
)


def sample_frames(
    width: int = 256,
    height: int = 192,
    *,
    seconds: float = SHOT_SECONDS,
    shots: Sequence[int] = range(SHOTS),
    grain: float = 0.02,
    seed: int = 0,
) -> Iterator[NDArray[np.uint8]]:
    """Frames (height, width, 3) of the sample clip in color, RATE a second; a cut after every `seconds`.

    Parameters
    ----------
    width, height : int
    seconds : float
        Of each shot.
    shots : sequence of int
        Which ones, of 0..2.
    grain : float
        Standard deviation of the noise on the luma of each frame, which old film has and networks flicker with.
    seed : int

    Examples
    --------
    >>> clip = list(sample_frames(64, 48, seconds=0.5))
    >>> len(clip), clip[0].shape
    (36, (48, 64, 3))
    """
    rng = np.random.default_rng(seed)
    count = max(2, round(seconds * RATE))
    for shot in shots:
        name, first, last = _PATHS[shot]
        with as_file(files("fastcolor.data") / "samples" / name) as path, Image.open(path) as photo:
            image = photo.convert("RGB")
        for step in range(count):
            x, y, share = np.array(first) + (np.array(last) - np.array(first)) * step / (count - 1)
            yield with_grain(np.asarray(crop(image, x, y, share, width, height), np.float32), grain, rng)


def write_sample(
    path: str | os.PathLike[str],
    width: int = 256,
    height: int = 192,
    *,
    seconds: float = SHOT_SECONDS,
    grain: float = 0.02,
    codec: str = "mpeg4",
    color: bool = True,
    sound: bool = True,
) -> None:
    """The sample clip as a video file with a tone of 440 Hz, by PyAV.

    Parameters
    ----------
    path : path
        Its suffix is the format.
    codec : str
        FFmpeg's name of the encoder: "mpeg4", "libx264", "ffv1".
    color : bool
        False writes its luma.
    sound : bool
    """
    av = load_av("writing the sample clip")
    with atomic_path(path) as temporary, av.open(os.fspath(temporary), "w") as container:
        pictures = container.add_stream(codec, rate=RATE)
        pictures.width, pictures.height = width, height
        pictures.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        pictures.bit_rate = 4_000_000
        tone = container.add_stream("aac", rate=_SAMPLES, layout="mono") if sound else None
        count = 0
        for count, rgb in enumerate(sample_frames(width, height, seconds=seconds, grain=grain), 1):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            if not color:
                frame = frame.reformat(format="gray").reformat(format=pictures.pix_fmt)
            frame.pts, frame.time_base = count - 1, Fraction(1, RATE)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        if tone is not None:
            for chunk in _tone(av, count * _SAMPLES // RATE):
                container.mux(tone.encode(chunk))
            container.mux(tone.encode())


def crop(image: Image.Image, x: float, y: float, share: float, width: int, height: int) -> Image.Image:
    """A box around (x, y) of the shape of the frame, `share` of the photograph wide, held inside it."""
    wide = share * image.width
    high = min(wide * height / width, image.height)
    left = min(max(x * image.width - wide / 2, 0.0), image.width - wide)
    top = min(max(y * image.height - high / 2, 0.0), image.height - high)
    box = (left, top, left + wide, top + high)
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def with_grain(frame: NDArray[np.float32], grain: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A frame (H, W, 3) in 0..255 whose luma has noise of standard deviation `grain`, rounded to uint8."""
    noise = rng.normal(0.0, 255 * grain, frame.shape[:2]).astype(np.float32)
    return np.clip(frame + noise[..., None] + 0.5, 0, 255).astype(np.uint8)


def _tone(av: object, samples: int) -> Iterator[object]:
    wave = 0.2 * np.sin(2 * np.pi * _TONE * np.arange(samples) / _SAMPLES)
    for start in range(0, samples, _CHUNK):
        chunk = wave[start : start + _CHUNK].astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")  # type: ignore[attr-defined]
        frame.sample_rate, frame.pts = _SAMPLES, start
        yield frame
