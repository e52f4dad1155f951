"""Format values and names for messages."""

from __future__ import annotations

from collections.abc import Iterable


def quote_text(value: object, max_length: int = 40) -> str:
    """Return a value in quotes: its first line, truncated to ``max_length`` characters."""
    text = str(value)
    short = text.splitlines()[0][:max_length] if text else ""
    return f"'{short}'" if short == text else f"'{short}' ..."


def format_timestamp(timestamp: object) -> str:
    """Return a timestamp as text, without the time of day if it is midnight."""
    return str(timestamp).removesuffix(" 00:00:00")


def quote_list(names: Iterable[object], max_items: int = 12, quote: str = "'") -> str:
    """Return names in quotes, separated by commas. Only the number of those after ``max_items`` is given."""
    quoted = [f"{quote}{name}{quote}" for name in names]
    rest = f" and {len(quoted) - max_items} more" if len(quoted) > max_items else ""
    return ", ".join(quoted[:max_items]) + rest
