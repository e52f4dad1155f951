"""Numbers as people write them: decimal and thousands signs, currencies, units and marks of missing values.

The decimal sign is found for a file as a whole, because a cell such as 1.196 has two readings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tsattn._text import quote_text
from tsattn.data.columns import Bools
from tsattn.errors import DataError
from tsattn.timeseries.ragged import Floats

MISSING_MARKS = frozenset(
    re.split(
        " ",
        "- -- --- \u2013 \u2014 . .. ... : * ? / n/a n.a. n.a na nan null none nil nd n.d. n.d k.a. k.a s.d. (null) "
        "\\n <na> #n/a #na #null! #div/0! #value! #ref! #name? #num! unavailable unknown missing",
    )
)
"""Text, in lower case, that marks a missing number."""

_BLANK = " \u00a0\u2007\u2009\u202f"
_CURRENCY = r"[$€£¥₹₽₩]|(?:US\$|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|R\$|kr|Fr\.|Rs\.?)"
_FACTORS = {"K": 1e3, "k": 1e3, "M": 1e6, "Mio": 1e6, "Mio.": 1e6, "Mn": 1e6, "mn": 1e6, "B": 1e9, "Bn": 1e9, "bn": 1e9}
_FACTORS |= {"Mrd": 1e9, "Mrd.": 1e9}
UNITS = frozenset(
    re.split(
        " ",
        "% \u2030 ° °C °F ºC ºF kWh MWh GWh Wh kW MW GW W kg g mg t m mm cm km s ms min h Hz kHz MHz V mV kV A mA bar "
        "mbar hPa Pa kPa ppm ppb l L ml m3 m³ m2 m² m/s km/h mph µg/m³ ug/m3 mg/l pcs Stk Stk. St. USD EUR GBP CHF € $ "
        "£ kr zł Kč Ft",
    )
)
"""Units that are removed from cells."""

_LETTERS = frozenset("ghlmstAVW")
_FLAGS = frozenset("bcdefnprsuz")
"""Letters by which statistics offices mark values, such as p for provisional."""

_NUMBER = re.compile(
    rf"(?P<open>\(?)\s*(?P<sign>[-+\u2212\u2013]?)\s*(?P<currency>{_CURRENCY})?\s*(?P<inner>[-\u2212]?)"
    rf"(?P<core>\d[\d.,'\u2019{_BLANK}]*|[.,]\d+)(?P<exponent>[eE][+-]?\d{{1,3}})?"
    rf"(?:(?P<trailing>-)|(?P<gap>[{_BLANK}]*)(?P<unit>[^\W\d_][^\d\s()]{{0,7}}[23]?\.?|[%\u2030°º€$£¥][A-Za-z]?))?"
    r"\s*(?P<close>\)?)"
)
_USUAL = re.compile(r"\s*[+-]?\d+(?:(\.)\d{1,2})?\s*")


@dataclass(frozen=True)
class _Number:
    """A cell that looks like a number, apart from the signs within its digits.

    Args:
        core: Digits with decimal and thousands signs.
        sign: 1 or -1.
        unit: Currency or unit; may be empty.
        scale: Power of ten as text, such as "e-3", and the factor of a suffix such as K.
    """

    core: str
    sign: int
    unit: str
    exponent: str
    factor: float

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
        if self.unit and re.fullmatch(_CURRENCY, self.unit):
            # Amounts have no three decimals.
            return "." if sign == "," else ","
        return f"{sign}?"


def parse_number(text: str) -> _Number | None:
    """Return a cell as a number, or None if it does not look like one."""
    found = _NUMBER.fullmatch(text.strip())
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
    if unit in _FLAGS - UNITS:
        unit = ""
    signs = [found[name] for name in ("sign", "inner", "trailing", "open") if found[name] and found[name] != "+"]
    if len(signs) > 1:
        return None
    return _Number(core, -1 if signs else 1, found["currency"] or unit, found["exponent"] or "", factor)


def is_missing(text: str, marks: Iterable[str] = ()) -> bool:
    """Return whether a cell is empty or marks a missing value."""
    stripped = text.strip()
    return not stripped or stripped.lower() in MISSING_MARKS or stripped in marks


@dataclass
class _Evidence:
    """How often the cells of a column imply each decimal sign.

    Args:
        example: First cell that has two readings.
        ends_in_zero: Whether one of these ends in 0.
        small: Whether there are whole numbers below 1000 without any sign.
        large: Whether there are larger ones.
    """

    counts: Counter[str] = field(default_factory=Counter)
    example: str = ""
    ends_in_zero: bool = False
    small: bool = False
    large: bool = False

    def decide(self, delimiter: str, has_local_dates: bool) -> str:
        """Return the decimal sign of a column, "" if it is irrelevant, or "?" if there are two readings."""
        definite = {sign: self.counts[sign] for sign in ".," if self.counts[sign]}
        if definite:
            return max(definite, key=lambda sign: definite[sign])
        sign = next((sign for sign in ".," if self.counts[f"{sign}?"]), "")
        if not sign:
            return ""
        other = "," if sign == "." else "."
        if self.large or (self.counts[".?"] and self.counts[",?"]):
            return sign if self.large else "?"
        if self.small:
            # Decimals without zeros at their end, or thousands, of which some end in 0.
            return other if self.ends_in_zero else "?"
        if sign == ".":
            return "?" if has_local_dates and delimiter != "," else sign
        return sign if delimiter == ";" else "?"


def _collect(cells: Sequence[str]) -> _Evidence | None:
    """Return the evidence of a column, or None if most of its cells are no numbers."""
    evidence, numbers, others = _Evidence(), 0, 0
    for cell in cells:
        if plain := _USUAL.fullmatch(cell):
            numbers += 1
            if plain[1]:
                evidence.counts["."] += 1
            else:
                size = abs(float(cell))
                evidence.small |= size < 1000
                evidence.large |= size >= 1000
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
        if not number.evidence:
            continue
        evidence.counts[number.evidence] += 1
        if number.evidence.endswith("?"):
            evidence.example = evidence.example or cell.strip()
            evidence.ends_in_zero |= number.core.endswith("0")
    return evidence if numbers > others else None


_LOCAL_DATE = re.compile(r"\d{1,2}\.\d{1,2}\.(\d{4}|\d\d)\b.*")


def find_decimal(columns: Mapping[str, Sequence[str]], delimiter: str, place: Callable[[str], str]) -> str:
    """Return the decimal sign of a file.

    A sign that occurs in one way only decides. Otherwise a column of cells such as 1.196 decides if it has larger
    numbers without a sign, or, with numbers below 1000, cells that end in 0.

    Args:
        columns: Distinct cells of each column.
        delimiter: Sign between cells.
        place: Returns the place of a cell, such as "line 3", for messages.

    Raises:
        DataError: Two readings fit, or columns differ.
    """
    local = any(cells and all(map(_LOCAL_DATE.fullmatch, cells)) for cells in columns.values())
    found = {name: evidence for name, cells in columns.items() if (evidence := _collect(cells)) is not None}
    signs = {name: evidence.decide(delimiter, local) for name, evidence in found.items()}
    definite = {name: sign for name, sign in signs.items() if found[name].counts["."] or found[name].counts[","]}
    decided = definite or {name: sign for name, sign in signs.items() if sign not in ("", "?")}
    if len(set(decided.values())) > 1:
        names = [next(name for name, sign in decided.items() if sign == wanted) for wanted in ".,"]
        point, comma = (_example(columns[name], sign) for name, sign in zip(names, ".,", strict=True))
        raise DataError(
            f"expected one decimal sign, got {quote_text(point)} ({place(point)}, column '{names[0]}') and "
            f"{quote_text(comma)} ({place(comma)}, column '{names[1]}')",
            "set {decimal} to one of them",
        )
    if decided and (definite or "?" not in signs.values()):
        return next(iter(decided.values()))
    for name, sign in signs.items():
        if sign == "?":
            example = found[name].example
            raise DataError(f"{place(example)}: {_describe_doubt(name, example)}", "set {decimal} to . or ,")
    return "."


def _example(cells: Sequence[str], sign: str) -> str:
    """Return a cell that implies a decimal sign."""
    return next((cell for cell in cells if (number := parse_number(cell)) and number.evidence == sign), cells[0])


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
        unit: Unit that was removed; may be empty.
        scaled: Whether suffixes such as K were replaced.
        grouped: Whether thousands signs were removed.
    """

    values: Floats
    missing: Bools
    invalid: Bools
    unit: str
    scaled: bool
    grouped: bool


def parse_texts(cells: Sequence[str], decimal: str, marks: Iterable[str] = ()) -> ParsedTexts:
    """Return distinct cells as numbers by a decimal sign.

    Cells with another unit than most are invalid.

    Args:
        cells: Text.
        decimal: Decimal sign.
        marks: Further marks of missing values.
    """
    known = frozenset(marks)
    numbers = [None if cell in known else parse_number(cell) for cell in cells]
    units = Counter(number.unit for number in numbers if number is not None and number.core != "0")
    unit = units.most_common(1)[0][0] if units else ""
    values = np.full(len(cells), np.nan)
    missing = np.array(
        [number is None and is_missing(cell, known) for cell, number in zip(cells, numbers, strict=True)]
    )
    scaled = grouped = False
    for row, number in enumerate(numbers):
        if number is None or (number.unit != unit and number.core != "0"):
            continue
        value = number.value(decimal)
        if value is not None:
            values[row] = value
            scaled |= number.factor != 1
            grouped |= bool(number.core.partition(decimal)[0].strip("0123456789"))
    return ParsedTexts(values, missing, np.isnan(values) & ~missing, unit, scaled, grouped)
