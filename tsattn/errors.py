"""Errors and warnings for what a user can fix.

Each message is one sentence that says what was expected and what was found. Hints say how to fix it and name the
options that decide, so that each interface can word them: the command line writes ``--on-duplicate``, Python
``on_duplicate=``, and the server leaves those hints out, because a request cannot set options. `import_extra` words
the error for a package that only an extra installs.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

_OPTION = re.compile(r"\{(\w+)\}")

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that reorder text (Unicode bidirectional controls)."""


def escape_controls(text: str) -> str:
    """Return a text in which control characters are written as escapes, such as backslash x1b.

    Names in data and paths may contain any character; raw ones could change what a terminal displays.
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def escape_controls_in_json(text: str) -> str:
    """Return a JSON document in which the control characters of strings are escapes, such as backslash u009b."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _Hinted(Exception):
    """A message with hints that may name options.

    Args:
        message: What was expected and what was found.
        *hints: Ways to fix it, each on its own. Options are placeholders: ``"aggregate the rows with {resample}"``.
    """

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message, *hints)
        self.message = message
        self.hints = hints

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options in the hints, as Python spells them."""
        return tuple(dict.fromkeys(name for hint in self.hints for name in _OPTION.findall(hint)))

    def format(self, format_option: Callable[[str], str] | None) -> str:
        """Return the message with its hints.

        Args:
            format_option: Formats the name of an option; None leaves out the hints that name any.
        """
        if format_option is None:
            ways = [hint for hint in self.hints if not _OPTION.search(hint)]
        else:
            ways = [_OPTION.sub(lambda found: format_option(found[1]), hint) for hint in self.hints]
        end = f": {', '.join(ways[:-1])}{' or ' if len(ways) > 1 else ''}{ways[-1]}" if ways else ""
        return escape_controls(self.message + end)

    def __str__(self) -> str:
        return self.format("{}=".format)


class TsattnError(_Hinted, ValueError):
    """Base class of every error that a user of tsattn can fix."""


class DataError(TsattnError):
    """The data cannot be read as time series; the message names the file, the column and the row."""


class ConfigError(TsattnError):
    """An option has an unknown name or a value that is not allowed."""


class RunError(TsattnError):
    """A run directory is missing, incomplete or cannot be overwritten."""


class DataWarning(_Hinted, UserWarning):
    """Something that a forecast could have used is missing; the message says what replaces it."""


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a module that belongs to an extra.

    Args:
        module: Name of the module.
        extra: The extra of tsattn that installs it.
        purpose: What needs it, for the error.

    Raises:
        RunError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if missing.partition(".")[0] == "tsattn":
            raise
        raise RunError(
            f"{purpose} needs the package {missing}, which is not installed", f"run pip install 'tsattn[{extra}]'"
        ) from None
