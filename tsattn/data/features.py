"""Columns beside the targets become features: numbers as they are, categories as an indicator for each value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsattn.data.cells import Ints, label, labels, numbers
from tsattn.data.covariates import Covariates, Static
from tsattn.data.panel import Panel
from tsattn.data.place import cell_text, row_name
from tsattn.data.schema import Schema
from tsattn.errors import DataError

Floats = npt.NDArray[np.float32]


def features(frame: pd.DataFrame, name: str, schema: Schema, source: str) -> list[Floats]:
    """Return the features of one column, [rows] each, as `Schema.features_of` names them.

    Where a cell is empty or its category unknown to the schema, all indicators are 0.

    Raises:
        DataError: a cell of a column of numbers is no finite number.
    """
    if name not in schema.categories:
        return [numbers(frame, name, source)]
    codes, texts = labels(frame[name])
    place = {text: number for number, text in enumerate(schema.categories[name])}
    known = np.append([place.get(text, -1) for text in texts], -1)[codes]
    return [(known == number).astype(np.float32) for number in range(len(place))]


def split_covariates(panel: Panel, schema: Schema) -> Panel:
    """Return a panel whose columns behind the targets are covariates with these apart.

    Where features are known ahead, a series ends with its last observed value, and they go on behind it; one without
    any has no steps, and its forecast begins with its first row.
    """
    width = len(schema.targets)
    if not schema.covariates:
        return panel
    names = [[feature for name in group for feature in schema.features_of(name)] for group in _groups(schema)]
    known = Covariates(panel.values[:, width:], panel.offsets, (*names[0], *names[1]), len(names[0]))
    values, lengths = panel.values[:, :width], panel.lengths
    if schema.future_covariates:
        step = np.arange(len(values)) - np.repeat(panel.offsets[:-1], lengths)
        seen = np.where(np.isfinite(values).any(axis=1), step + 1, 0)
        lengths = np.maximum.reduceat(seen, panel.offsets[:-1])
        values = values[step < np.repeat(lengths, panel.lengths)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return replace(panel, values=values, offsets=offsets, covariates=known)


def _groups(schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return schema.future_covariates, schema.past_covariates


def read_static(frame: pd.DataFrame, codes: Ints, schema: Schema, source: str) -> tuple[Static, ...]:
    """Return the static covariates of every series.

    Args:
        frame: its rows.
        codes: the series of every row, int64 [rows].
        schema: how it is read.
        source: what messages call the frame.

    Raises:
        DataError: a column holds two values in one series, or a cell of a column of numbers is no number.
    """
    return tuple(_static(frame, name, codes, schema, source) for name in schema.static_covariates)


def _static(frame: pd.DataFrame, name: str, codes: Ints, schema: Schema, source: str) -> Static:
    count = int(codes.max()) + 1
    if name in schema.categories:
        found, texts = labels(frame[name])
        seen = found >= 0
    else:
        values = numbers(frame, name, source)
        seen = np.isfinite(values)
        found, levels = pd.factorize(values)
    rows = np.flatnonzero(seen)
    first = np.full(count, len(frame), dtype=np.int64)
    np.minimum.at(first, codes[rows], rows)
    filled = first < len(frame)
    value = np.where(filled, found[np.minimum(first, len(frame) - 1)], -1)
    other = seen & (found != value[codes])
    if other.any():
        row = int(np.argmax(other))
        before = int(first[codes[row]])
        raise DataError(
            f"{source}: {row_name(source, frame, row)}: column '{name}': expected one value for the whole series, got "
            f"{cell_text(label(frame[name].iloc[row]))} after {cell_text(label(frame[name].iloc[before]))}: "
            "what changes is a past or future covariate"
        )
    if name in schema.categories:
        return Static(name, value, tuple(texts))
    return Static(name, np.append(levels, np.nan).astype(np.float32)[value])


def seen_categories(schema: Schema, panel: Panel, hold_out: int) -> Schema:
    """Return a schema that knows the categories alone that occur before the last ``hold_out`` steps of the series."""
    if not schema.categories:
        return schema
    panel = panel.head(hold_out).without_empty()
    categories = dict(schema.categories)
    for static in panel.static:
        if static.labels is not None:
            occurring = np.unique(static.values[static.values >= 0])
            categories[static.name] = tuple(sorted(static.labels[int(code)] for code in occurring))
    if panel.covariates is not None:
        some = np.any(panel.covariates.within(panel.lengths) > 0, axis=0).tolist()
        occurring_features = {name for name, found in zip(panel.covariates.names, some, strict=True) if found}
        for name in schema.covariates:
            if name in categories:
                pairs = zip(categories[name], schema.features_of(name), strict=True)
                categories[name] = tuple(value for value, feature in pairs if feature in occurring_features)
    return schema.model_copy(update={"categories": categories})
