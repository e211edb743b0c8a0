"""What containers hold, and what FFmpeg's errors mean."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import VideoError
from .av import opened

# What FFmpeg says with numbers of the system although the system has no part in it.
_NOT_THE_SYSTEM = {errno.EINVAL, errno.EPERM, errno.ERANGE, errno.EDOM, errno.ENOSYS}

_SOON = 1000  # packets
_NO_NAME = "NONE"  # of a channel, in FFmpeg
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # usual ones, of AAC too


@contextmanager
def naming_film(av: Any, target: Path) -> Iterator[None]:
    """FFmpeg's errors with the name of the film: OSError if it is the system's, such as a full disk."""
    try:
        yield
    except av.FFmpegError as error:
        if is_systems(error):
            raise OSError(error.errno, error.strerror, os.fspath(target)) from error
        raise VideoError(f"{target}: cannot be written ({error.strerror})") from error


def is_systems(error: Any) -> bool:
    """Whether an error of FFmpeg is one of the operating system: a full disk, a missing right."""
    return error.errno in errno.errorcode and error.errno not in _NOT_THE_SYSTEM


def first_packets(path: Path) -> dict[int, Any]:
    """Number of a track -> its first packet, of tracks whose sound, pictures or subtitles begin soon."""
    packets: dict[int, Any] = {}
    with opened(path) as source:
        missing = {stream.index for stream in source.streams if stream.codec_context is not None}
        with suppress(Exception):  # damaged: what is there is there
            for packet in islice(source.demux(), _SOON):
                if packet.size:
                    packets.setdefault(packet.stream.index, packet)
                    missing.discard(packet.stream.index)
                if not missing:
                    break
    return packets


def track_like(output: Any, track: Any) -> Any:
    """A new track for the packets of another one; channels that have no names get those that are usual.

    WAV, AVI and Matroska know only how many channels PCM has, and MP4 takes none that it cannot name.
    """
    stream = output.add_stream_from_template(track, opaque=True)
    if track.type == "audio":
        layout = track.codec_context.layout
        if layout.nb_channels in LAYOUTS and layout.channels[0].name == _NO_NAME:
            stream.codec_context.layout = LAYOUTS[layout.nb_channels]
    return stream


def holds(av: Any, container: str, track: Any, sample: Any) -> bool:
    """Whether a container, by FFmpeg's name, takes a track as it is: tried in memory with a packet of it or None."""
    trial = None
    try:
        trial = av.open(io.BytesIO(), "w", format=container)
        stream = track_like(trial, track)
        trial.start_encoding()
        if sample is not None:
            sample.stream, sample.pts, sample.dts = stream, 0, 0
            trial.mux(sample)
        trial.close()
    except (ValueError, av.FFmpegError):
        return False
    return True
