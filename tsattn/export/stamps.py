"""Features of the calendar inside a TensorFlow graph, which is told one stamp of each history."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsattn.data import clock
from tsattn.data.calendar import CYCLES, calendar_features, holiday_days, holidays_of
from tsattn.data.clock import DAY
from tsattn.data.schema import Schema

Tensor = Any

HOLIDAYS = (1950, 2100)
"""First and last year whose holidays a graph holds."""

FIRST_DAY = clock.days_of(clock.Date(HOLIDAYS[0], 1, 1))
"""First day of them, in days since 1970."""


class StampFeatures:
    """What the calendar says of the steps around the last one of a history.

    The same arithmetic as `tsattn.data.calendar.with_calendar`, with which it agrees. Steps are counted on the wall
    clock: where stamps have a time zone and steps are shorter than a day, those behind a change of the clocks are an
    hour off.

    Args:
        schema: how the data were read; `can_step` tells whether its steps are plain enough.
    """

    def __init__(self, schema: Schema) -> None:
        stepping = schema.grid.stepping
        assert stepping is not None
        self._unit, self._count = stepping
        self._span = schema.grid.span
        self._cycles = schema.calendar
        self._holidays = _counted(schema.holidays) if schema.holidays else None
        self.names = calendar_features(schema)

    @staticmethod
    def can_step(schema: Schema) -> bool:
        """Tell whether a graph can follow the calendar of a schema, which may have none."""
        return bool(calendar_features(schema)) and schema.grid.stepping is not None

    def __call__(self, last: Tensor, steps: Tensor) -> Tensor:
        """Return float32 [batch, steps, features].

        Args:
            last: the last stamp of each history, int64 [batch], in seconds of the wall clock since 1970-01-01.
            steps: steps from there, int64 [batch, steps] or [1, steps].
        """
        import tensorflow as tf

        tools = _tools()
        before, stamps, after = (self._at(last[:, None], steps + ahead) for ahead in (-1, 0, 1))
        columns = [column for cycle in self._cycles for column in CYCLES[cycle].features(stamps, tools)]
        if self._holidays is not None:
            known = tf.constant(self._holidays, tf.int32)
            found = holidays_of(self._span, before, stamps, after, known, tools)
            columns.append(tf.cast(found, tf.float32))
        return tf.stack(columns, axis=-1)

    def _at(self, last: Tensor, steps: Tensor) -> Tensor:
        """Return stamps some steps behind others, in seconds."""
        if self._unit == "seconds":
            return last + steps * self._count
        days, time = clock.split(last, DAY)
        if self._unit == "business days":
            weekday = clock.weekday_of(days)
            number = (days + 3) // 7 * 5 + weekday - weekday // 5 * (weekday - 4) + steps
            return (number // 5 * 7 + number % 5 - 3) * DAY + time
        date = clock.date_of(days)
        months = clock.months_of(date) + steps * self._count
        if self._unit == "month ends":
            day = clock.first_of_month(months + 1) - 1
        else:
            day = clock.first_of_month(months) + date.day - 1
        return day * DAY + time


def _counted(place: str) -> npt.NDArray[np.int32]:
    """Return how many public holidays there were before each day, from `FIRST_DAY` to the day behind the last one."""
    days = holiday_days(place, *HOLIDAYS) - FIRST_DAY
    return np.append(0, np.cumsum(np.bincount(days))).astype(np.int32)


def _tools() -> SimpleNamespace:
    """Return what the arithmetic of the calendar takes from NumPy elsewhere."""
    import tensorflow as tf

    def searchsorted(known: Tensor, values: Tensor) -> Tensor:
        # The known ones are counted by day, for a search in them is what few other programs have.
        return tf.gather(known, tf.clip_by_value(values - FIRST_DAY, 0, known.shape[0] - 1))

    return SimpleNamespace(
        sin=tf.sin,
        cos=tf.cos,
        maximum=tf.maximum,
        searchsorted=searchsorted,
        float32=lambda values: tf.cast(values, tf.float32),
        float64=lambda values: tf.cast(values, tf.float64),
    )
