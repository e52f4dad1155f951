"""HTML from small pieces. Text is escaped wherever it comes in, so ids and reasons may hold anything."""

from __future__ import annotations

from base64 import b64encode
from html import escape

_VOID = frozenset(["img", "meta", "source"])


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def el(tag: str, *children: str, **attributes: str) -> Html:
    """Return an element; children that are not `Html` are escaped, a trailing `_` of an attribute is dropped.

    Example:
        >>> el("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: str) -> Html:
    """Return pieces one after the other, escaped where they are not `Html`."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def png_uri(picture: bytes) -> str:
    """Return a PNG as the address of itself."""
    return f"data:image/png;base64,{b64encode(picture).decode('ascii')}"


def table(head: list[Html], rows: list[Html], class_: str = "scroll") -> Html:
    """Return a table, `th` and `tr` elements given, that scrolls by itself where the page is narrow."""
    body = el("table", el("thead", el("tr", *head)), el("tbody", *rows))
    # Focusable, so that the keyboard can scroll it too.
    return el("div", body, class_=class_, tabindex="0")
