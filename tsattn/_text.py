"""Format values and names for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that reorder text (Unicode bidirectional controls)."""


def escape_controls(text: str) -> str:
    """Return a text in which control characters are written as escapes, such as backslash x1b.

    Names in data and paths may contain any character; raw ones could change what a terminal displays.
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


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
