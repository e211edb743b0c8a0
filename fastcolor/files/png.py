"""PNG files opened: what is beyond Pillow's limits against bombs, texts and profiles, does not cost the picture."""

from __future__ import annotations

from typing import Any

from PIL import ImageFile, PngImagePlugin


def _or_nothing(name: str) -> Any:
    """Pillow's reader of a chunk; what is too long is passed over."""
    read = getattr(PngImagePlugin.PngStream, name)

    def chunk(stream: _Stream, pos: int, length: int) -> bytes:
        start = stream.fp.tell()  # type: ignore[union-attr]
        try:
            data: bytes = read(stream, pos, length)
        except ValueError:
            stream.fp.seek(start)  # type: ignore[union-attr]
            return ImageFile._safe_read(stream.fp, length)  # type: ignore[arg-type]
        return data

    return chunk


class _Stream(PngImagePlugin.PngStream):
    chunk_tEXt = _or_nothing("chunk_tEXt")
    chunk_zTXt = _or_nothing("chunk_zTXt")
    chunk_iTXt = _or_nothing("chunk_iTXt")
    chunk_iCCP = _or_nothing("chunk_iCCP")


class PngFile(PngImagePlugin.PngImageFile):
    """Pillow's PNG image."""

    _png: Any = None

    @property
    def png(self) -> PngImagePlugin.PngStream | None:
        """What reads the chunks; Pillow makes it while it opens the file."""
        return self._png

    @png.setter
    def png(self, stream: PngImagePlugin.PngStream | None) -> None:
        if stream is not None:
            stream.__class__ = _Stream
        self._png = stream
