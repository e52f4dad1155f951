"""Values and names as text in messages."""

from __future__ import annotations

from collections.abc import Iterable


def cell_text(cell: object, most: int = 40) -> str:
    """Return what stands in a cell, in quotes, on one line and of no more than ``most`` letters."""
    text = str(cell)
    short = text.splitlines()[0][:most] if text else ""
    return f"'{short}'" if short == text else f"'{short}' ..."


def format_timestamp(stamp: object) -> str:
    """Return a stamp as text, without the time of day where it is midnight."""
    return str(stamp).removesuffix(" 00:00:00")


def quote_list(names: Iterable[object], most: int = 12, quote: str = "'") -> str:
    """Return names in quotes, separated by commas; after ``most`` of them the number of the others."""
    every = [f"{quote}{name}{quote}" for name in names]
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest
