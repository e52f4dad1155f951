"""Text of messages: values and names, the nearest known name, errors for unknown keyword arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


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


def check_keywords(
    caller: str, given: Iterable[str], known: Iterable[str], groups: Mapping[str, Iterable[str]] | None = None
) -> None:
    """Raise a TypeError for a keyword argument that a function does not have.

    Args:
        caller: The function as a user writes it.
        given: Keyword arguments of the call.
        known: Those of the function.
        groups: Options that an argument takes as a dictionary, by the name of that argument.
    """
    known = list(known)
    for name in given:
        if name in known:
            continue
        group = next((key for key, options in (groups or {}).items() if name in options), None)
        if group is not None:
            raise TypeError(f"{caller}() takes {name!r} within {group}: {group}={{{name!r}: ...}}")
        raise TypeError(
            f"{caller}() has no argument {name!r}{did_you_mean(name, known) or '; it has ' + ', '.join(known)}"
        )


def with_keyword_errors(groups: Callable[[], Mapping[str, Iterable[str]]]) -> Callable[[C], C]:
    """Return a class decorator that checks the keyword arguments of the constructor and the public methods.

    Args:
        groups: Returns the options that arguments of the constructor take as dictionaries, see `check_keywords`.
    """

    def decorate(cls: C) -> C:
        for name, member in list(vars(cls).items()):
            if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
                is_constructor = name == "__init__"
                caller = cls.__name__ if is_constructor else f"{cls.__name__}.{name}"
                setattr(cls, name, _checked(member, caller, groups if is_constructor else dict))
        return cls

    return decorate


def _checked(
    function: Callable[..., Any], caller: str, groups: Callable[[], Mapping[str, Iterable[str]]]
) -> Callable[..., Any]:
    names = list(inspect.signature(function).parameters)[1:]
    known = set(names)

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if not keywords.keys() <= known:
            check_keywords(caller, keywords, names, groups())
        return function(*arguments, **keywords)

    return call
