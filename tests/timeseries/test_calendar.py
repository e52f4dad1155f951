"""Calendar arithmetic against pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tsattn.timeseries import calendar


def test_dates_of_a_thousand_years() -> None:
    days = np.arange(-200_000, 200_000)
    times = pd.DatetimeIndex(days.astype("datetime64[D]").astype("datetime64[s]"))
    date = calendar.civil_from_days(days)
    for found, known in zip(date, (times.year, times.month, times.day), strict=True):
        np.testing.assert_array_equal(found, known)
    np.testing.assert_array_equal(calendar.days_from_civil(date), days)
    np.testing.assert_array_equal(calendar.weekday(days), times.day_of_week)
    for phase, known, whole in (
        (calendar.month_phase, times.day - 1, times.days_in_month),
        (calendar.year_phase, times.day_of_year - 1, 365 + times.is_leap_year),
    ):
        elapsed, length = phase(days * calendar.DAY + 7)
        np.testing.assert_array_equal(elapsed, known)
        np.testing.assert_array_equal(length, whole)


def test_days_and_times_with_division_in_float32() -> None:
    class InexactIntegers(np.ndarray[Any, Any]):
        """Integers that are divided as OpenVINO does."""

        def __floordiv__(self, other: Any) -> Any:
            quotient = np.floor(np.asarray(self, np.float32) / np.float32(other))
            return quotient.astype(np.int64).view(InexactIntegers)

    days = np.arange(-8000, 24_000, 7)
    for time in (0, 1, 3600, calendar.DAY - 1):
        seconds = days * calendar.DAY + time
        known = calendar.floor_divmod(seconds, calendar.DAY)
        np.testing.assert_array_equal(known[0], days)
        assert (known[1] == time).all()
        inexact = seconds.view(InexactIntegers)
        assert time != calendar.DAY - 1 or (inexact // calendar.DAY != days).any(), "the division must be inexact"
        for found, exact in zip(calendar.floor_divmod(inexact, calendar.DAY), known, strict=True):
            np.testing.assert_array_equal(found, exact)
