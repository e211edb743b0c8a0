"""Numbers of things as they are said."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number and the noun, of which the plural has an s unless it is given.

    Examples
    --------
    >>> counted(1, "photograph"), counted(0, "batch", "batches"), counted(12_000, "photograph")
    ('1 photograph', '0 batches', '12,000 photographs')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
