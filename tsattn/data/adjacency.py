"""Adjacency matrices from files, and panels whose series are the nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn._text import quote_list, quote_text
from tsattn.data.columns import find_duplicate
from tsattn.errors import DataError
from tsattn.timeseries.frames import series_names
from tsattn.timeseries.panel import WIDE_ID, Panel
from tsattn.timeseries.ragged import Floats, RaggedArray, concat_ranges


def read_adjacency(path: Path | str, nodes: Sequence[str]) -> Floats:
    """Read the adjacency matrix of a graph from a CSV file.

    The file is a weight matrix, with the source nodes of edges in its rows and the target nodes in its columns. The
    names of the nodes are in its first line and optionally in its first column; without names, the order is that of
    ``nodes``. Or the file is a list of edges, with or without a header, in the columns source, target and optionally
    weight, 1 by default. Nodes may have no edges there.

    Returns:
        float32 [nodes, nodes] in the order of ``nodes``, 0 without an edge.

    Raises:
        DataError: The file is neither, a name is unknown or repeated, a node is missing, or a weight is not a
            non-negative number.
    """
    cells = _cells(Path(path))
    names = [str(name) for name in nodes]
    if (name := find_duplicate(names)) is not None:
        raise DataError(f"{path}: expected unique names of the nodes, got '{name}' twice")
    count, header = len(names), list(cells[0])
    if cells.shape == (count, count) and not set(header) <= set(names):
        return _weights(cells, path, first_line=1)
    if cells.shape[1] in (2, 3) and cells.shape[0] != count + 1:
        return _edges(cells, names, path)
    if cells.shape[0] == cells.shape[1] and not set(header[1:]) & set(names):
        raise DataError(
            f"{path}: expected a matrix of the {count} series, got one with {len(cells)} rows and columns without names"
        )
    if set(header[1:]) & set(names) and cells.shape[1] in (count, count + 1):
        return _named_matrix(cells, names, path)
    return _edges(cells, names, path)


def _cells(path: Path) -> npt.NDArray[np.object_]:
    """Return the cells of a CSV file as text."""
    try:
        frame = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError:
        raise DataError(f"{path}: there is no such file") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: expected a matrix or a list of edges as CSV: {str(error).splitlines()[0]}") from None
    cells: npt.NDArray[np.object_] = frame.apply(lambda column: column.str.strip()).to_numpy(dtype=object)
    return cells


def _weights(cells: npt.NDArray[np.object_], path: Path | str, first_line: int) -> Floats:
    """Return cells as weights; ``first_line`` is the line of the first row."""
    flat = pd.to_numeric(pd.Series(cells.ravel()), errors="coerce").to_numpy(dtype=np.float32)
    values: Floats = flat.reshape(cells.shape)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: line {row + first_line}: expected weights of 0 or more, got {quote_text(cells[row, column])}"
        )
    return values


def _named_matrix(cells: npt.NDArray[np.object_], names: list[str], path: Path | str) -> Floats:
    """Return a matrix with names in its first line, in the order of ``names``."""
    rows = len(cells) - 1
    labelled = cells.shape[1] == rows + 1
    if not labelled and cells.shape[1] != rows:
        raise DataError(f"{path}: expected as many rows as columns, got {rows} rows below the names of the columns")
    head = list(cells[0, labelled:])
    _check_names(head, names, path, 1, complete=True)
    side = list(cells[1:, 0]) if labelled else head
    _check_names(side, names, path, None, complete=True)
    weights = _weights(cells[1:, labelled:], path, first_line=2)
    return pd.DataFrame(weights, side, head).loc[names, names].to_numpy()


def _check_names(
    found: Sequence[str], names: Sequence[str], path: Path | str, line: int | None, *, complete: bool
) -> None:
    """Raise a DataError if names are unknown or, with ``complete``, missing or repeated."""
    where = f"{path}: line {line}" if line else str(path)
    expected, present = set(names), set(found)
    unknown = [name for name in dict.fromkeys(found) if name not in expected]
    if unknown:
        raise DataError(f"{where}: expected the series {quote_list(names, 6)}, got {quote_list(unknown, 6)}")
    if not complete:
        return
    missing = [name for name in names if name not in present]
    if missing:
        raise DataError(f"{where}: expected every series, got none of {quote_list(missing, 6)}")
    if len(present) < len(found):
        raise DataError(f"{where}: expected the name of each series once, got one twice")


def _edges(cells: npt.NDArray[np.object_], names: list[str], path: Path | str) -> Floats:
    """Return the matrix of a list of edges."""
    if cells.shape[1] not in (2, 3):
        raise DataError(
            f"{path}: expected a matrix of {len(names)} rows and columns, or a list of edges in the columns source, "
            f"target and weight, got {len(cells)} lines of {cells.shape[1]} columns"
        )
    header = int(not set(cells[0, :2]) <= set(names))
    edges = cells[header:]
    _check_names([*edges[:, 0], *edges[:, 1]], names, path, None, complete=False)
    index = {name: number for number, name in enumerate(names)}
    ends = np.array([[index[name] for name in edge] for edge in edges[:, :2]], dtype=np.int64)
    twice = pd.DataFrame(ends).duplicated().to_numpy()
    if twice.any():
        row = int(np.argmax(twice))
        raise DataError(
            f"{path}: line {row + 1 + header}: expected each edge once, got the one from '{edges[row, 0]}' to "
            f"'{edges[row, 1]}' again"
        )
    matrix = np.zeros((len(names), len(names)), dtype=np.float32)
    given = cells.shape[1] == 3
    matrix[ends[:, 0], ends[:, 1]] = _weights(edges[:, 2:], path, first_line=1 + header)[:, 0] if given else 1
    return matrix


def as_nodes(panel: Panel) -> Panel:
    """Return one series whose channels are those of all series, from the first timestamp of any to the last.

    Returns:
        A panel of one series, with the targets `tsattn.timeseries.frames.series_names`; NaN where a series has no step.

    Raises:
        DataError: The panel has covariates, which belong to single series.
    """
    if panel.covariates is not None or panel.static:
        raise DataError("expected series without covariates, as nodes of a graph have none, got covariates")
    begin = int(panel.starts.min())
    steps = int((panel.starts + panel.lengths).max()) - begin
    width = len(panel.targets)
    values = np.full((steps, len(panel), width), np.nan, dtype=np.float32)
    series = np.repeat(np.arange(len(panel)), panel.lengths)
    values[concat_ranges(panel.starts - begin, panel.lengths), series] = panel.values
    return replace(
        panel,
        series=RaggedArray.from_lengths(values.reshape(steps, -1), np.array([steps])),
        ids=(WIDE_ID,),
        targets=series_names(panel),
        starts=np.array([begin], dtype=np.int64),
    )


def as_series(panel: Panel, ids: Sequence[str] | None = None, targets: Sequence[str] = ("y",)) -> Panel:
    """Undo `as_nodes`: every ``len(targets)`` channels of one series become a separate series.

    Args:
        panel: One series.
        ids: Ids of the new series; the names of the channels by default, for one target.
        targets: Names of the targets of each new series.

    Returns:
        A panel whose series begin with their first observed value and end with their last one. Series without any are
        empty.

    Raises:
        ValueError: The panel has several series, or its channels do not match targets and ids.
    """
    width = len(targets)
    if len(panel) != 1 or len(panel.targets) % width or (ids is None and width > 1):
        raise ValueError(
            f"expected one series with {width} of its {len(panel.targets)} channels per id. Received: {len(panel)} "
            f"series, ids={ids}, targets={tuple(targets)}"
        )
    names = tuple(panel.targets if ids is None else ids)
    if len(names) * width != len(panel.targets):
        raise ValueError(f"expected {len(panel.targets) // width} ids. Received: {len(names)}")
    steps = len(panel.values)
    values = panel.values.reshape(steps, len(names), width).swapaxes(0, 1)
    seen = np.asarray(np.isfinite(values).any(axis=2))
    first = np.argmax(seen, axis=1)
    last = np.where(seen.any(axis=1), steps - np.argmax(seen[:, ::-1], axis=1), first)
    step = np.arange(steps)
    inside = (step >= first[:, None]) & (step < last[:, None])
    series = RaggedArray.from_lengths(values[inside], last - first)
    starts = panel.starts[0] + first.astype(np.int64)
    return replace(panel, series=series, ids=names, targets=tuple(targets), starts=starts)
