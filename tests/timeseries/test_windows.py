"""Windows of a panel against a loop, and their order in training."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
from numpy_reference import Array

from tsattn.layers import HistoryWindow
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import (
    LENGTH,
    MAX_SERIES,
    OBSERVED,
    PAST,
    TARGET,
    TARGET_OBSERVED,
    TARGET_SCALE,
    Batch,
    Windows,
    WindowSpec,
    gather,
    permute,
)
from tsattn.training.batches import OrderedWindows, ShuffledWindows

SPEC = WindowSpec(context=6, horizon=3, targets=("a", "b"))
LENGTHS = (1, 3, 4, 5, 9, 20)


def make_panel(lengths: tuple[int, ...] = LENGTHS) -> Panel:
    """Return a panel with gaps. The value at step t of series i is 1000 (i + 1) + t, negative in the second channel."""
    parts = []
    for series, length in enumerate(lengths):
        first = 1000 * (series + 1) + np.arange(length)
        parts.append(np.stack([first, -first], -1))
    values = np.concatenate(parts).astype("float32")
    values[np.random.default_rng(1).random(values.shape) < 0.15] = np.nan
    ids = tuple(f"s{index}" for index in range(len(lengths)))
    series = RaggedArray.from_lengths(values, np.array(lengths))
    return Panel(series, ids, SPEC.targets, np.zeros(len(lengths), dtype=np.int64), Grid("D", "2024-01-01"))


def by_loop(panel: Panel, series: int, origin: int) -> dict[str, Array]:
    """Return the tensors of the window at one origin, step by step."""
    raw = panel.series[series]
    made = {name: np.zeros((steps, 2)) for name, steps in ((PAST, 6), (OBSERVED, 6), (TARGET, 3), (TARGET_OBSERVED, 3))}
    begin = max(origin - SPEC.context, 0)
    for step, channel in np.ndindex(*raw.shape):
        value = raw[step, channel]
        if np.isnan(value):
            continue
        if begin <= step < origin:
            made[PAST][step - begin, channel], made[OBSERVED][step - begin, channel] = value, 1
        elif origin <= step < origin + SPEC.horizon:
            made[TARGET][step - origin, channel], made[TARGET_OBSERVED][step - origin, channel] = value, 1
    return {**made, LENGTH: np.array(origin - begin)}


def assert_windows(batch: Batch, panel: Panel, series: Array, origin: Array) -> None:
    for row, (one, at) in enumerate(zip(series, origin, strict=True)):
        for name, known in by_loop(panel, int(one), int(at)).items():
            np.testing.assert_array_equal(batch[name][row], known, err_msg=f"{name} of series {one} at {at}")


def test_windows_follow_the_contract() -> None:
    panel = make_panel()
    windows = Windows.for_training(panel, SPEC, min_history=4)
    index = np.arange(len(windows))
    series, origin = windows.locate(index)
    batch = windows.gather(index)
    assert_windows(batch, panel, series, origin)
    # The scale of errors belongs to a series: the batches of the training add it.
    shapes = {name: shape for name, shape in SPEC.shapes(training=True).items() if name != TARGET_SCALE}
    assert {name: part.shape[1:] for name, part in batch.items()} == shapes
    assert batch[LENGTH].dtype == np.int32
    assert all(part.dtype == np.float32 for name, part in batch.items() if name != LENGTH)


def test_the_future_of_a_series_is_missing_and_never_the_next_series() -> None:
    panel = make_panel()
    series = np.arange(len(panel))
    batch = gather(panel, SPEC, series, panel.lengths)
    assert_windows(batch, panel, series, panel.lengths)
    assert not batch[TARGET_OBSERVED].any()
    assert TARGET not in gather(panel, SPEC, series, panel.lengths, target=False)


def test_targets_lie_in_the_panel_with_history_before_them() -> None:
    panel = make_panel()
    windows = Windows.for_training(panel, SPEC, min_history=4)
    pairs = set(zip(*(part.tolist() for part in windows.locate(np.arange(len(windows)))), strict=True))
    known = set()
    for series, length in enumerate(LENGTHS):
        for origin in range(1, length - SPEC.horizon + 1):
            # A series that is too short for the wanted history still gives its last window.
            if origin >= min(4, length - SPEC.horizon):
                known.add((series, origin))
    assert pairs == known
    assert len(windows) == len(known)


@pytest.mark.parametrize("most", [None, 4, 2])
def test_the_last_windows_are_those_of_the_validation_part(most: int | None) -> None:
    panel = make_panel()
    windows = Windows.in_last_steps(panel, SPEC, steps=7, max_windows=most)
    series, origin = windows.locate(np.arange(len(windows)))
    for one, at in zip(series, origin, strict=True):
        assert at >= max(LENGTHS[one] - 7, 1)
        assert at + SPEC.horizon <= LENGTHS[one]
    # The newest of every series that has one at all, however they are thinned out.
    assert {one for one, at in zip(series, origin, strict=True) if at == LENGTHS[one] - SPEC.horizon} == {2, 3, 4, 5}
    every = len(Windows.in_last_steps(panel, SPEC, steps=7))
    assert every == sum(len(range(max(n - 7, 1), n - SPEC.horizon + 1)) for n in LENGTHS)
    assert len(windows) <= every if most is None else len(windows) <= most + len(LENGTHS)


def test_of_very_many_series_some_are_validated() -> None:
    count = 2 * MAX_SERIES + 1
    values = np.arange(16 * count, dtype=np.float32).reshape(-1, 2)
    ids = tuple(map(str, range(count)))
    series = RaggedArray.from_lengths(values, np.full(count, 8))
    panel = Panel(series, ids, ("a", "b"), np.zeros(count, "int64"), Grid("1", 0))
    assert len(Windows.in_last_steps(panel, SPEC, steps=SPEC.horizon)) == count
    windows = Windows.in_last_steps(panel, SPEC, steps=SPEC.horizon, max_windows=10)
    chosen, origin = windows.locate(np.arange(len(windows)))
    assert len(windows) == len(set(chosen)) == MAX_SERIES and set(origin) == {8 - SPEC.horizon}
    assert chosen[0] == 0 and chosen[-1] == count - 1 and np.diff(chosen).max() <= 3


def test_training_windows_never_touch_the_validation_part() -> None:
    panel, steps = make_panel(), 5
    training = Windows.for_training(panel.drop_last(steps), SPEC, min_history=2)
    validation = Windows.in_last_steps(panel, SPEC, steps)
    seen = training.gather(np.arange(len(training)))
    known = np.concatenate([np.abs(seen[name][seen[flag] > 0]) for name, flag in _VALUES])
    ahead = validation.gather(np.arange(len(validation)))
    held_out = np.abs(ahead[TARGET][ahead[TARGET_OBSERVED] > 0])
    assert len(known) and len(held_out)
    assert not set(known.tolist()) & set(held_out.tolist())
    for value in known:
        series, step = divmod(int(value), 1000)
        assert step < LENGTHS[series - 1] - steps


_VALUES = ((PAST, OBSERVED), (TARGET, TARGET_OBSERVED))


def test_no_target_lies_before_its_history() -> None:
    windows = Windows.for_training(make_panel(), SPEC, min_history=1)
    batch = windows.gather(np.arange(len(windows)))
    for row in range(len(windows)):
        past, target = (batch[name][row][batch[flag][row] > 0] for name, flag in _VALUES)
        if len(past) and len(target):
            assert np.abs(target).min() > np.abs(past).max()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 100, 1025])
def test_permute_is_a_permutation_that_follows_its_seed(size: int) -> None:
    orders = [permute(np.arange(size), size, seed) for seed in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert sorted(order.tolist()) == list(range(size))
    np.testing.assert_array_equal(orders[0], permute(np.arange(size), size, (0, 0)))
    # Position by position, as batches ask for it, it is the same permutation.
    np.testing.assert_array_equal(orders[0][::-1], permute(np.arange(size)[::-1], size, (0, 0)))
    if size >= 16:
        assert len({tuple(order.tolist()) for order in [*orders, np.arange(size)]}) == 4


def test_the_order_looks_random() -> None:
    order = permute(np.arange(4096), 4096, (3, 0))
    positions = np.arange(4096)
    assert abs(np.corrcoef(positions, order)[0, 1]) < 0.06  # four standard deviations
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.06
    halves = np.bincount(order[:2048] // 256, minlength=16)
    assert np.abs(halves - 128).max() < 4 * np.sqrt(128 / 2)


def test_an_epoch_visits_each_window_once_and_the_rest_again() -> None:
    windows = Windows.for_training(make_panel((30, 25)), SPEC, min_history=6)
    size = 8
    batches = -(-len(windows) // size)
    seen = Counter(np.concatenate([windows.shuffled(0, 0, k, size) for k in range(batches)]).tolist())
    assert set(seen) == set(range(len(windows)))
    assert sum(seen.values()) == batches * size
    assert max(seen.values()) <= 2


def test_a_batch_follows_from_seed_epoch_and_number_alone() -> None:
    windows = Windows.for_training(make_panel((60,)), SPEC, min_history=6)

    def batches(seed: int, epoch: int) -> ShuffledWindows:
        made = ShuffledWindows(windows, 8, 4, seed, np.ones((1, 2), "float32"))
        made.set_epoch(epoch)
        return made

    forwards = [batches(1, 2)[k][0] for k in range(4)]
    backwards = [batches(1, 2)[k][0] for k in reversed(range(4))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert len(batches(1, 2)) == 4
    for seed, epoch in ((1, 3), (2, 2)):
        assert not np.array_equal(forwards[0][TARGET], batches(seed, epoch)[0][0][TARGET])


def test_validation_sees_every_window_once_in_order() -> None:
    windows = Windows.for_training(make_panel((20, 12)), SPEC, min_history=3)
    ordered = OrderedWindows(windows, 8, np.ones((2, 2), "float32"))
    parts = [ordered[k][0] for k in range(len(ordered))]
    whole = windows.gather(np.arange(len(windows)))
    for name, known in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), known)


def test_a_served_history_is_the_window_of_training() -> None:
    panel = make_panel()
    series = np.arange(len(panel))
    known = gather(panel, SPEC, series, panel.lengths, target=False)
    past = np.full((len(panel), max(LENGTHS), 2), 1e9, dtype="float32")
    for row in series:
        past[row, : LENGTHS[row]] = panel.series[row]
    values, observed, length, _ = HistoryWindow(SPEC.context)(past, np.array(LENGTHS, dtype="int32"))
    for name, part in ((PAST, values), (OBSERVED, observed), (LENGTH, length)):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(part), known[name])
