"""Ragged arrays against plain loops over lists of series."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_reference import Array

from tsattn.timeseries.ragged import Ints, RaggedArray, concat_ranges

RNG = np.random.default_rng(0)
LENGTHS = np.array([3, 0, 5, 1, 0, 4])


def make_series(lengths: Ints = LENGTHS, *shape: int) -> list[Array]:
    return [RNG.normal(size=(length, *shape)).astype("float32") for length in lengths]


def make_ragged(series: list[Array]) -> RaggedArray:
    return RaggedArray.from_lengths(np.concatenate(series), np.array([len(rows) for rows in series]))


def assert_series(ragged: RaggedArray, expected: list[Array]) -> None:
    assert len(ragged) == len(expected)
    assert ragged.offsets.dtype == np.int64 and ragged.values.dtype == np.float32
    assert ragged.lengths.tolist() == [len(rows) for rows in expected]
    assert ragged.offsets[0] == 0 and ragged.offsets[-1] == len(ragged.values)
    for index, rows in enumerate(expected):
        np.testing.assert_array_equal(ragged[index], rows, strict=True)


@pytest.fixture(params=[(), (2,), (2, 3)], ids=str)
def series(request: pytest.FixtureRequest) -> list[Array]:
    return make_series(LENGTHS, *request.param)


def test_constructors(series: list[Array]) -> None:
    assert_series(make_ragged(series), series)
    assert make_ragged(series).offsets.tolist() == [0, 3, 3, 8, 9, 9, 13]
    shape = series[0].shape[1:]
    assert_series(RaggedArray.missing(LENGTHS, *shape), [np.full_like(rows, np.nan) for rows in series])
    assert len(RaggedArray.missing(LENGTHS[:0])) == 0
    ragged = make_ragged(series)
    assert np.shares_memory(ragged[2], ragged.values)


def test_concat_ranges() -> None:
    starts = np.array([4, -2, 9, 0])
    lengths = np.array([3, 4, 0, 2])
    expected = [step for start, length in zip(starts, lengths, strict=True) for step in range(start, start + length)]
    assert concat_ranges(starts, lengths).tolist() == expected
    assert concat_ranges(starts[:0], lengths[:0]).tolist() == []
    assert make_ragged(make_series()).steps.tolist() == [step for length in LENGTHS for step in range(length)]


@pytest.mark.parametrize("chosen", [[0, 2, 5], [5, 0, 0, 1], [1, 2, 3], [1], [], [4, 1]], ids=str)
def test_take(series: list[Array], chosen: list[int]) -> None:
    taken = make_ragged(series).take(np.array(chosen, dtype=np.int64))
    assert_series(taken, [series[index] for index in chosen])


def test_take_of_adjacent_rows_copies_nothing() -> None:
    ragged = make_ragged(make_series())
    for chosen in ([0, 2, 3], [2, 3, 4, 5], [0, 1, 2, 3, 4, 5], np.flatnonzero(ragged.lengths)):
        assert np.shares_memory(ragged.take(np.array(chosen)).values, ragged.values)
    assert not np.shares_memory(ragged.take(np.array([0, 3])).values, ragged.values)


def test_slice(series: list[Array]) -> None:
    ragged = make_ragged(series)
    first, last = np.array([1, 0, 4, 2, 0, 0]), np.array([2, 3, 9, 3, -1, 4])
    expected = [rows[begin : max(end, 0)] for rows, begin, end in zip(series, first, last, strict=True)]
    assert_series(ragged.slice(first, last), expected)
    assert_series(ragged.slice(2), [rows[2:] for rows in series])
    assert_series(ragged.slice(0), series)
    assert not np.shares_memory(ragged.slice(0).values, ragged.values)


def test_resize(series: list[Array]) -> None:
    ragged = make_ragged(series)
    for lengths in (LENGTHS + 2, np.array([1, 2, 5, 0, 0, 9]), LENGTHS, np.zeros_like(LENGTHS)):
        expected = []
        for rows, length in zip(series, lengths, strict=True):
            padding = np.full((max(length - len(rows), 0), *rows.shape[1:]), np.nan, dtype="float32")
            expected.append(np.concatenate([rows[:length], padding]))
        resized = ragged.resize(lengths)
        assert_series(resized, expected)
        assert not np.shares_memory(resized.values, ragged.values)


def test_append(series: list[Array]) -> None:
    other = make_series(np.array([2, 1, 0, 3, 0, 1]), *series[0].shape[1:])
    expected = [np.concatenate(pair) for pair in zip(series, other, strict=True)]
    assert_series(make_ragged(series).append(make_ragged(other)), expected)


def test_gather(series: list[Array]) -> None:
    ragged = make_ragged(series)
    windows = [(0, 0, 3), (0, 1, 9), (2, 4, 1), (2, 1, 2), (3, 1, 4), (1, 0, 2), (5, 2, 0), (5, 7, 2)]
    index, start, length = (np.array(part) for part in zip(*windows, strict=True))
    found = ragged.gather(index, start, length, 4)
    assert found.shape == (len(windows), 4, *series[0].shape[1:]) and found.dtype == np.float32
    expected = np.full_like(found, np.nan)
    for row, (one, begin, count) in enumerate(windows):
        for step in range(4):
            if step < count and begin + step < len(series[one]):
                expected[row, step] = series[one][begin + step]
    np.testing.assert_array_equal(found, expected)


def test_gather_without_rows() -> None:
    ragged = RaggedArray.missing(np.zeros(2, dtype=np.int64), 3)
    zeros = np.zeros(2, dtype=np.int64)
    found = ragged.gather(np.arange(2), zeros, zeros, 4)
    assert found.shape == (2, 4, 3) and np.isnan(found).all()
