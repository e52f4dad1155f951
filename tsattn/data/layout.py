"""Layout of a text file: its delimiter, its header, and the lines around the table.

Delimiters are scored by how consistently they split the lines into a rectangle of numbers, dates and words. Lines
before the header, comments, rows of units, repeated headers, totals and notes after the table are left out, and this is
reported.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tsattn._text import quote_list, quote_text
from tsattn.config import ReadOptions
from tsattn.data.cells import (
    BLANKS,
    FIXED,
    MAX_HEAD,
    Record,
    cell_kind,
    choose_delimiter,
    column_kinds,
    data_records,
    is_footer,
    is_leading_total,
    pad_periods,
    split,
    usual_width,
)
from tsattn.data.header import (
    check_measures,
    count_header_rows,
    has_no_header,
    has_numeric_names,
    header_names,
    is_header,
    is_period_header,
    is_type_row,
    join_years,
    no_header_error,
)
from tsattn.data.table import Note
from tsattn.errors import DataError

HEAD_BYTES = 1 << 17
"""Number of characters by which a file is recognized that is only a table with a header."""

MAX_HEADER = 30
"""Number of rows that may precede the data."""

MAX_YEAR_ROWS = 5
"""Number of rows in which a row of years above one of months is looked for."""

LINE_END = re.compile(r"\r\n|\r|\n")
"""End of a line of text."""

_RULE = re.compile(r"[-=_+|\s]*[-=_]{3,}[-=_+|\s]*")
_SINGLE_QUOTES = re.compile(r"(^|[,;\t|])'([^']*)'(?=$|[,;\t|])")
_R_VECTOR = r"^\s*\[ *1\](?:\s+-?[\d.]+(?:[eE][+-]?\d+)?)+\s*$"
_WHOLE_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class TextLayout:
    """Layout of a text file.

    Args:
        delimiter: Sign between cells of ``text``, or of the file.
        names: Names of the columns.
        text: The table alone, with a header in its first line; None if the file is just that.
        lines: Line of the file of each row of ``text``.
        notes: What was left out.
    """

    delimiter: str
    names: list[str]
    text: str | None = None
    lines: Sequence[int] = ()
    notes: tuple[Note, ...] = ()


def find_layout(text: str, options: ReadOptions, *, whole: bool) -> TextLayout:
    """Return the layout of a text file.

    Args:
        text: The first lines of the file, or all of them.
        options: Options of the user.
        whole: Whether the text is the whole file, so that the rows after the table are known.

    Raises:
        DataError: There is no header, two delimiters fit, or the text is no table.
    """
    _check_format(text)
    end = text.find("\n", HEAD_BYTES) + 1
    if end:
        head = LINE_END.split(text[:end])
        layout = _Finder(head, options, whole=False).find()
        if layout.text is None and not _is_changed_later(text, head, layout.delimiter, options, whole):
            return layout
    return _Finder(LINE_END.split(text), options, whole).find()


def _is_changed_later(text: str, head: list[str], delimiter: str, options: ReadOptions, whole: bool) -> bool:
    """Return whether lines after the head may be comments, headers, empty rows or a footer."""
    header = next(line for line in head if line.strip())
    if text.count(f"\n{header}") > 1 or "\n#" in text or re.search(r"^[,;\t| ]*[,;\t|][,;\t| ]*$", text, re.MULTILINE):
        return True
    if not whole:
        return False
    tail = [*head[:MAX_HEADER], *LINE_END.split(text[-HEAD_BYTES:])[1:]]
    return _Finder(tail, options.model_copy(update={"delimiter": delimiter}), whole).find().text is not None


def _check_format(text: str) -> None:
    start = text.lstrip()[:200]
    if re.match(r"<(?:!doctype|html|table|\?xml)\b", start, re.IGNORECASE):
        raise DataError(f"expected a CSV file, got HTML or XML, {quote_text(start)}", "save it as CSV")
    if (kind := re.search(r"^@(?:relation|data)\b.*", text[:5000], re.IGNORECASE | re.MULTILINE)) is not None:
        raise DataError(f"expected a CSV file, got ARFF or TSF, {quote_text(kind[0])}", "save it as CSV")
    if re.match(r"100,NEM1[23],", start):
        message = f"line 1: expected a table, got meter data of {start[4:9]}, whose lines are records of several kinds"
        raise DataError(message, "convert it to one row per interval, with a timestamp and a value")
    if (vector := re.search(_R_VECTOR, text[:5000], re.MULTILINE)) is not None:
        message = f"expected a CSV file, got a vector as R prints it, {quote_text(vector[0].strip())}"
        raise DataError(message, "save it with write.csv")
    if re.match(r"\{\s*\"|\[\s*\{", start):
        raise DataError(f"expected a CSV file, got JSON, {quote_text(start)}", "write one row per timestamp")


@dataclass
class _Finder:
    """Steps to find the layout of lines."""

    lines: list[str]
    options: ReadOptions
    whole: bool
    notes: list[Note] = field(default_factory=list)
    changed: bool = False

    def note(self, field: str, value: str, reason: str, *, is_warning: bool = False) -> None:
        self.notes.append(Note(field, value, reason, is_warning))
        self.changed = True

    def find(self) -> TextLayout:
        given = self._take_separator_note()
        self._drop_rules()
        self._unwrap_lines()
        self._convert_quotes()
        delimiter = given or self.options.delimiter or choose_delimiter(self.lines)
        records = [record for record in split(self.lines, delimiter) if not record.is_empty or len(record.cells) > 1]
        if types := [record.line for record in records[:MAX_HEADER] if is_type_row(record.cells)]:
            self.note("left out", _line_range(types), "types of the columns")
            records = [record for record in records if record.line not in types]
        records = self._take_record_rows(self._drop_comments(records))
        if delimiter == BLANKS and (padded := pad_periods(records)) is not records:
            records, self.changed = padded, True
        if all(record.is_empty for record in records):
            raise DataError("the file is empty; expected a header line and rows of data")
        width = usual_width(records)
        records, names = self._find_header(records, width)
        records = self._drop_rows(records, names, width, delimiter)
        if delimiter == BLANKS:
            self.note("delimiter", "blanks", "columns are separated by blanks")
        if delimiter == FIXED:
            self.note("delimiter", FIXED, f"columns begin at the same places in each line: {quote_list(names)}")
        if not self.changed:
            return TextLayout(delimiter, names)
        is_cut = delimiter in (BLANKS, FIXED)
        separator = "," if is_cut else delimiter
        return TextLayout(
            separator,
            names,
            _join(names, records, separator, None if is_cut else self.lines),
            [record.line for record in records],
            tuple(self.notes),
        )

    def _take_separator_note(self) -> str | None:
        """Return the delimiter of a note such as ``sep=;`` in the first line, which is removed."""
        found = re.fullmatch(r"\"?sep=(.)\"?\s*", self.lines[0], re.IGNORECASE)
        if found is None:
            return None
        self.lines = ["", *self.lines[1:]]
        self.note("left out", "line 1", f"the note '{found[0].strip()}' of a spreadsheet")
        return found[1]

    def _unwrap_lines(self) -> None:
        """Remove the quotes around whole lines."""
        filled = [line for line in self.lines if line.strip()]
        head = filled[:MAX_HEAD]
        if not head or not all(_WHOLE_QUOTED.fullmatch(line.strip()) for line in head):
            return
        inner = [line.strip()[1:-1].replace('""', '"') for line in head]
        if usual_width(split(inner, choose_delimiter(inner))) < 2:
            return
        if any(not _WHOLE_QUOTED.fullmatch(line.strip()) for line in filled):
            return
        self.lines = [line.strip()[1:-1].replace('""', '"') for line in self.lines]
        self.note("quotes", "whole lines", "each line is in quotes, which are removed")

    def _drop_rules(self) -> None:
        """Empty the lines that only underline others."""
        rules = [number for number, line in enumerate(self.lines) if _RULE.fullmatch(line)]
        if rules and len(rules) < len(self.lines) // 2:
            self.lines = ["" if _RULE.fullmatch(line) else line for line in self.lines]
            self.note("left out", _line_range([number + 1 for number in rules]), "lines of dashes")

    def _convert_quotes(self) -> None:
        """Replace single quotes around cells by double ones."""
        filled = [line for line in self.lines if line.strip()]
        head = filled[:MAX_HEAD]
        quoted = [line for line in head if _SINGLE_QUOTES.search(line)]
        if any('"' in line for line in head) or 2 * len(quoted) < len(head):
            return
        self.lines = [_SINGLE_QUOTES.sub(r'\1"\2"', line) for line in self.lines]
        self.note("quotes", "'", "cells are in single quotes, which are removed")

    def _drop_comments(self, records: list[Record]) -> list[Record]:
        """Remove comment lines; a comment of the width of the table right before its data is the header."""
        comments = [number for number, record in enumerate(records) if record.cells[0].lstrip().startswith("#")]
        if not comments or len(comments) > len(records) // 2:
            return records
        leading = next((number for number, place in enumerate(comments) if number != place), len(comments))
        rest = [record for number, record in enumerate(records) if number not in set(comments)]
        width = usual_width(rest)
        filled = [place for place in range(leading) if any(cell.strip("# ") for cell in records[place].cells)]
        if filled and len(records[filled[-1]].cells) == width and has_no_header(rest, width):
            header = records[filled[-1]]
            cells = [header.cells[0].lstrip("# "), *header.cells[1:]]
            rest, comments = [replace(header, cells=cells), *rest], [place for place in comments if place != filled[-1]]
            self.changed = True
        elif not leading and sum(len(records[number].cells) == width for number in comments) > len(comments) // 2:
            # Values, such as '#7', and no comments.
            return records
        if comments:
            where = _line_range([records[number].line for number in comments])
            self.note("left out", where, f"comments, such as {quote_text(self.lines[records[comments[0]].line - 1])}")
        return rest

    def _take_record_rows(self, records: list[Record]) -> list[Record]:
        """Return the header and the rows of a file whose first cell is the kind of each line, such as C, I and D."""
        rows = data_records(records)
        if rows is not records:
            others = [record.line for record in records if record not in rows]
            text = f"lines that do not begin with {rows[0].cells[0]} or {rows[-1].cells[0]}, which are header and data"
            self.note("left out", _line_range(others), text)
            self.changed = True
        return rows

    def _find_header(self, records: list[Record], width: int) -> tuple[list[Record], list[str]]:
        """Return the rows of data, and the names of the columns."""
        first = next(number for number, record in enumerate(records) if len(record.cells) == width)
        records = self._join_years(records, first)
        kinds = column_kinds([record.cells for record in records[first:] if len(record.cells) == width])
        start = first + count_header_rows(records[first : first + MAX_HEADER], kinds, width)
        if self.options.no_header:
            self.changed = True
            self._note_lines(records[:start])
            return records[start:], [f"column{number}" for number in range(1, width + 1)]
        if start == first:
            if has_numeric_names(records[first:], kinds):
                start = first + 1
            elif first and is_header(records[first - 1].cells, kinds, 0):
                return self._repair_header(records, first, width)
            else:
                raise no_header_error(records[first], kinds)
        rows = [record for record in records[first:start] if len(record.cells) == width]
        for number in range(len(rows) - 1, 0, -1):
            if rows[number - 1].end < rows[number].line:
                # An empty line separates notes from the header.
                rows = rows[number:]
                break
        names, used, units = header_names([record.cells for record in rows])
        if "date" not in kinds:
            check_measures(names, [record.cells for record in (rows[-1], *records[start : start + 1])], rows[-1].line)
        self._note_lines(
            [record for record in records[:start] if record not in [rows[number] for number in (*used, *units)]]
        )
        if units:
            text = quote_list([cell for cell in rows[units[0]].cells if cell.strip()], max_items=4)
            self.note("left out", f"line {rows[units[0]].line}", f"a row of units: {text}")
        if len(used) > 1:
            where = _line_range([rows[number].line for number in used])
            self.note("header", where, f"several rows of names are joined: {quote_list(names, max_items=4)}")
        return records[start:], self._unique(names)

    def _join_years(self, records: list[Record], first: int) -> list[Record]:
        """Return records with one row of timestamps for a row of years above or below one of months or quarters."""
        for place in range(first, min(first + MAX_YEAR_ROWS, len(records) - 2)):
            above, below = records[place : place + 2]
            if (cells := join_years(above.cells, below.cells)) is not None:
                text = f"years and their parts are joined: {quote_list(cells, max_items=4)}"
                self.note("header", _line_range([above.line, below.line]), text)
                return [*records[:place], Record(cells, above.line, below.end), *records[place + 2 :]]
        return records

    def _unique(self, names: list[str]) -> list[str]:
        """Return names of which those of several columns without a name differ."""
        empty = [number for number, name in enumerate(names) if not name.strip()]
        if len(empty) > 1:
            self.changed = True
            names = [" " * empty.index(number) if number in empty else name for number, name in enumerate(names)]
        return names

    def _repair_header(self, records: list[Record], first: int, width: int) -> tuple[list[Record], list[str]]:
        """Return the rows and the names where the header has another number of cells than the rows."""
        header, body = records[first - 1], records[first:]
        names = list(header.cells)
        missing = width - len(names)
        full = [record.cells for record in body if len(record.cells) == width]
        if missing > 0 and not any(cell.strip() for cells in full for cell in cells[len(names) :]):
            names += [""] * missing
        elif missing < 0 and not any(name.strip() for name in names[width:]):
            names = names[:width]
        elif (
            missing == 1
            and width > 2
            and [cells[0].strip('"') for cells in full[:3]] in (["1", "2", "3"], ["0", "1", "2"])
        ):
            names = ["", *names]
            self.note("header", f"line {header.line}", "the column of row numbers before the first name has no name")
        elif missing == 1 and is_period_header(names):
            names = ["", *names]
        else:
            raise DataError(
                f"line {body[0].line}: expected {len(names)} cells as in the header, got {width}",
                "quote text that contains the delimiter",
                "write a name for each column",
                "set {no_header} if there are no names",
            )
        self.changed = True
        self._note_lines(records[: first - 1])
        return body, self._unique(names)

    def _note_lines(self, records: list[Record]) -> None:
        """Report lines before the table."""
        if records:
            where = _line_range([record.line for record in records])
            self.note("left out", where, f"before the header: {quote_text(self.lines[records[0].line - 1])}")

    def _drop_rows(self, records: list[Record], names: list[str], width: int, delimiter: str) -> list[Record]:
        """Remove repeated headers, empty rows, and totals and notes after the table."""
        header = [name.strip() for name in names]
        repeated = [record for record in records if [cell.strip().lstrip("\ufeff") for cell in record.cells] == header]
        is_text = any(cell_kind(name) == "text" for name in names)
        if repeated and len(repeated) < (len(records) if is_text else len(records) // 2):
            self.note("left out", _line_range([record.line for record in repeated]), "the header again")
            records = [record for record in records if record not in repeated]
        empty = [record for record in records if record.is_empty]
        if empty and width > 1:
            self.note("left out", _line_range([record.line for record in empty]), "rows of empty cells")
            records = [record for record in records if not record.is_empty]
        if width == 1 and records and (gaps := records[-1].end - records[0].line - len(records)):
            self.note("left out", f"{gaps} lines", "empty lines between the values are no rows", is_warning=True)
        kinds = column_kinds([record.cells for record in records if len(record.cells) == width])
        if len(records) > 3 and is_leading_total(records, kinds):
            text = f"a total before the rows: {quote_text(self.lines[records[0].line - 1])}"
            self.note("left out", f"line {records[0].line}", text, is_warning=True)
            records = records[1:]
        if not self.whole:
            return records
        end = len(records)
        while end > 1 and end > len(records) - 50 and is_footer(records[end - 1].cells, kinds, width):
            end -= 1
        for record in records[end:]:
            inner = [line for cell in record.cells for line in cell.split("\n")[1:] if "\n" in cell]
            if any(len(row.cells) == width > 1 for row in split(inner, delimiter)):
                message = f"line {record.line}: expected the end of the quotes in the same row, got the rows after it"
                raise DataError(message, "close the quotes", "remove them")
        if end < len(records):
            where = _line_range([record.line for record in records[end:]])
            text = quote_text(self.lines[records[end].line - 1])
            self.note("left out", where, f"after the table: {text}", is_warning=True)
        return records[:end]


def _line_range(lines: Sequence[int]) -> str:
    """Return lines as text, such as "lines 1 to 3"."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    if list(lines) == list(range(lines[0], lines[-1] + 1)):
        return f"lines {lines[0]} to {lines[-1]}"
    return f"{len(lines)} lines from line {lines[0]} on"


def _join(names: list[str], records: Sequence[Record], delimiter: str, lines: Sequence[str] | None) -> str:
    """Return a table as text, of lines of the file or, without them, of cells."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    if lines is None:
        writer.writerows(record.cells for record in records)
    else:
        for record in records:
            buffer.write("\n".join(lines[record.line - 1 : record.end - 1]))
            buffer.write("\n")
    return buffer.getvalue()
