"""Numbers as people write them: decimal and thousands signs, currencies, units and marks of missing values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsattn.data.columns import Bools, is_missing
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
        "TL ₺ ₽ ₴ \u0440\u0443\u0431 \u0440\u0443\u0431. лв лв. 円 元 원 "
        "W/m2 kWh/m² kWh/m2 kWh/m²a kg/m³ kg/m3 µS/cm uS/cm mS/cm NTU m³/s m3/s m³/h m3/h l/s l/min L/min l/h "
        "gpm cfs ft lbs lb "
        "kn knots rpm lx lux lm dB dBm dBA bpm Ah mAh mW µm mg/m³ µg/m3 mm/h",
    )
)
"""Units that are removed from cells."""

MIN_MARKED = 10
"""Distinct cells of a column from which on marks such as * and (p) are those of numbers."""

_SEPARATOR = re.compile(f"[.,'\u2019{_BLANK}]")
_LETTERS = frozenset("ghlmstAVW")
_FLAGS = frozenset("bcdefnprsuz")
"""Letters by which statistics offices mark values, such as p for provisional."""

_NUMBER = re.compile(
    rf"(?P<about>(?:[~\u2248]|ca\.|approx\.)[{_BLANK}]*)?(?P<open>\(?)\s*(?P<sign>[-+\u2212\u2013]?)\s*(?P<currency>{_CURRENCY})?\s*(?P<inner>[-\u2212]?)"
    rf"(?P<core>\d[\d.,'\u2019{_BLANK}]*|[.,]\d+)(?P<exponent>[eE][+-]?\d{{1,3}})?"
    rf"(?:(?P<trailing>[-+])|(?P<gap>[{_BLANK}]*)(?P<unit>[^\W\d_][^\d\s()]{{0,7}}[23]?\.?|[%\u2030°º€$£¥₺₽₴][A-Za-z]?))?"
    r"\s*(?P<close>\)?)(?P<mark>\s*(?:\*+|\([A-Za-z]\)|\[[A-Za-z]\]))?"
)


@dataclass(frozen=True)
class Number:
    """A cell that looks like a number, apart from the signs within its digits.

    Args:
        core: Digits with decimal and thousands signs.
        sign: 1 or -1.
        unit: Currency or unit; may be empty.
        scale: Power of ten as text, such as "e-3", and the factor of a suffix such as K.
        flag: Mark such as "p", "(p)" or "*" after the number, or "~" before it; may be empty.
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
        groups = _SEPARATOR.split(whole)
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


def parse_number(text: str) -> Number | None:
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
    flag = (found["mark"] or found["about"] or "").strip()
    if unit in _FLAGS - UNITS:
        unit, flag = "", flag or unit
    signs = [found[name] for name in ("sign", "inner", "trailing", "open") if found[name] and found[name] != "+"]
    if len(signs) > 1:
        return None
    return Number(core, -1 if signs else 1, found["currency"] or unit, found["exponent"] or "", factor, flag)


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
