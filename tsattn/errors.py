"""The errors that tsattn raises for what a user can mend.

Each message is one sentence of what was expected, what came and how to mend it. The command line prints it as one
line and leaves with exit code 1.
"""

from __future__ import annotations


class TsattnError(ValueError):
    """Base of every error that the user of tsattn can mend."""


class DataError(TsattnError):
    """The data cannot be read as time series: names the file, the column and the row."""


class DataWarning(UserWarning):
    """Something that a forecast could have used is missing; what stands in for it is said."""


class ConfigError(TsattnError):
    """An option has an unknown name or a value that is not allowed."""


class RunError(TsattnError):
    """A run directory is missing, incomplete or in the way."""
