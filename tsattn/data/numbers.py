"""Numbers as people write them: decimal and thousands signs, currencies, units and marks of missing values.

The decimal sign is found for a file as a whole, because a cell such as 1.196 has two readings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsattn._text import quote_text
from tsattn.data.columns import Bools, is_missing
from tsattn.errors import DataError
from tsattn.timeseries.ragged import Doubles

_BLANK = " \u00a0\u2007\u2009\u202f"
_CURRENCY = r"[$€£¥₹₽₩]|(?:US\$|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|R\$|kr|Fr\.|Rs\.?)"
_POINT_CURRENCIES = frozenset(("$", "£", "¥", "₹", "US$", "USD", "GBP", "JPY", "CNY", "INR", "AUD"))
_FACTORS = {"K": 1e3, "k": 1e3, "M": 1e6, "Mio": 1e6, "Mio.": 1e6, "Mn": 1e6, "mn": 1e6, "B": 1e9, "Bn": 1e9, "bn": 1e9}
_FACTORS |= {"Mrd": 1e9, "Mrd.": 1e9}
UNITS = frozenset(
    re.split(
        " ",
        "% \u2030 ° °C °F ºC ºF kWh MWh GWh Wh kW MW GW W kg g mg t m mm cm km s ms min h Hz kHz MHz V mV kV A mA bar "
        "mbar hPa Pa kPa ppm ppb l L ml m3 m³ m2 m² m/s km/h mph µg/m³ ug/m3 mg/l pcs Stk Stk. St. USD EUR GBP CHF € $ "
        "£ kr zł Kč Ft B kB KB MB GB TB KiB MiB GiB TiB Mbit/s kbit/s Gbit/s kbps Mbps Gbps Ki Mi Gi Ti B/s kB/s "
        "KB/s MB/s GB/s KiB/s MiB/s GiB/s req/s psi psig inHg mmHg kWp kVA kvar kVAr kVAh kvarh MVA Mvar "
        "MJ GJ kJ J kcal W/m² "
        "W/m2 kWh/m² kWh/m2 kWh/m²a kg/m³ kg/m3 µS/cm uS/cm mS/cm NTU m³/s m3/s m³/h m3/h l/s l/min L/min l/h "
        "gpm cfs ft lbs lb "
        "kn knots rpm lx lux lm dB dBm dBA bpm Ah mAh mW µm mg/m³ µg/m3 mm/h",
    )
)
"""Units that are removed from cells."""

MIN_MARKED = 10
"""Distinct cells of a column from which on marks such as * and (p) are those of numbers."""

_LETTERS = frozenset("ghlmstAVW")
_FLAGS = frozenset("bcdefnprsuz")
"""Letters by which statistics offices mark values, such as p for provisional."""

_NUMBER = re.compile(
    rf"(?P<open>\(?)\s*(?P<sign>[-+\u2212\u2013]?)\s*(?P<currency>{_CURRENCY})?\s*(?P<inner>[-\u2212]?)"
    rf"(?P<core>\d[\d.,'\u2019{_BLANK}]*|[.,]\d+)(?P<exponent>[eE][+-]?\d{{1,3}})?"
    rf"(?:(?P<trailing>[-+])|(?P<gap>[{_BLANK}]*)(?P<unit>[^\W\d_][^\d\s()]{{0,7}}[23]?\.?|[%\u2030°º€$£¥][A-Za-z]?))?"
    r"\s*(?P<close>\)?)(?P<mark>\s*(?:\*+|\([A-Za-z]\)|\[[A-Za-z]\]))?"
)
_PADDED = re.compile(r"\s*[-+]?0\d")
_USUAL = re.compile(r"\s*[+-]?0*(\d+)(?:(\.)\d{1,2})?\s*")


@dataclass(frozen=True)
class _Number:
    """A cell that looks like a number, apart from the signs within its digits.

    Args:
        core: Digits with decimal and thousands signs.
        sign: 1 or -1.
        unit: Currency or unit; may be empty.
        scale: Power of ten as text, such as "e-3", and the factor of a suffix such as K.
        flag: Mark such as "p", "(p)" or "*" after the number; may be empty.
    """

    core: str
    sign: int
    unit: str
    exponent: str
    factor: float
    flag: str = ""

    def value(self, decimal: str) -> float | None:
        """Return the number by a decimal sign, or None if its digits are not grouped in that way."""
        whole, point, fraction = self.core.partition(decimal)
        if fraction.strip("0123456789"):
            return None
        groups = re.split(f"[.,'\u2019{_BLANK}]", whole)
        if len(groups) > 1:
            signs = set(re.sub(r"\d", "", whole))
            inner = all(len(group) in (2, 3) for group in groups[1:-1])
            if len(signs) > 1 or not inner or len(groups[-1]) != 3 or not 1 <= len(groups[0]) <= 3:
                return None
            if groups[0].startswith("0"):
                return None
        return (
            self.sign * self.factor * float(f"{''.join(groups) or '0'}{'.' if point else ''}{fraction}{self.exponent}")
        )

    @cached_property
    def evidence(self) -> str:
        """The decimal sign that the digits imply, a sign followed by "?" if it may be either, or an empty string."""
        fits = [sign for sign in ".," if self.value(sign) is not None]
        found = {char for char in self.core if char in ".,"}
        if not found or not fits:
            return ""
        if len(fits) == 1:
            return fits[0]
        sign = found.pop()
        # Numbers with an exponent have no thousands signs.
        return sign if self.exponent else f"{sign}?"

    @property
    def is_amount(self) -> bool:
        """Whether it has a currency."""
        return bool(self.unit and re.fullmatch(_CURRENCY, self.unit))

    @property
    def is_grouped_amount(self) -> bool:
        """Whether it is an amount such as $1,196, in a currency of countries with decimal points."""
        return self.evidence == ",?" and self.unit in _POINT_CURRENCIES


def parse_number(text: str) -> _Number | None:
    """Return a cell as a number, or None if it does not look like one."""
    text = text.strip()
    if text.startswith('="') and text.endswith('"'):
        # A formula, so that spreadsheets do not change the number.
        text = text[2:-1]
    found = _NUMBER.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    unit, factor = found["unit"] or "", 1.0
    core = found["core"].rstrip(_BLANK)
    if unit in _FACTORS and not (found["gap"] or found["core"] != core):
        unit, factor = "", _FACTORS[unit]
    spaced = bool(found["gap"]) or found["core"] != core
    if unit and unit not in UNITS and not (spaced and unit in _FLAGS):
        return None
    if unit in _LETTERS and not spaced:
        return None
    flag = (found["mark"] or "").strip()
    if unit in _FLAGS - UNITS:
        unit, flag = "", flag or unit
    signs = [found[name] for name in ("sign", "inner", "trailing", "open") if found[name] and found[name] != "+"]
    if len(signs) > 1:
        return None
    return _Number(core, -1 if signs else 1, found["currency"] or unit, found["exponent"] or "", factor, flag)


Point = Literal["usual", "likely", "in doubt"]
"""Whether a point is a decimal sign if no number shows it: surely, as between commas, likely with a warning, or not."""


@dataclass
class _Evidence:
    """How often the cells of a column imply each decimal sign.

    Args:
        example: First cell that has two readings.
        ends_in_zero: Whether one of these ends in 0 or is an amount of money.
        grouped_amounts: How many of these are amounts such as $1,196.
        short: Whether one of these has one digit before its sign.
        small: Whether there are whole numbers below 1000 without any sign.
        four: Whether there are whole numbers of four digits without any sign, which some languages do not group.
        large: Whether there are larger ones, or numbers with another thousands sign.
    """

    counts: Counter[str] = field(default_factory=Counter)
    example: str = ""
    ends_in_zero: bool = False
    grouped_amounts: int = 0
    short: bool = False
    small: bool = False
    four: bool = False
    large: bool = False

    @classmethod
    def joined(cls, parts: Iterable[_Evidence]) -> _Evidence:
        """Return the evidence of several columns together."""
        result = cls()
        for part in parts:
            result.counts += part.counts
            for flag in ("ends_in_zero", "short", "small", "four", "large"):
                setattr(result, flag, getattr(result, flag) or getattr(part, flag))
            result.grouped_amounts += part.grouped_amounts
        return result

    def add(self, cell: str, number: _Number) -> None:
        """Count a number."""
        if number.evidence:
            self.counts[number.evidence] += 1
            if number.evidence.endswith("?"):
                self.example = self.example or cell.strip()
                self.ends_in_zero |= number.core.endswith("0") or number.is_amount
                self.grouped_amounts += number.is_grouped_amount
                self.short |= len(re.split("[.,]", number.core)[0]) == 1
        elif number.core.isdigit():
            self.add_whole(len(number.core.lstrip("0")))
        else:
            self.large = True

    def add_whole(self, digits: int) -> None:
        """Count a whole number."""
        self.small |= digits < 4
        self.four |= digits == 4
        self.large |= digits > 4

    def decide(self, point: Point) -> str:
        """Return the decimal sign of a column, "" if it is irrelevant, or "?" if there are two readings."""
        definite = {sign: self.counts[sign] for sign in ".," if self.counts[sign]}
        if definite:
            return max(definite, key=lambda sign: definite[sign])
        signs = [sign for sign in ".," if self.counts[f"{sign}?"]]
        if len(signs) != 1:
            return "?" if signs else ""
        sign = signs[0]
        is_surely_point = point == "usual" and sign == "."
        if self.large or (self.four and (self.short or is_surely_point)):
            return sign
        if point == "usual" and self.grouped_amounts == self.counts[",?"] > 0:
            return "."
        if self.four:
            return "?"
        is_usual = point != "in doubt" and sign == "."
        if self.small:
            # Decimals without zeros at their end, or thousands, of which some end in 0.
            is_grouped = self.ends_in_zero and not is_surely_point
            return {".": ",", ",": "."}[sign] if is_grouped else "?"
        return sign if is_usual else "?"


def _collect(cells: Sequence[str]) -> _Evidence | None:
    """Return the evidence of a column, or None if most of its cells are no numbers."""
    evidence, numbers, others = _Evidence(), 0, 0
    for cell in cells:
        if plain := _USUAL.fullmatch(cell):
            numbers += 1
            if plain[2]:
                evidence.counts["."] += 1
            else:
                evidence.add_whole(len(plain[1]))
            continue
        if is_missing(cell):
            continue
        number = parse_number(cell)
        if number is None or number.value(".") is number.value(",") is None:
            others += 1
            if others > 50 and not numbers:
                return None
            continue
        numbers += 1
        evidence.add(cell, number)
    return evidence if numbers > others else None


@dataclass(frozen=True)
class FoundDecimal:
    """Decimal sign of a file.

    Args:
        sign: The sign; empty if no number has one.
        column: Column of `doubt`.
        doubt: Cell that has another reading, where a point is only likely to be the decimal sign; else empty.
    """

    sign: str
    column: str = ""
    doubt: str = ""


def find_decimal(columns: Mapping[str, Sequence[str]], place: Callable[[str], str], point: Point) -> FoundDecimal:
    """Return the decimal sign of a file.

    A sign that occurs in one way only decides. Otherwise a column of cells such as 1.196 decides if it has larger
    numbers without a sign, or, with numbers below 1000, cells that end in 0.

    Args:
        columns: Distinct cells of each column.
        place: Returns the place of a cell, such as "line 3", for messages.
        point: Whether a point is a decimal sign if there is no other evidence.

    Raises:
        DataError: Two readings fit, or columns differ.
    """
    own = {name: evidence for name, cells in columns.items() if (evidence := _collect(cells)) is not None}
    for name, evidence in own.items():
        if evidence.counts["."] and evidence.counts[","]:
            raise _two_signs(columns, (name, name), place)
    found = own
    if len(columns) > max(map(len, columns.values()), default=0):
        # Wider than long: the rows are series.
        found = dict.fromkeys(own, _Evidence.joined(own.values()))
    signs = {name: evidence.decide(point) for name, evidence in found.items()}
    definite = {name: sign for name, sign in signs.items() if found[name].counts["."] or found[name].counts[","]}
    decided = definite or {name: sign for name, sign in signs.items() if sign not in ("", "?")}
    if len(set(decided.values())) > 1:
        names = [next(name for name, sign in decided.items() if sign == wanted) for wanted in ".,"]
        raise _two_signs(columns, names, place)
    if definite:
        sign = next(iter(definite.values()))
        if sign == "," and point == "usual":
            _check_padded(columns, place, definite)
        return FoundDecimal(sign)
    for name, sign in signs.items():
        if sign == "?" and (example := own[name].example):
            raise DataError(f"{place(example)}: {_describe_doubt(name, example)}", "set {decimal} to . or ,")
    for name, sign in decided.items():
        if sign == "." and point == "likely" and own[name].example and found[name].decide("in doubt") == "?":
            return FoundDecimal(sign, name, own[name].example)
    return FoundDecimal(next(iter(decided.values()), ""))


def _two_signs(columns: Mapping[str, Sequence[str]], names: Sequence[str], place: Callable[[str], str]) -> DataError:
    """Return the error for a column with decimal points and one with decimal commas."""
    first, second = (_example(columns[name], sign) for name, sign in zip(names, ".,", strict=True))
    return DataError(
        f"expected one decimal sign, got {quote_text(first)} ({place(first)}, column '{names[0]}') and "
        f"{quote_text(second)} ({place(second)}, column '{names[1]}')",
        "set {decimal} to one of them",
    )


def _check_padded(columns: Mapping[str, Sequence[str]], place: Callable[[str], str], names: Iterable[str]) -> None:
    """Raise a DataError if all decimal commas of a file with commas between cells follow digits such as 0150."""
    cells = [(name, cell) for name in names for cell in columns[name] if _is_decimal(cell, ",")]
    if not all(_PADDED.match(cell) for _, cell in cells):
        return
    name, cell = cells[0]
    raise DataError(
        f"{place(cell)}: column '{name}': expected numbers with one reading, got {quote_text(cell)}, which may be a "
        "number with a decimal comma, or two values such as a number and a flag",
        "set {decimal} to ,",
        "write the values into separate columns",
    )


def _is_decimal(cell: str, sign: str) -> bool:
    """Return whether a cell can only have one decimal sign."""
    number = parse_number(cell)
    return number is not None and number.evidence == sign


def _example(cells: Sequence[str], sign: str) -> str:
    """Return a cell that implies a decimal sign."""
    return next((cell for cell in cells if _is_decimal(cell, sign)), cells[0])


def _describe_doubt(name: str, example: str) -> str:
    number = parse_number(example)
    assert number is not None
    sign = next(sign for sign in ".," if sign in number.core)
    other = "," if sign == "." else "."
    return (
        f"column '{name}': expected numbers with one reading, got {quote_text(example)}, which is "
        f"{number.value(sign):g} with the decimal sign '{sign}' and {number.value(other):.15g} with '{other}'"
    )


@dataclass(frozen=True)
class ParsedTexts:
    """Numbers of distinct cells.

    Args:
        values: Numbers, float64 [cells], NaN where missing or invalid.
        missing: Which cells are missing values.
        invalid: Which cells are neither.
        plain: Which cells are only digits, with a minus and the decimal sign.
        unit: Unit that was removed; may be empty.
        scaled: Whether suffixes such as K were replaced.
        grouped: Whether thousands signs were removed.
        flags: Mark such as "p" that was removed from a cell, by the index of the cell.
    """

    values: Doubles
    missing: Bools
    invalid: Bools
    plain: Bools
    unit: str
    scaled: bool
    grouped: bool
    flags: Mapping[int, str]


def parse_texts(cells: Sequence[str], decimal: str, marks: Iterable[str] = ()) -> ParsedTexts:
    """Return distinct cells as numbers by a decimal sign.

    Cells with another unit than most are invalid.

    Args:
        cells: Text.
        decimal: Decimal sign.
        marks: Further marks of missing values.
    """
    known = frozenset(marks)
    values, plain, in_groups = _parse_digits(cells, decimal)
    usual = (plain | in_groups) & [cell not in known for cell in cells]
    rows = np.flatnonzero(~usual).tolist()
    others = {row: None if cells[row] in known else parse_number(cells[row]) for row in rows}
    units = Counter(number.unit for number in others.values() if number is not None and number.core != "0")
    units[""] += int((usual & (values != 0)).sum())
    unit = max(units, key=lambda name: units[name])
    values[~usual if not unit else ~(usual & (values == 0))] = np.nan
    missing = np.zeros(len(cells), dtype=bool)
    scaled, grouped, flags = False, not unit and bool(in_groups.any()), dict[int, str]()
    for row, number in others.items():
        if number is None:
            missing[row] = is_missing(cells[row], known)
        elif number.unit == unit or number.core == "0":
            value = number.value(decimal)
            if value is not None:
                values[row] = value
                scaled |= number.factor != 1
                grouped |= bool(number.core.partition(decimal)[0].strip("0123456789"))
                if number.flag:
                    flags[row] = number.flag
    marked = [row for row, flag in flags.items() if not flag.isalpha()]
    if marked and (len(cells) < MIN_MARKED or (len(set(flags.values())) > 1 and 2 * len(marked) > len(cells))):
        # Names such as 1* and 1 (a).
        values[marked] = np.nan
        flags = {row: flag for row, flag in flags.items() if flag.isalpha()}
    return ParsedTexts(values, missing, np.isnan(values) & ~missing, plain, unit, scaled, grouped, flags)


def _parse_digits(cells: Sequence[str], decimal: str) -> tuple[Doubles, Bools, Bools]:
    """Return the numbers among cells, NaN for others, which are only digits, and which have thousands signs as well.

    Arrow does that for many cells at once.
    """
    texts = pa.array(cells, pa.string())
    sign, fraction = r"^[+-]?", rf"(?:\{decimal}\d+)?$"
    separators = [char for char in f".,'\u2019{_BLANK}" if char != decimal]
    groups = "|".join(rf"(?:{re.escape(char)}\d\d\d)+" for char in separators)
    plain = pc.match_substring_regex(texts, rf"{sign}\d+{fraction}")
    grouped = pc.match_substring_regex(texts, rf"{sign}[1-9]\d?\d?(?:{groups}){fraction}")
    digits = pc.replace_substring_regex(texts, f"[+{''.join(map(re.escape, separators))}]", "")
    digits = pc.replace_substring(digits, decimal, ".")
    digits = pc.if_else(pc.or_(plain, grouped), digits, pa.scalar(None, pa.string()))
    values = np.array(pc.cast(digits, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    is_plain, is_grouped = (np.array(mask.to_numpy(zero_copy_only=False), dtype=np.bool_) for mask in (plain, grouped))
    return values, is_plain, is_grouped
