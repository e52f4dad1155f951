"""The batches that a Keras training sees, epoch by epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tsattn.models import resolve_options
from tsattn.models.forecast_model import build_graph
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import LENGTH, PAST, TARGET, TARGET_SCALE, Windows, WindowSpec
from tsattn.training.batches import OrderedWindows, ShuffledWindows
from tsattn.training.defaults import TrainingPlan
from tsattn.training.trainer import train

ONE = np.ones((1, 1), "float32")


class Recorder(keras.Model):
    """Trains nothing and keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def train_step(self, data: Any) -> dict[str, float]:
        window = keras.utils.unpack_x_y_sample_weight(data)[0]
        self.seen.append(keras.ops.convert_to_numpy(window[TARGET]))
        return {"loss": 0.0}


def test_each_epoch_of_a_fit_has_the_batches_of_its_number() -> None:
    values = np.arange(40, dtype="float32")[:, None]
    panel = Panel(
        RaggedArray(values, np.array([0, 40])), ("s",), ("y",), np.zeros(1, np.int64), Grid("D", "2024-01-01")
    )
    windows = Windows.for_training(panel, WindowSpec(context=4, horizon=2, targets=("y",)), min_history=4)
    size, steps, epochs = 8, 5, 3
    model = Recorder()
    model.compile(run_eagerly=True)
    batches = ShuffledWindows(windows, size, steps, seed=7, scales=ONE)
    turning = keras.callbacks.LambdaCallback(on_epoch_begin=batches.set_epoch)
    model.fit(batches, initial_epoch=1, epochs=1 + epochs, callbacks=[turning], verbose=0, shuffle=False)
    assert len(model.seen) == steps * epochs
    for number, batch in enumerate(model.seen):
        epoch, step = divmod(number, steps)
        known = windows.gather(windows.shuffled(7, 1 + epoch, step, size))[TARGET]
        np.testing.assert_array_equal(batch, known)


@pytest.mark.usefixtures("eager_training")
def test_the_training_loop_sets_the_epoch_and_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    original = ShuffledWindows.__getitem__

    def recorded(self: ShuffledWindows, batch: int) -> Any:
        asked.append((self.epoch, batch))
        return original(self, batch)

    monkeypatch.setattr(ShuffledWindows, "__getitem__", recorded)
    values = np.random.default_rng(0).normal(size=(40, 1)).astype("float32")
    panel = Panel(
        RaggedArray(values, np.array([0, 40])), ("s",), ("y",), np.zeros(1, np.int64), Grid("D", "2024-01-01")
    )
    spec = WindowSpec(context=4, horizon=2, targets=("y",))
    entry, options = resolve_options({"name": "seq2seq", "units": 2, "patch_length": 2})
    windows = Windows.for_training(panel, spec, min_history=4)
    graph = build_graph(entry, options, spec)
    history = train(graph, windows, TrainingPlan(2, 8, 5), learning_rate=1e-3, patience=3, seed=0, scales=ONE)
    assert len(history.loss) == 2
    # Keras may look at batches to learn their shapes before it begins.
    assert asked[-10:] == [(epoch, batch) for epoch in range(2) for batch in range(5)]


def test_each_window_has_the_scale_of_its_series() -> None:
    # Each value identifies its series; the second one is too short to have a window.
    lengths = [9, 2, 12, 7]
    values = np.repeat(np.arange(4), lengths)[:, None] * [1, 10] + [1, 1]
    offsets, ids = np.concatenate([[0], np.cumsum(lengths)]), ("a", "b", "c", "d")
    grid = Grid("D", "2024-01-01")
    panel = Panel(RaggedArray(values.astype("float32"), offsets), ids, ("y", "z"), np.zeros(4, np.int64), grid)
    windows = Windows.for_training(panel, WindowSpec(context=4, horizon=2, targets=("y", "z")), min_history=4)
    scales = np.random.default_rng(0).uniform(1, 9, (4, 2)).astype("float32")
    seen = set()
    for batches in (ShuffledWindows(windows, 4, 5, 0, scales), OrderedWindows(windows, 4, scales)):
        for (window,) in (batches[number] for number in range(len(batches))):
            assert window[TARGET_SCALE].shape == (len(window[PAST]), 2)
            for past, scale in zip(window[PAST], window[TARGET_SCALE], strict=True):
                series = int(past[0, 0]) - 1
                np.testing.assert_array_equal(scale, scales[series])
                seen.add(series)
    assert seen == {0, 2, 3}


