"""Where something stands in a file or frame, in the words that its editor or owner uses."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO

import pandas as pd

ENCODING = "encoding"
"""Attribute of a frame: the encoding of its file, where it is not UTF-8."""

FILES = "files"
"""Attribute of a frame: the names of the files that it was read from, and the rows of each."""

FILE = "file"
"""Column with the name of the file that a row comes from, where there are several."""

UNIT = "unit"
"""Attribute of a frame: what one of its rows is called, where they are no lines of a file; its index counts them."""

STANDARD_INPUT = "standard input"
"""How messages name data that were piped in."""

FRAME = "the frame"
"""How messages name data that came as a DataFrame."""


@dataclass(frozen=True)
class Bytes:
    """Data that are in memory, as a file with a name.

    Args:
        data: what the file would hold.
        name: what messages call it; nothing is looked for under it.
    """

    data: bytes
    name: str

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Return the data as `Path.open` does."""
        return BytesIO(self.data)


Source = Path | Bytes
"""What can be read as a table."""


def is_parquet(path: Source) -> bool:
    """Tell whether a file is Parquet, by how it begins."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def row_name(source: str, frame: pd.DataFrame, row: int) -> str:
    """Return the name of row ``row`` (from 0): the line of a CSV file, the row of Parquet, or the label.

    Lines count as editors do: the header is line 1, and empty lines, which are no rows, count. Of several files the one
    is named. The index of a frame that was read holds its rows in the file, or in all files; see also `UNIT`.
    """
    if source == FRAME or UNIT in frame.attrs:
        return f"{frame.attrs.get(UNIT, 'row')} {frame.index[row]}"
    row = int(frame.index[row])
    for name, rows in frame.attrs.get(FILES, ()):
        if row < rows:
            return f"{name}: {_line_name(Path(name), row)}"
        row -= rows
    return _line_name(Path(source), row)


def _line_name(path: Path, row: int) -> str:
    if not path.is_file():
        return f"line {row + 2}"
    if is_parquet(path):
        return f"row {row + 1}"
    if path.suffix.lower() in (".gz", ".bz2", ".zst"):
        return f"line {row + 2}"
    return f"line {line_of(path, row)}"


def line_of(path: Source, row: int) -> int:
    """Return the line of row ``row`` (from 0) of a CSV file."""
    with path.open("rb") as file:
        filled = (number for number, line in enumerate(file, start=1) if line.strip(b"\r\n"))
        return next(islice(filled, row + 1, None), row + 2)


def name_of(source: object) -> str:
    """Return what messages call data that are a path, a pattern or a frame."""
    return str(source) if isinstance(source, (Path, str)) else FRAME
