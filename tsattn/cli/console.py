"""Consoles that print names and paths without their control characters."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from tsattn.cli.tables import wrap
from tsattn.errors import escape_controls


def print_text(terminal: Console, text: str) -> None:
    """Print sentences, on a terminal with line breaks between words, which it would break anywhere."""
    terminal.print("\n".join(wrap(text, terminal.width)) if terminal.is_terminal else text)


def console(*, stderr: bool = False) -> Console:
    """Return the console for results, or that of standard error for progress and notes."""
    terminal = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    terminal.push_render_hook(_EscapeControls())
    return terminal


class _EscapeControls(RenderHook):
    """Escapes the control characters of names and paths in what a console prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Return the same objects, rendered without raw control characters."""
        return [_Escaped(part) for part in renderables]


class _Escaped:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(escape_controls(segment.text), segment.style)
