"""What the pixel formats of video mean as luma: the Y plane, by its depth, range and curve, in 8 bits.

``Y = round(255 (y / 2^(d-8) - 16) / 219)`` in limited range, ``round(255 y / (2^d - 1))`` in full range, y the code of
d bits. Chroma has no say: a film whose chroma leaves neutral in every fifth frame is as bright there as elsewhere. Y is
what the file's own weights (bt601, bt709, bt2020) made it. RGB becomes luma by the weights of the package, bt601.

HDR (bt2100: PQ, HLG) becomes SDR by the EETF of BT.2390, from a display of 1000 cd/m² to one of 203 cd/m², the level of
diffuse white in BT.2408, and the inverse of BT.1886: up to 90 cd/m² everything keeps its light, highlights are
compressed into the rest.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError
from ..files.images import gray_of, luma_of
from ..reference.constants import LUMA

UNSPECIFIED = 2  # FFmpeg's number of a transfer curve that is not told

_FULL = 2  # of full range
_PQ, _HLG = 16, 18  # of transfer curves
_NO_PLANE = ("pal8", "monob", "monow", "xyz")  # formats whose first component FFmpeg counts as luma, and is none
_DEEPEST = 16
_HDR_PEAK, _SDR_PEAK = 1000.0, 203.0  # cd/m²
_GAMMA = 2.4  # of BT.1886
_SYSTEM_GAMMA = 1.2  # of HLG at 1000 cd/m²


def luma_plane(frame: Any) -> NDArray[np.uint8]:
    """Luma (H, W) of an ``av.VideoFrame``.

    Raises
    ------
    VideoError
        FFmpeg cannot unpack the pixel format.
    """
    components, name = frame.format.components, frame.format.name
    bits = max((component.bits for component in components), default=0)
    if not components or not components[0].is_luma or name.startswith(_NO_PLANE):
        return _luma_of_rgb(frame, bits)
    full = frame.color_range == _FULL or name.startswith("yuvj") or (_is_gray(name) and not frame.color_range)
    if bits <= 8:
        codes = _unpacked(frame, "gray")
        table = _tones(8, full, int(frame.color_trc)).tobytes()
        return np.frombuffer(bytearray(codes).translate(table), np.uint8).reshape(
            codes.shape
        )  # quicker than table[codes]
    depth = min(bits, _DEEPEST)
    return _tones(depth, full or bits > _DEEPEST, int(frame.color_trc))[
        _unpacked(frame, "gray16le") >> _DEEPEST - depth
    ]


def check_picture(frame: Any) -> None:
    """VideoError for Dolby Vision's own pixels, which only its metadata make a picture.

    To be called for the first frame of a film: PyAV keeps a frame that was asked for its side data until Python looks
    for garbage, and a film's frames would fill the memory before.
    """
    if frame.color_trc == UNSPECIFIED and frame.side_data.get("DOVI_METADATA") is not None:
        raise VideoError(
            "expected pixels that are a picture, got Dolby Vision without HDR10 below; convert it to bt709"
        )


def rgb_of(frame: Any) -> NDArray[np.uint8]:
    """RGB (H, W, 3) of an ``av.VideoFrame`` in SDR, to measure against; VideoError for HDR."""
    if int(frame.color_trc) in (_PQ, _HLG):
        raise VideoError("expected a film in SDR to measure against, got HDR (PQ or HLG); convert it to bt709 first")
    return _unpacked(frame, "rgb24", convert=True)


def _is_gray(name: str) -> bool:
    return name.startswith(("gray", "ya8", "ya16"))


def _luma_of_rgb(frame: Any, bits: int) -> NDArray[np.uint8]:
    if bits <= 8:
        return gray_of(luma_of(_unpacked(frame, "rgb24")))
    deep = _unpacked(frame, "rgb48le").astype(np.float32) @ np.asarray(LUMA, np.float32)
    return _tones(_DEEPEST, True, int(frame.color_trc))[(deep + np.float32(0.5)).astype(np.uint16)]


def _unpacked(frame: Any, name: str, *, convert: bool = False) -> NDArray[Any]:
    """The frame as gray or RGB by FFmpeg: the codes as they are, or converted to RGB by the frame's own tags."""
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

    tags: dict[str, Any] = {}
    if not convert:  # gray is full range for FFmpeg, of no matrix: a frame tagged like that is only unpacked
        tags = dict.fromkeys(("src_color_range", "dst_color_range"), ColorRange.JPEG)
        tags |= dict.fromkeys(("src_colorspace", "dst_colorspace"), Colorspace.DEFAULT)
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    try:
        return VideoReformatter().reformat(frame, format=name, interpolation=exact, **tags).to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        message = f"pixels of format {frame.format.name} cannot be read ({error}); convert the film first"
        raise VideoError(message) from error


@lru_cache(maxsize=16)
def _tones(bits: int, full: bool, curve: int) -> NDArray[np.uint8]:
    """uint8 of every code."""
    codes = np.arange(1 << bits, dtype=np.float64)
    signal = codes / (2**bits - 1) if full else (codes / 2 ** (bits - 8) - 16) / 219
    signal = signal.clip(0, 1)
    if curve in (_PQ, _HLG):
        signal = _sdr(_pq_light(signal) if curve == _PQ else _hlg_light(signal))
    return np.floor(255 * signal + 0.5).astype(np.uint8)


# SMPTE ST 2084 (PQ): constants, light in cd/m² of a signal in [0, 1], and back.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_TOP = 10_000.0


def _pq_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    root = signal ** (1 / _M2)
    return _PQ_TOP * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _pq_signal(light: NDArray[np.float64] | float) -> NDArray[np.float64]:
    power = (np.asarray(light, np.float64) / _PQ_TOP) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _hlg_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light on a display of 1000 cd/m², BT.2100."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return _HDR_PEAK * scene**_SYSTEM_GAMMA


def _sdr(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signal in [0, 1] of BT.1886 with its white at 203 cd/m²: BT.2390, section 5.4.1, in units of the HDR's peak."""
    top = float(_pq_signal(_HDR_PEAK))
    highest = float(_pq_signal(_SDR_PEAK)) / top
    knee = 1.5 * highest - 0.5
    e = (_pq_signal(light) / top).clip(0, 1)
    t = ((e - knee) / (1 - knee)).clip(0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * highest
    return (_pq_light(np.where(e < knee, e, spline) * top) / _SDR_PEAK).clip(0, 1) ** (1 / _GAMMA)