def test_each_window_has_one_of_the_context_lengths() -> None:
    values = np.arange(60, dtype="float32")[:, None]
    panel = Panel(
        RaggedArray(values, np.array([0, 60])), ("s",), ("y",), np.zeros(1, np.int64), Grid("D", "2024-01-01")
    )
    windows = Windows.for_training(panel, WindowSpec(context=8, horizon=2, targets=("y",)), min_history=3)
    made, again, whole = (ShuffledWindows(windows, 16, 3, 5, ONE, lengths) for lengths in ([8, 4], [8, 4], None))
    drawn = []
    for number in range(3):
        (batch,), (same,), (full,) = made[number], again[number], whole[number]
        for name, tensor in batch.items():
            np.testing.assert_array_equal(tensor, same[name])
        np.testing.assert_array_equal(batch[TARGET], full[TARGET])
        for row, length in enumerate(batch[LENGTH]):
            known = full[PAST][row, : full[LENGTH][row]]
            assert length in {len(known), min(len(known), 4)}
            np.testing.assert_array_equal(batch[PAST][row, :length], known[-length:])
            assert not batch[PAST][row, length:].any()
            drawn += [length] if len(known) == 8 else []
    assert 10 < drawn.count(4) < len(drawn) - 10, "about half of the windows are short"


def uneven() -> Windows:
    lengths = np.array([40, 3, 200, 12, 25])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.arange(lengths.sum(), dtype="float32")[:, None]
    ids = tuple("abcde")
    panel = Panel(RaggedArray(values, offsets), ids, ("y",), np.zeros(5, np.int64), Grid("D", "2024-01-01"))
    return Windows.for_training(panel, WindowSpec(context=8, horizon=4, targets=("y",)), min_history=4)


def test_a_balanced_epoch_has_each_series_as_often() -> None:
    windows = uneven()
    batches = ShuffledWindows(windows, 10, 20, seed=3, scales=np.ones((5, 1), "float32"), balanced=True)
    first, again = ([batches[number][0] for number in range(20)] for _ in range(2))
    targets = np.concatenate([batch[TARGET][:, 0, 0] for batch in first])
    np.testing.assert_array_equal(targets, np.concatenate([batch[TARGET][:, 0, 0] for batch in again]))
    series = np.searchsorted(windows.panel.series.offsets, targets, side="right") - 1
    assert np.bincount(series, minlength=5).tolist() == [50, 0, 50, 50, 50], "'b' is too short for a window"
    assert len(np.unique(targets[series == 2])) > 30, "a long one is gone through all over"
    batches.set_epoch(1)
    assert (batches[0][0][TARGET] != first[0][TARGET]).any()


def test_histories_are_cut_at_random() -> None:
    windows = uneven()
    scales = np.ones((5, 1), "float32")
    whole, cut = (ShuffledWindows(windows, 500, 1, 0, scales, truncation_rate=rate)[0][0] for rate in (0, 0.5))
    np.testing.assert_array_equal(whole[TARGET], cut[TARGET])
    changed = (whole[LENGTH] != cut[LENGTH]).mean()
    assert 0.35 < changed < 0.55 and (cut[LENGTH] <= whole[LENGTH]).all() and set(cut[LENGTH]) == set(range(1, 9))
    long = whole[LENGTH] == 8
    few = (cut[LENGTH][long] <= 2).mean() / (cut[LENGTH][long] < 8).mean()
    assert few == pytest.approx(0.5, abs=0.1), "lengths of 1 or 2 are as many as those of 3 to 7"
    least = ShuffledWindows(windows, 500, 1, 0, scales, truncation_rate=0.5, min_history=3)[0][0][LENGTH]
    assert set(least[long]) == set(range(3, 9)) and (least >= np.minimum(whole[LENGTH], 3)).all()
    short = int(np.argmin(cut[LENGTH] - whole[LENGTH]))
    length = cut[LENGTH][short]
    np.testing.assert_array_equal(cut[PAST][short, :length], whole[PAST][short, : whole[LENGTH][short]][-length:])
