"""Bytes models: what any implementation of an operation must read and write. One formula an operation.

Divided by the measured bandwidth they give the floor that the report compares with. Look-up tables and the
per-bin colors stay in the first-level cache and count nothing; temporaries are an implementation's own fault.
"""

from __future__ import annotations

from typing import NamedTuple


class Traffic(NamedTuple):
    """Bytes that must be read, and bytes that must be written."""

    read: int
    write: int


def encode(pixels: int, label_bytes: int = 1) -> Traffic:
    """Read RGB uint8 (3); write luma float32 (4), label, weight float32 (4)."""
    return Traffic(3 * pixels, (4 + label_bytes + 4) * pixels)


def encode_soft(pixels: int, neighbors: int, label_bytes: int = 2) -> Traffic:
    """Read RGB uint8 (3); write luma and weight (4 each), and k labels and float32 shares."""
    return Traffic(3 * pixels, (8 + neighbors * (label_bytes + 4)) * pixels)


def decode(pixels: int, n: int, logit_bytes: int = 4, luma_bytes: int = 4, confidence: bool = False) -> Traffic:
    """Read n logits and luma; write RGB uint8 (3), and two float32 maps with confidence.

    >>> decode(1, 32, logit_bytes=2, confidence=True)
    Traffic(read=68, write=11)
    """
    return Traffic((n * logit_bytes + luma_bytes) * pixels, (11 if confidence else 3) * pixels)


def decode_upsampled(samples: int, n: int, pixels: int) -> Traffic:
    """Read n float32 logits a low-resolution sample, and luma float32 (4) a pixel; write RGB uint8 (3)."""
    return Traffic(4 * n * samples + 4 * pixels, 3 * pixels)


def annealed_mean(pixels: int, n: int, logit_bytes: int = 4) -> Traffic:
    """Read n logits; write two chroma values of the same type."""
    return Traffic(n * logit_bytes * pixels, 2 * logit_bytes * pixels)


def confidence(pixels: int, n: int, logit_bytes: int = 4) -> Traffic:
    """Read n logits; write two float32 maps."""
    return Traffic(n * logit_bytes * pixels, 8 * pixels)


def temporal(pixels: int, n: int, ring_bytes: int, logit_bytes: int = 4) -> Traffic:
    """Read n logits, the running sum (float32), the oldest frame of the ring, luma; write sum, new frame, RGB."""
    return Traffic((n * (logit_bytes + 4 + ring_bytes) + 4) * pixels, (n * (4 + ring_bytes) + 3) * pixels)


def histogram(pixels: int, cells: int) -> Traffic:
    """Read RGB uint8 (3); write the K x K counts (int64) once."""
    return Traffic(3 * pixels, 8 * cells * cells)


def merge(pixels: int, chroma_samples: int, luma_bytes: int = 4) -> Traffic:
    """Read luma, and two float32 chroma values a low-resolution sample; write RGB uint8 (3)."""
    return Traffic(luma_bytes * pixels + 8 * chroma_samples, 3 * pixels)


def cross_entropy(pixels: int, n: int, label_bytes: int = 1, logit_bytes: int = 4, neighbors: int = 0) -> Traffic:
    """Forward and backward at once: read n logits, label, weight (4); write n gradients of the logits' type.

    Soft targets of some `neighbors` have so many labels a pixel, and float32 shares.
    """
    target = neighbors * (label_bytes + 4) if neighbors else label_bytes
    return Traffic((logit_bytes * n + target + 4) * pixels, logit_bytes * n * pixels)
