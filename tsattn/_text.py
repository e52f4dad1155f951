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


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that a mistyped one resembles most, None if it resembles none of them."""
    from difflib import get_close_matches

    folded = {each.casefold().replace("-", "_"): each for each in names}
    found = get_close_matches(name.casefold().replace("-", "_"), folded, 1, 0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the part of a sentence on an unknown name that asks for the most similar known one, or nothing."""
    found = nearest(name, names)
    return f" (did you mean '{found}'?)" if found else ""
