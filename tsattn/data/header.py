"""Names of columns, from one or several rows above the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from tsattn._text import quote_list
from tsattn.data.cells import DATE_NUMBER, CellKind, Record, cell_kind, column_kinds, holds_date
from tsattn.data.columns import find_duplicate, is_missing
from tsattn.data.date_text import MIN_TIMESTAMPS, YEAR_NAME, month_columns, period_of_year
from tsattn.data.numbers import UNITS, parse_number
from tsattn.errors import DataError

_PART = re.compile(r"[A-Za-z]{1,2}'?\d{1,4}")
_UNIT_ROW = re.compile(
    r"units?|einheit(?:en)?|unités?|unidad(?:es)?|[\[(].*[\])]|-|<\w+>|"
    r"deg ?[cfk]?|volts?|amps?|watts?|percent|days|hours|TS|RN|YYYY|MM|DD|HH|10\^.*",
    re.IGNORECASE,
)


def header_names(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[int], list[int]]:
    """Return the names of columns.

    Args:
        rows: Rows of text above the data, all of them as wide as the table.

    Returns:
        The names, the rows that they are from, and the rows of units.
    """
    others = [number for number, row in enumerate(rows) if not _is_dated_note(row)]
    if 0 < len(others) < len(rows):
        names, used, units = header_names([rows[number] for number in others])
        return names, [others[number] for number in used], [others[number] for number in units]
    last = len(rows) - 1
    units = [last] if last and _is_unit_row(rows[last], rows[last - 1]) else []
    last -= len(units)
    if last == 0 or (_is_complete(rows[last]) and last > 1):
        return list(rows[last]), [last], units
    used = [number for number in range(last + 1) if number == last or not _is_title(rows[number])]
    filled = [_fill(rows[number]) if number < last else rows[number] for number in used]
    names = [
        " ".join(dict.fromkeys(cell.strip() for cell in column if cell.strip())) for column in zip(*filled, strict=True)
    ]
    if rows[last][0].strip() and not any(cell.strip() for cell in rows[last][1:]):
        # The name of an index.
        names[0] = rows[last][0]
    return names, used, units


def join_years(above: Sequence[str], below: Sequence[str]) -> list[str] | None:
    """Return one row of timestamps such as 2020-01 or 2020-Q1 for a row of years and one of months or quarters.

    Only the first column of each year, or of each month, may have its name. Columns without a timestamp, such as those
    of totals, have the names of both rows.
    """
    for years, parts in ((above, below), (below, above)):
        named = [cell for cell in years if _is_year(cell)]
        if len(set(named)) < 2 and len(named) < 3:
            continue
        filled = [_fill_from(cells, pattern) for cells, pattern in ((years, _is_year), (parts, period_of_year))]
        found = [
            f"{year.strip()}-{period}" if _is_year(year) and (period := period_of_year(part)) else ""
            for year, part in zip(*filled, strict=False)
        ]
        start = next((number for number, cell in enumerate(found) if cell), len(found))
        rest = found[start:]
        is_unique = find_duplicate(filter(None, rest)) is None
        if 2 * len({cell[:4] for cell in rest}) > len(rest) and all(
            part.strip().isdigit() for part in filled[1][start:]
        ):
            # The first row of values below years.
            continue
        if len(above) == len(below) and sum(map(bool, rest)) > max(2, 0.8 * len(rest)) and is_unique:
            labels = zip(above[:start], below[:start], strict=True)
            others = [
                " ".join(filter(None, map(str.strip, pair)))
                for pair in (*labels, *zip(parts[start:], filled[0][start:], strict=True))
            ]
            return [cell or other for cell, other in zip(found, others, strict=True)]
    return None


def check_measures(names: Sequence[str], rows: Sequence[Sequence[str]], line: int) -> None:
    """Raise a DataError if most columns are several measures for each of several timestamps, such as Jan sales.

    Args:
        names: Names of the columns.
        rows: Last row of the header and first row after it, which may be the measures below years.
        line: Line of the last row of the header.
    """
    if len(rows) == 2 and len(rows[0]) == len(rows[1]):
        filled = _fill_from(rows[0], lambda cell: all(_split_period(f"{cell} x")))
        check_measures([f"{period} {measure}" for period, measure in zip(filled, rows[1], strict=True)], [], line)
    found = {name: _split_period(name) for name in names}
    pairs = [pair for pair in found.values() if all(pair)]
    periods, measures = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True)) if pairs else ([], [])
    if len(periods) < MIN_TIMESTAMPS or len(measures) < 2 or 2 * len(pairs) <= len(names):
        return
    if len(set(pairs)) < len(periods) * len(measures) or all(map(_PART.fullmatch, measures)):
        return
    first = [name for name, pair in found.items() if pair[0] == periods[0] and pair[1]]
    raise DataError(
        f"line {line}: expected one column per timestamp, got {quote_list(first, max_items=4)}",
        "write one row per timestamp, with one column for each of them",
        "keep the columns of one",
    )


def _split_period(name: str) -> tuple[str, str]:
    """Return the words of a name that are years, months, quarters or dates, and the other ones."""
    words = re.split(r"[\s_:|]+", name.strip())
    if len(words) == 1:
        return "", ""
    periods = [
        word
        for word in words
        if YEAR_NAME.fullmatch(word) or cell_kind(word) == "date" or (not word.isdigit() and period_of_year(word))
    ]
    return " ".join(periods), " ".join(word for word in words if word not in periods)


def common_prefix(names: Sequence[str]) -> str:
    """Return the words that precede a timestamp in all names, such as those of "Persons 2015M01"; else ""."""
    if len(names) < 2:
        return ""
    prefixes = (names[0][: blank.end()] for blank in re.finditer(" ", names[0]))
    prefix = max((text for text in prefixes if all(name.startswith(text) for name in names)), key=len, default="")
    rest = [name.removeprefix(prefix) for name in names]
    return prefix if all(YEAR_NAME.fullmatch(name) or cell_kind(name) == "date" for name in rest) else ""


def _is_year(cell: str) -> bool:
    stripped = cell.strip()
    return len(stripped) == 4 and re.fullmatch(r"(?:19|20)\d\d", stripped) is not None


def _fill_from(row: Sequence[str], is_name: Callable[[str], object]) -> list[str]:
    """Return a row with the cells of merged columns from the first one on that is a name."""
    start = next((number for number, cell in enumerate(row) if is_name(cell)), len(row))
    result = list(row)
    for number in range(start + 1, len(row)):
        result[number] = result[number] if result[number].strip() else result[number - 1]
    return result


def _is_dated_note(row: Sequence[str]) -> bool:
    """Return whether a row has text such as "Last update" and one date, in one or more columns."""
    dates = {cell.strip() for cell in row[1:] if cell.strip()}
    return cell_kind(row[0]) == "text" and len(dates) == 1 and cell_kind(dates.pop()) == "date"


def _is_title(row: Sequence[str]) -> bool:
    """Return whether a row of a table with more than two columns has text in its first cell only."""
    return len(row) > 2 and bool(row[0].strip()) and not any(cell.strip() for cell in row[1:])


def _is_unit_row(row: Sequence[str], above: Sequence[str]) -> bool:
    """Return whether a row has units such as °C or [kWh].

    Any text below names is a unit if the first cell, above dates, is empty.
    """
    cells = [cell.strip() for cell in row]
    found = [cell in UNITS or bool(_UNIT_ROW.fullmatch(cell)) for cell in cells[1:] if cell]
    names = [name.strip() for name, cell in zip(above, cells, strict=True) if cell]
    if found and not cells[0] and all(names) and find_duplicate(names) is None:
        return True
    return bool(found) and 2 * sum(found) >= len(found)


def _is_complete(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row]
    return all(cells) and len(set(cells)) == len(cells)


def _fill(row: Sequence[str]) -> list[str]:
    """Return a row with the cells of merged columns, of which only the first is filled."""
    result: list[str] = []
    for number, cell in enumerate(row):
        result.append(cell if cell.strip() or number < 2 else result[-1])
    return result


def is_type_row(row: Sequence[str]) -> bool:
    """Return whether a row has the types of columns such as <dbl>, as R prints tables."""
    return all(re.fullmatch(r"<(?:date|dttm|dbl|int|chr|lgl|fct|time)>", cell.strip()) for cell in row)


def is_period_header(names: Sequence[str]) -> bool:
    """Return whether names are the months or quarters of a year, and nothing else."""
    return len(names) in (4, 12) and len(month_columns(names)) == len(names)


def _unmarked(cell: str) -> str:
    """Return a year without a mark such as * or (p)."""
    return year[1] if (year := YEAR_NAME.fullmatch(cell)) else cell


def _is_numeric_header(cells: Sequence[str], kinds: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a row of whole numbers names columns of numbers, as years and the numbers of sensors do.

    Args:
        cells: First row, which has no dates in columns of dates.
        kinds: Kind of each column.
        rows: Other rows.
    """
    above = [cell.strip() for cell, kind in zip(cells, kinds, strict=True) if kind == "number"]
    names = [_unmarked(cell) for cell in above if cell and parse_number(cell)]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"\d+", name) for name in names):
        return False
    if len(names) < len([cell for cell in above if not is_missing(cell)]):
        # Text above numbers.
        return True
    steps = np.diff([int(name) for name in names])
    if len(steps) > 1 and (steps > 0).all() and all(map(DATE_NUMBER.fullmatch, names)):
        return True
    if len(steps) > 1 and (steps == -1).all() and all(map(YEAR_NAME.fullmatch, names)):
        return True
    if len(steps) > (0 if "text" in kinds else 1) and steps[0] > 0 and (steps == steps[0]).all():
        return True
    numbers = [number for number, kind in enumerate(kinds) if kind == "number"]
    spread = rows[:: max(len(rows) // 50, 1)]
    fractions = [
        any(not re.fullmatch(r"[+-]?\d*", row[number].strip()) for row in spread if number < len(row))
        for number in numbers
    ]
    return len(numbers) > 0 and float(np.mean(fractions)) > 0.9 and all(parse_number(name) for name in names)


def is_header(cells: Sequence[str], kinds: Sequence[CellKind], width: int) -> bool:
    """Return whether most cells differ in kind from the numbers and dates of their columns."""
    if width and len(cells) != width:
        return 2 * sum(cell_kind(cell) in ("number", "date") for cell in cells) < len(cells)
    pairs = [(cell_kind(cell), kind) for cell, kind in zip(cells, kinds, strict=False) if kind in ("number", "date")]
    found = [kind == expected for kind, expected in pairs if kind != "empty"]
    return bool(found) and 2 * sum(found) < len(found)


def count_header_rows(records: Sequence[Record], kinds: Sequence[CellKind], width: int) -> int:
    """Return the number of rows up to the last header row before the first row with data."""
    count = 0
    dates = [number for number, kind in enumerate(kinds) if kind == "date"]
    has_years = not dates and kinds[:1] == ["number"] and all(map(_starts_with_year, records[-3:]))
    for number, record in enumerate(records):
        if is_header(record.cells, kinds, width):
            count = number + 1
        elif _starts_with_year(record) if has_years else not dates or holds_date(record, dates):
            break
    return count


def _starts_with_year(record: Record) -> bool:
    return YEAR_NAME.fullmatch(record.cells[0].strip()) is not None


def has_numeric_names(records: Sequence[Record], kinds: Sequence[CellKind]) -> bool:
    """Return whether the first row names columns although it has numbers as they have; always for columns of text."""
    if not any(kind in ("number", "date") for kind in kinds):
        return True
    cells = records[0].cells
    above = {cell_kind(cell) for cell, kind in zip(cells, kinds, strict=True) if kind == "date"}
    if "date" in above:
        return False
    if "text" in above:
        return True
    return _is_numeric_header(cells, kinds, [record.cells for record in records[1:]])


def has_no_header(records: Sequence[Record], width: int) -> bool:
    """Return whether the first row of a width has numbers and dates as the rows after it."""
    rows = [record.cells for record in records if len(record.cells) == width]
    kinds = column_kinds(rows)
    return any(kind in ("number", "date") for kind in kinds) and not is_header(rows[0], kinds, width)


def no_header_error(record: Record, kinds: Sequence[CellKind]) -> DataError:
    """Return the error for a table whose first row is no header."""
    pairs = list(zip(record.cells, kinds, strict=True))
    alike = [number for number, (cell, kind) in enumerate(pairs) if kind != "text" and cell_kind(cell) == kind]
    got = f"the {kinds[alike[0]]} {record.cells[alike[0]].strip()} as in the lines after it" if alike else "no names"
    return DataError(
        f"line {record.line}: expected a header with column names, got {got}",
        "write a header, such as ds,y",
        "set {no_header}",
    )
